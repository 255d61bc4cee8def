"""Ranking: which duels to play, and what scores and duels together say about the order.

A strategy plans matches until it has seen enough, then orders the candidates. `fuse` is the
statistics behind the order: Gaussian least squares over scores and matchups. A candidate without a
readable score is left out of everything; it is never a low-scored one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from factory.matchups import matchups
from schemas import recipe
from schemas.rows import Duel, Score, content_id

Match = tuple[int, int]  # index of the candidate shown first, index of the one shown second


@dataclass(frozen=True)
class Noise:
    """How far the judge's statements can be trusted.

    score_sd, duel_sd: noise of a score, and of a matchup, in points of the judge's scale.
    logits_per_point: log-odds of a duel for one point of quality.
    """

    score_sd: float = 0.5
    duel_sd: float = 0.5
    logits_per_point: float = 2.0


@dataclass(frozen=True)
class Order:
    """Candidates by strength. All indices are positions in `candidate_ids`.

    candidate_ids: all candidates, in the order of the group.
    ranking: indices of the valid ones, best first; by the strengths, unless the strategy says
        otherwise.
    strengths: points for each candidate; NaN where nothing is known.
    covariance: of the strengths' errors.
    """

    candidate_ids: tuple[str, ...]
    ranking: tuple[int, ...]
    strengths: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]

    def margin(self, i: int, j: int) -> float:
        """How much stronger candidate `i` is than `j`, in points."""
        return self.strengths[i] - self.strengths[j]

    def difference_sd(self, i: int, j: int) -> float:
        """Standard deviation of `margin(i, j)`."""
        cov = self.covariance
        return math.sqrt(max(cov[i][i] + cov[j][j] - 2 * cov[i][j], 0.0))


class Strategy(Protocol):
    """How a group is ranked."""

    def plan(self, scores: Sequence[Score], duels: Sequence[Duel]) -> list[Match]:
        """The next matches, given all duels so far; none when the ranking is done.

        A match is a pair of positions in `scores`, which has one score for each candidate.
        """

    def order(self, scores: Sequence[Score], duels: Sequence[Duel]) -> Order:
        """The order that scores and duels give."""


def fuse(scores: Sequence[Score], duels: Sequence[Duel], noise: Noise) -> Order:
    """The most probable strengths, given every readable score and matchup.

    With strengths s, a score is s_i + e with standard deviation `score_sd`, and a matchup's
    log-odds in points are s_i - s_j + e with `duel_sd`. The normal equations are
    (I / score_sd^2 + sum d d' / duel_sd^2) s = rhs, where d has 1 at i and -1 at j; the inverse of
    their matrix is the covariance.
    """
    valid = [index for index, score in enumerate(scores) if is_scored(score)]
    row = {scores[index].candidate_id: at for at, index in enumerate(valid)}
    precision = np.eye(len(valid)) / noise.score_sd**2
    weighted = np.array([scores[index].value for index in valid]) / noise.score_sd**2
    for met in matchups([duel for duel in duels if {duel.first_id, duel.second_id} <= row.keys()]):
        difference = np.zeros(len(valid))
        difference[row[met.first_id]], difference[row[met.second_id]] = 1.0, -1.0
        precision += np.outer(difference, difference) / noise.duel_sd**2
        weighted += difference * met.logit / noise.logits_per_point / noise.duel_sd**2

    strengths = np.full(len(scores), np.nan)
    covariance = np.full((len(scores), len(scores)), np.nan)
    strengths[valid] = np.linalg.solve(precision, weighted)
    covariance[np.ix_(valid, valid)] = np.linalg.inv(precision)
    # Rounded, so that the last bits of the solver do not break a tie: the earlier index does.
    ranking = sorted(valid, key=lambda index: -round(float(strengths[index]), 9))
    return Order(
        tuple(score.candidate_id for score in scores),
        tuple(ranking),
        tuple(strengths.tolist()),
        tuple(map(tuple, covariance.tolist())),
    )


def is_scored(score: Score) -> bool:
    """Whether the judge gave a readable score."""
    return score.error is None and math.isfinite(score.value)


@dataclass(frozen=True)
class Bracket:
    """Duels where they matter: among the top k, among the bottom k, then best against worst.

    All in both orders, so N candidates cost N + 2k(k - 1) + 2 forward passes: 14 for N = 8, k = 2.
    With fewer than 2k candidates the brackets overlap and no match is played twice.

    The final confirms and does not choose. Whoever was picked out of N is there partly by luck, so
    even a fair final lowers the finalists against those who played none. Ranking by it as well
    made worse pairs in simulation, a third of which had never met. It counts in the strengths, so
    a final that contradicts the order shows as a thin or negative margin.
    """

    k: int = 2
    noise: Noise = field(default_factory=Noise)

    def plan(self, scores: Sequence[Score], duels: Sequence[Duel]) -> list[Match]:
        # An unreadable duel counts as played: asking again gives the same answer.
        played = {frozenset((duel.first_id, duel.second_id)) for duel in duels}
        missing = [match for match in self._brackets(scores) if _ids(scores, match) not in played]
        if not missing:
            ranking = self.order(scores, duels).ranking
            final = (ranking[0], ranking[-1]) if len(ranking) > 1 else None
            missing = [final] if final and _ids(scores, final) not in played else []
        return [shown for i, j in missing for shown in ((i, j), (j, i))]

    def order(self, scores: Sequence[Score], duels: Sequence[Duel]) -> Order:
        brackets = {_ids(scores, match) for match in self._brackets(scores)}
        within = [duel for duel in duels if frozenset((duel.first_id, duel.second_id)) in brackets]
        ranking = fuse(scores, within, self.noise).ranking
        return replace(fuse(scores, duels, self.noise), ranking=ranking)

    def _brackets(self, scores: Sequence[Score]) -> list[Match]:
        """The matches of the first round, once each, the higher score first."""
        by_score = fuse(scores, (), self.noise).ranking
        matches = [
            match
            for bracket in (by_score[: self.k], by_score[-self.k :])
            for match in itertools.combinations(bracket, 2)
        ]
        return list(dict.fromkeys(matches))


def _ids(scores: Sequence[Score], match: Match) -> frozenset[str]:
    return frozenset(scores[index].candidate_id for index in match)


@dataclass(frozen=True)
class Pointwise:
    """Scores alone: the cheapest order, and a baseline."""

    noise: Noise = field(default_factory=Noise)

    def plan(self, scores: Sequence[Score], duels: Sequence[Duel]) -> list[Match]:
        return []

    def order(self, scores: Sequence[Score], duels: Sequence[Duel]) -> Order:
        return fuse(scores, (), self.noise)


@dataclass(frozen=True)
class RandomPairs:
    """An order without any judgement, for the baseline; a function of the candidates' ids alone.

    Its strengths are NaN: it makes no claim about quality, so no pair of it has a thin margin.
    """

    def plan(self, scores: Sequence[Score], duels: Sequence[Duel]) -> list[Match]:
        return []

    def order(self, scores: Sequence[Score], duels: Sequence[Duel]) -> Order:
        ids = tuple(score.candidate_id for score in scores)
        valid = [index for index, score in enumerate(scores) if is_scored(score)]
        ranking = sorted(valid, key=lambda index: content_id("random order", ids[index]))
        unknown = (math.nan,) * len(ids)
        return Order(ids, tuple(ranking), unknown, (unknown,) * len(ids))


def strategy_of(rank: recipe.Rank) -> Strategy:
    """The strategy that a recipe asks for."""
    noise = Noise(rank.score_sd, rank.duel_sd, rank.logits_per_point)
    if rank.strategy == "bracket":
        return Bracket(rank.bracket_size, noise)
    if rank.strategy == "pointwise":
        return Pointwise(noise)
    return RandomPairs()
