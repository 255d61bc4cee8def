"""Fusion: the most probable strengths of a group's candidates, given scores and matchups.

Both fits start from the same Gaussian prior: every readable score, and the spread of a prompt's
candidates. They differ in what a matchup is. To `least_squares` its log-odds are a measurement of
the difference, which is right for a judge whose verdicts are probabilities. To `davidson` its
verdict is a vote with the possibility of a tie, which is right for verdicts read from text: there a
sure win says who is better and not by how much. A candidate without a readable score is left out of
everything; it is never a low-scored one. Where nobody was asked for scores at all, those that met
are ordered by their matchups alone. Left out: noise that differs between candidates, and
errors of a candidate that its score and its duels share, which no amount of judging reveals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from factory.ranking.matchups import MAX_LOGIT, Matchup, matchups
from factory.ranking.order import Noise, Order, is_scored
from schemas.rows import Duel, Score

Array = npt.NDArray[np.float64]

_MAX_STEPS = 100  # of either fit; five are usual


@dataclass(frozen=True)
class _Evidence:
    """What there is to fuse. Rows are those of the V candidates with a readable score, or, where
    there are no scores, with a readable matchup.

    valid: index of each row's candidate.
    precision, weighted: prior precision [V, V], and precision times prior mean [V].
    met: the matchups among them; first, second: the rows [M] of their sides.
    sides: 1 at the first side of each matchup and -1 at the second [M, V].
    """

    valid: list[int]
    precision: Array
    weighted: Array
    met: list[Matchup]
    first: npt.NDArray[np.intp]
    second: npt.NDArray[np.intp]
    sides: Array

    def add(self, matrix: Array, curvatures: Array) -> Array:
        """The matrix plus the information [M] on the difference of each matchup's sides."""
        return np.asarray(matrix + (self.sides.T * curvatures) @ self.sides)

    def push(self, vector: Array, forces: Array) -> Array:
        """The vector plus a force [M] on the difference of each matchup's sides."""
        return np.asarray(vector + forces @ self.sides)


def fuse(scores: Sequence[Score], duels: Sequence[Duel], noise: Noise) -> Order:
    """The order by the fit that `noise.fusion` names."""
    fit = davidson if noise.fusion == "davidson" else least_squares
    return fit(scores, duels, noise)


def least_squares(scores: Sequence[Score], duels: Sequence[Duel], noise: Noise) -> Order:
    """Gaussian least squares: the exact posterior mean where all noise is Gaussian.

    With strengths s, a score is s_i + e with standard deviation `score_sd`, and a matchup's
    log-odds in points are s_i - s_j + e with `duel_sd`; the s_i lie around their unknown mean with
    `quality_sd`. The normal equations are (P + sum d d' / duel_sd^2) s = rhs, where P is the prior
    precision and d has 1 at i and -1 at j; the inverse of their matrix is the covariance. Log-odds
    at `MAX_LOGIT` say "at least so much": they count where the strengths fall short of that only.
    """
    given = _evidence(scores, duels, noise)
    logits = np.array([met.logit for met in given.met])
    points, sides = logits / noise.logits_per_point, np.sign(logits)
    is_bound = np.abs(logits) >= MAX_LOGIT
    is_active = ~is_bound
    for _ in range(_MAX_STEPS):
        weights = is_active / noise.duel_sd**2
        precision = given.add(given.precision, weights)
        strengths = _solve(precision, given.push(given.weighted, weights * points))
        short = sides * (points - strengths[given.first] + strengths[given.second])
        was_active, is_active = is_active, ~is_bound | (short > 0)
        if (was_active == is_active).all():
            break
    return _order(scores, given, strengths, precision)


def davidson(scores: Sequence[Score], duels: Sequence[Duel], noise: Noise) -> Order:
    """Bradley-Terry with ties (Davidson 1970, JASA 65) and a Gaussian prior from the scores.

    With d = logits_per_point (s_i - s_j), the weights of first : second : tie are
    exp(d / 2) : exp(-d / 2) : nu, where nu = 2 p_tie / (1 - p_tie) makes `p_tie` the probability of
    a tie between equals. A matchup is one vote, shared out by the probabilities of its verdict (of
    both orders together), so soft verdicts are fractional outcomes and hard ones whole; `duel_sd`
    is not used. The log posterior is concave and its maximum is found by Newton's method; the
    covariance is the inverse of its negative Hessian there (Laplace).
    """
    given = _evidence(scores, duels, noise)
    tie_weight = 2 * noise.p_tie / (1 - noise.p_tie)
    outcomes = np.array([(one.p_first, one.p_second, one.p_tie) for one in given.met])
    outcomes = outcomes.reshape(-1, 3)
    scale = noise.logits_per_point

    def log_posterior(s: Array) -> float:
        d = scale * (s[given.first] - s[given.second])
        logs = np.stack([d / 2, -d / 2, np.full_like(d, math.log(max(tie_weight, 1e-300)))], axis=1)
        logs -= np.logaddexp.reduce(logs, axis=1, keepdims=True)
        votes = (outcomes * logs).sum()
        return float(votes + given.weighted @ s - s @ given.precision @ s / 2)

    def slopes(s: Array) -> tuple[Array, Array]:
        """Gradient and negative Hessian of the log posterior."""
        d = scale * (s[given.first] - s[given.second])
        win, loss = np.exp(d / 2 - abs(d) / 2), np.exp(-d / 2 - abs(d) / 2)
        total = win + loss + tie_weight * np.exp(-abs(d) / 2)
        lead, decided = (win - loss) / total, (win + loss) / total
        force = scale / 2 * (outcomes[:, 0] - outcomes[:, 1] - lead)
        curvature = scale**2 / 4 * (decided - lead**2)
        gradient = given.push(given.weighted - given.precision @ s, force)
        return gradient, given.add(given.precision, curvature)

    strengths = _solve(given.precision, given.weighted)
    reached = log_posterior(strengths)
    for _ in range(_MAX_STEPS):
        gradient, hessian = slopes(strengths)
        step = _solve(hessian, gradient)
        # Concave, so a full step or a shorter one climbs; where none does, this is the top.
        sizes = [0.5**halving for halving in range(20)]
        size = next((h for h in sizes if log_posterior(strengths + h * step) > reached), 0.0)
        strengths = strengths + size * step
        reached = log_posterior(strengths)
        if size * np.abs(step).max(initial=0.0) < 1e-10:
            break
    return _order(scores, given, strengths, slopes(strengths)[1])


def _solve(matrix: Array, vector: Array) -> Array:
    return np.asarray(np.linalg.solve(matrix, vector), dtype=np.float64)


def _evidence(scores: Sequence[Score], duels: Sequence[Duel], noise: Noise) -> _Evidence:
    valid = [index for index, score in enumerate(scores) if is_scored(score)]
    is_by_scores = bool(valid)
    if not is_by_scores:
        valid = _unscored(scores, duels)
    row = {scores[index].candidate_id: at for at, index in enumerate(valid)}
    met = matchups([duel for duel in duels if duel.first_id in row and duel.second_id in row])
    if is_by_scores:
        values = np.array([scores[index].value for index in valid], dtype=np.float64)
        precision = np.eye(len(valid)) / noise.score_sd**2
        weighted = values / noise.score_sd**2
    else:
        precision, weighted = np.eye(len(valid)) / _spread(noise) ** 2, np.zeros(len(valid))
    if valid and is_by_scores and math.isfinite(noise.quality_sd):
        # Around their own unknown mean: adding a constant to all scores changes no margin.
        precision += (np.eye(len(valid)) - 1 / len(valid)) / noise.quality_sd**2
    first = np.array([row[one.first_id] for one in met], dtype=np.intp)
    second = np.array([row[one.second_id] for one in met], dtype=np.intp)
    sides = np.zeros((len(met), len(valid)))
    sides[np.arange(len(met)), first], sides[np.arange(len(met)), second] = 1.0, -1.0
    return _Evidence(valid, precision, weighted, met, first, second, sides)


def _unscored(scores: Sequence[Score], duels: Sequence[Duel]) -> list[int]:
    """Indices of the candidates of which no score was asked for, and which met another."""
    met = {side for one in matchups(duels) for side in (one.first_id, one.second_id)}
    return [
        index
        for index, score in enumerate(scores)
        if score.error is None and score.candidate_id in met
    ]


def _spread(noise: Noise) -> float:
    """Of strengths of which there is no score: as the recipe has it, or else as wide as the most
    that one matchup may say. Matchups alone do not tell how far apart those are that never met.
    """
    if math.isfinite(noise.quality_sd):
        return noise.quality_sd
    return MAX_LOGIT / noise.logits_per_point


def _order(scores: Sequence[Score], given: _Evidence, fitted: Array, precision: Array) -> Order:
    strengths = np.full(len(scores), np.nan)
    covariance = np.full((len(scores), len(scores)), np.nan)
    strengths[given.valid] = fitted
    covariance[np.ix_(given.valid, given.valid)] = np.linalg.inv(precision)
    ids = tuple(score.candidate_id for score in scores)
    # Rounded, so that the last bits of the solver do not break a tie: the ids do, which are
    # hashes, so that no place in the group is favoured.
    strong = strengths.tolist()
    ranking = sorted(given.valid, key=lambda index: (-round(strong[index], 9), ids[index]))
    return Order(ids, tuple(ranking), tuple(strong), tuple(map(tuple, covariance.tolist())))
