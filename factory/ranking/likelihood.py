"""The one likelihood of scores and duels, for many groups at once.

Given what the judge sees of each candidate, s, a score is s_i with Gaussian noise, and a matchup
depends on the difference d = s_i − s_j alone:

    measured       log-odds x, a density of N(logits_per_share · d, (logits_per_share · duel_sd)²)
    "at least x"   the probability that such a number is at least x (Tobin 1958, Econometrica 26)
    words          both orders' verdicts by Davidson (1970, JASA 65), whose log-odds are those of
                   a measurement; its noise, which both orders share, is integrated out by Gauss
                   and Hermite

A score at an end of its scale is "at least" or "at most" so much in the same way. All of this is
log-concave in s, so its maximum, with a Gaussian prior around the prompt's unknown mean, is found
by Newton's method, and the integral over s by Laplace's (exact where everything is measured).
Which duels were played may depend on the scores: the likelihood of both together holds all that was
decided by, so the choice is ignorable (Rubin 1976, Biometrika 63). Everything here is in shares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from factory.ranking.matchups import MAX_LOGIT
from factory.ranking.noise import Noise

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]

#: Standard deviation, in shares, of a prompt's mean around what its scores say: it keeps groups
#: apart from infinity whose scores are all at one end, and changes no margin of any other.
MEAN_SD = 10.0
_MAX_STEPS = 100  # of Newton's method; one where all is measured, five are usual
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
_LOG_WEIGHTS = np.log(_WEIGHTS / _WEIGHTS.sum())
_LOG_ROOT = 0.5 * np.log(2 * np.pi)


@dataclass(frozen=True)
class Statements:
    """What a judge says of G groups of at most N candidates and M matchups.

    scores: shares above the scale's lower end [G, N]; of no meaning where there is none.
    is_scored, is_in: which candidates have a score, and which take part at all [G, N].
    end: −1 and 1 for a score at the lower and the upper end of its scale, else 0 [G, N].
    centre: the mean score of each group [G].
    first, second: positions of a matchup's sides [G, M].
    is_met: whether there is a matchup at that place [G, M].
    low, high: between which its log-odds are [G, M]; equal where measured, infinite where unknown.
    is_alone: whether only one order could be measured, which the position bias reaches [G, M].
    votes: shares of first, second and tie in both orders, told from the first side
        [G, M, 2, 3]; None where log-odds are read and not words.
    """

    scores: Array
    is_scored: Flags
    is_in: Flags
    end: npt.NDArray[np.int8]
    centre: Array
    first: Indices
    second: Indices
    is_met: Flags
    low: Array
    high: Array
    is_alone: Flags
    votes: Array | None = None

    @property
    def is_gaussian(self) -> Flags:
        """Of which groups every statement is a measurement [G]."""
        bounds = (self.low != self.high) & self.is_met
        is_open = self.end.any(axis=1) | bounds.any(axis=1)
        return np.asarray(~is_open & (self.votes is None))

    def rows(self, at: Indices | slice) -> Statements:
        """Those of some groups."""
        return Statements(
            *(
                None if one is None else one[at]
                for one in (
                    self.scores,
                    self.is_scored,
                    self.is_in,
                    self.end,
                    self.centre,
                    self.first,
                    self.second,
                    self.is_met,
                    self.low,
                    self.high,
                    self.is_alone,
                    self.votes,
                )
            )  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class Posterior:
    """Of what the judge sees, s.

    mode: most probable values [G, N]; 0 where a candidate takes no part.
    precision: negative Hessian of the log posterior there [G, N, N].
    log_marginal: log-likelihood of each group, s integrated out [G].
    """

    mode: Array
    precision: Array
    log_marginal: Array


#: Value, slope and negative curvature.
_Parts = tuple[Array, Array, Array]


@dataclass(frozen=True)
class _Look:
    """What the log posterior is at a point, from which its slopes follow.

    s: the point [G, N], and `about` the centres.
    by_scores, by_matchups: parts of the log-likelihood [G, N], [G, M].
    value: log joint density [G].
    """

    s: Array
    about: Array
    by_scores: _Parts
    by_matchups: _Parts
    value: Array


def posterior(said: Statements, noise: Noise, *, is_apart: bool = False) -> Posterior:
    """The posterior of what a judge sees in the candidates of many groups.

    Args:
        said: their statements.
        noise: of the judge; `scale` and `fusion` are not looked at, and `seen_sd` is the spread.
        is_apart: whether each group takes the steps that it would take alone, so that its last
            digits do not depend on the groups beside it: for orders. Else all take as many as the
            one that needs most; noise was always fitted so, and fits are on record.
    """
    sides = _sides(said)
    num = said.is_in.sum(axis=1)
    prior = _prior(said, noise, num)
    terms = _terms(said, noise)

    def look(s: Array) -> _Look:
        """Log joint density of each group [G], up to what does not depend on s, and its parts."""
        by_scores, by_matchups = terms(s, np.einsum("gmn,gn->gm", sides, s))
        about = s - said.centre[:, None] * said.is_in
        quadratic = np.einsum("gi,gij,gj->g", about, prior, about) / 2
        value = by_scores[0].sum(1) + by_matchups[0].sum(1) - quadratic
        return _Look(s, about, by_scores, by_matchups, np.asarray(value))

    def hessian_of(at: _Look) -> Array:
        firm, stiff = at.by_matchups[2], at.by_scores[2]
        hessian = prior + np.matmul(np.swapaxes(sides, 1, 2) * firm[:, None, :], sides)
        rows = np.arange(hessian.shape[1])
        hessian[:, rows, rows] += stiff
        return np.asarray(hessian)

    def step_from(at: _Look) -> Array:
        """Newton's [G, N]."""
        gradient = at.by_scores[1] + np.einsum("gm,gmn->gn", at.by_matchups[1], sides)
        gradient -= np.einsum("gij,gj->gi", prior, at.about)
        return np.asarray(np.linalg.solve(hessian_of(at), gradient[..., None])[..., 0])

    at = look(np.where(said.is_in, said.centre[:, None], 0.0))
    is_gaussian = said.is_gaussian
    if not is_apart:
        is_gaussian = np.full(len(at.s), is_gaussian.all())
    is_there = np.zeros(len(at.s), dtype=np.bool_)
    for _ in range(_MAX_STEPS):
        step = step_from(at)
        size = np.where(is_there, 0.0, 1.0)
        there = look(at.s + size[:, None] * step)
        if not is_gaussian.all():  # concave, so a full step or a shorter one climbs
            for _ in range(20):
                short = ~(there.value >= at.value - 1e-12) & ~is_gaussian
                if not short.any():
                    break
                size = np.where(short, size / 2, size)
                there = look(at.s + size[:, None] * step)
            else:
                size = np.where(short, 0.0, size)
                there = look(at.s + size[:, None] * step)
        at = there
        stays = is_gaussian | (size * np.abs(step).max(axis=1, initial=0.0) < 1e-9)
        is_there |= stays if is_apart else stays.all()
        if is_there.all():
            break
    precision = hessian_of(at)
    _, log_det = np.linalg.slogdet(precision)
    normaliser = np.where(np.isfinite(_spread(said, noise)), _log(_spread(said, noise)), 0.0)
    marginal = at.value - log_det / 2 - (num - 1) * normaliser - np.log(MEAN_SD)
    return Posterior(at.s, precision, np.asarray(marginal))


def _sides(said: Statements) -> Array:
    """1 at the first side of each matchup and −1 at the second [G, M, N]; 0 where there is none."""
    groups, places = np.indices(said.first.shape)
    sides = np.zeros((*said.first.shape, said.scores.shape[1]))
    sides[groups, places, said.first] = 1.0
    sides[groups, places, said.second] = -1.0
    return sides * said.is_met[..., None]


def _spread(said: Statements, noise: Noise) -> Array:
    """Of what is seen in each group [G]. Where nothing is assumed about it and there is no score,
    as wide as the most that one matchup may say: matchups alone do not tell how far apart those are
    that never met.
    """
    if np.isfinite(noise.seen_sd):
        return np.full(len(said.scores), noise.seen_sd)
    return np.where(said.is_scored.any(axis=1), np.inf, MAX_LOGIT / noise.logits_per_share)


def _log(values: Array) -> Array:
    return np.log(np.where(np.isfinite(values), values, 1.0))


def _prior(said: Statements, noise: Noise, num: Array) -> Array:
    """Prior precision [G, N, N]: candidates around their prompt's mean, and the mean around the
    centre; 1 on the diagonal of a place without a candidate.
    """
    there = said.is_in.astype(np.float64)
    both = there[:, :, None] * there[:, None, :] / np.maximum(num, 1)[:, None, None]
    eye = np.eye(there.shape[1])
    apart = eye * there[:, :, None] - both
    level = both / np.maximum(num, 1)[:, None, None] / MEAN_SD**2
    spread = _spread(said, noise)[:, None, None]
    return np.asarray(apart / spread**2 + level + eye * (1 - there)[:, :, None])


#: From a point to the parts of a log-likelihood there.
_Told = Callable[[Array], _Parts]


def _terms(said: Statements, noise: Noise) -> Callable[[Array, Array], tuple[_Parts, _Parts]]:
    """Log-likelihood, slope and negative curvature of scores [G, N] in s, and of matchups [G, M] in
    their difference d.
    """
    by_scores = _scored(said, noise)
    by_matchups = _measured(said, noise) if said.votes is None else _worded(said.votes, noise)

    def both(s: Array, d: Array) -> tuple[_Parts, _Parts]:
        value, slope, curve = by_matchups(d)
        there = said.is_met
        return by_scores(s), (value * there, slope * there, curve * there)

    return both


def _scored(said: Statements, noise: Noise) -> _Told:
    ends = said.end.astype(np.float64)
    # A score at an end of its scale says less than a number, and without any spread to hold it
    # nothing would keep it from infinity: it is a number then.
    is_end = said.end != 0 if np.isfinite(noise.seen_sd) else np.zeros_like(said.is_in)
    has_ends = bool(is_end.any())
    log_sd = np.log(noise.score_sd)
    known_curve = np.where(said.is_scored, noise.score_sd**-2.0, 0.0)

    def parts(s: Array) -> _Parts:
        z = (said.scores - s) / noise.score_sd
        value = np.where(said.is_scored, -(z**2) / 2 - _LOG_ROOT - log_sd, 0.0)
        slope = np.where(said.is_scored, z / noise.score_sd, 0.0)
        curve = known_curve
        if has_ends:
            tail, force, firm = _tail(-ends * z)
            value = np.where(is_end, tail, value)
            slope = np.where(is_end, ends * force / noise.score_sd, slope)
            curve = np.where(is_end, firm / noise.score_sd**2, curve)
        return value, slope, curve

    return parts


def _tail(t: Array) -> _Parts:
    """Log Φ(t), its slope, and its negative curvature."""
    value = scipy.special.log_ndtr(t)
    slope = np.exp(-(t**2) / 2 - _LOG_ROOT - value)
    return value, slope, slope * (slope + t)


def _measured(said: Statements, noise: Noise) -> _Told:
    per = noise.logits_per_share
    sd = np.hypot(per * noise.duel_sd, noise.position_sd * said.is_alone)
    log_sd, known_curve = np.log(sd), (per / sd) ** 2
    is_known = said.low == said.high
    told = np.where(is_known, said.low, 0.0)
    is_bound = ~is_known & said.is_met
    has_bounds = bool(is_bound.any())
    at_least = np.isfinite(said.low)
    side = np.where(at_least, 1.0, -1.0)
    limit = np.where(at_least, said.low, said.high)
    says = is_bound & np.isfinite(limit)
    limit = np.where(says, limit, 0.0)

    def parts(d: Array) -> _Parts:
        z = (told - per * d) / sd
        value, slope, curve = -(z**2) / 2 - _LOG_ROOT - log_sd, z * per / sd, known_curve
        if has_bounds:
            tail, force, firm = _tail(side * (per * d - limit) / sd)
            value = np.where(is_bound, np.where(says, tail, 0.0), value)
            slope = np.where(is_bound, np.where(says, side * force * per / sd, 0.0), slope)
            curve = np.where(is_bound, np.where(says, firm * (per / sd) ** 2, 0.0), curve)
        return value, slope, curve

    return parts


def _worded(votes: Array, noise: Noise) -> _Told:
    per = noise.logits_per_share
    log_tie = np.log(max(2 * noise.p_tie / (1 - noise.p_tie), 1e-12))
    shares = votes[:, :, None]  # the same at every node of the noise
    orders = [
        (shift, np.moveaxis(shares[..., order, :], -1, 0), shares[..., order, :].sum(axis=-1))
        for order, shift in ((0, noise.position), (1, -noise.position))
    ]

    def parts(d: Array) -> _Parts:
        total = np.zeros((*d.shape, len(_NODES)))
        slope, curve = np.zeros_like(total), np.zeros_like(total)
        odds = per * (d[..., None] + noise.duel_sd * _NODES)
        for shift, share, said_by in orders:
            half = (odds + shift) / 2
            whole = np.logaddexp(np.logaddexp(half, -half), log_tie)
            log_first, log_second, log_none = half - whole, -half - whole, log_tie - whole
            p_first, p_second = np.exp(log_first), np.exp(log_second)
            lead, decided = p_first - p_second, p_first + p_second
            first, second, none = share
            total += first * log_first + second * log_second + none * log_none
            slope += per / 2 * (first - second - said_by * lead)
            curve += per**2 / 4 * said_by * (decided - lead**2)
        weighted = total + _LOG_WEIGHTS
        value = np.logaddexp.reduce(weighted, axis=-1)
        part = np.exp(weighted - value[..., None])
        mean = (part * slope).sum(axis=-1)
        spread = (part * slope**2).sum(axis=-1) - mean**2
        # Log-concave in truth; a sum over nodes is so but for rounding.
        return value, mean, np.maximum((part * curve).sum(axis=-1) - spread, 1e-9)

    return parts
