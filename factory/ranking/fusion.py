"""Fusion: the order of a group's candidates by the one likelihood of its scores and matchups.

`factory.ranking.likelihood` says how likely all that was said is, given what the judge sees in each
candidate; here that becomes statements about true quality. Of a difference that the judge sees,
only a share is one of quality, quality_sd² / (quality_sd² + item_sd²), and around it lies what the
judge errs about a candidate in its score and its duels alike. So a margin is the expected true
margin, also of the best of many, which is the best partly by luck; and its standard deviation holds
that error. By `noise.fusion` a matchup is a measurement (its log-odds), or two verdicts in words
with the possibility of a tie: there a sure win says who is better and not by how much. Left out:
noise that differs between candidates, and a spread of quality that differs between prompts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from factory.ranking.evidence import Said, met_in, statements
from factory.ranking.likelihood import posterior
from factory.ranking.matchups import Matchup
from factory.ranking.noise import Noise
from factory.ranking.order import Order
from schemas.rows import Duel, Score

Array = npt.NDArray[np.float64]


def fuse(scores: Sequence[Score], duels: Sequence[Duel], noise: Noise) -> Order:
    """The order of one group."""
    return fuse_all([(scores, duels)], noise)[0]


def fuse_all(
    said: Sequence[Said], noise: Noise, met: Sequence[Sequence[Matchup]] | None = None
) -> list[Order]:
    """The orders of many groups of one task, at once: to the last digit those of each alone, since
    only groups of one shape are fitted together and no sum runs over empty places.

    Args:
        said: scores, one of each candidate, and duels, by group.
        noise: of the judge about that task, on its scale.
        met: the matchups that count, by group (`met_in`); all of them where not given.
    """
    orders: dict[int, Order] = {}
    for places, alike, found in _by_shape(said, met):
        orders.update(zip(places, _orders(alike, found, noise), strict=True))
    return [orders[at] for at in range(len(said))]


def rankings(
    said: Sequence[Said], noise: Noise, met: Sequence[Sequence[Matchup]] | None = None
) -> list[tuple[int, ...]]:
    """Those of the orders that `fuse_all` makes of the same: for less, where no margin is asked."""
    ranked: dict[int, tuple[int, ...]] = {}
    for places, alike, found in _by_shape(said, met):
        given = statements(alike, noise, found)
        seen = posterior(given, noise, is_apart=True).mode
        strong = _strengths(seen, _pull(given.is_in, noise), given.is_in, noise)
        ids = [[one.candidate_id for one in scores] for scores, _ in alike]
        ranked.update(zip(places, map(_ranking, ids, strong), strict=True))
    return [ranked[at] for at in range(len(said))]


#: Places of groups of one shape, what was said of them, and the matchups that count.
_Alike = tuple[list[int], list[Said], list[Sequence[Matchup]]]


def _by_shape(said: Sequence[Said], met: Sequence[Sequence[Matchup]] | None) -> Iterator[_Alike]:
    met = [met_in(*one) for one in said] if met is None else met
    shapes: dict[tuple[int, int], list[int]] = {}
    for at, ((scores, _), found) in enumerate(zip(said, met, strict=True)):
        shapes.setdefault((len(scores), len(found)), []).append(at)
    for places in shapes.values():
        yield places, [said[at] for at in places], [met[at] for at in places]


def _orders(
    said: Sequence[Said], met: Sequence[Sequence[Matchup]], noise: Noise
) -> Iterator[Order]:
    given = statements(said, noise, met)
    found = posterior(given, noise, is_apart=True)
    inverse: Array = np.asarray(np.linalg.inv(found.precision), dtype=np.float64)
    pull = _pull(given.is_in, noise)
    strengths = _strengths(found.mode, pull, given.is_in, noise)
    both = given.is_in[:, :, None] & given.is_in[:, None, :]
    spread = np.where(both, noise.scale.unit**2 * _around_quality(inverse, pull, noise), np.nan)
    for (scores, _), strong, covariance in zip(said, strengths, spread.tolist(), strict=True):
        ids = tuple(score.candidate_id for score in scores)
        yield Order(ids, _ranking(ids, strong), tuple(strong), tuple(map(tuple, covariance)))


def _strengths(
    seen: Array, pull: Array, is_in: npt.NDArray[np.bool_], noise: Noise
) -> list[list[float]]:
    """In points [G, N]; NaN where a candidate takes no part. Rounded, so that the last bits of the
    solver neither break a tie nor order margins.
    """
    quality = np.einsum("gij,gj->gi", pull, seen)
    low = noise.scale.low if math.isfinite(noise.scale.low) else 0.0
    strengths = np.where(is_in, low + noise.scale.unit * quality, np.nan)
    rounded: list[list[float]] = np.round(strengths, 9).tolist()
    return rounded


def _ranking(ids: Sequence[str], strengths: Sequence[float]) -> tuple[int, ...]:
    """The ids break a tie, which are hashes, so that no place in the group is favoured."""
    valid = [at for at, strong in enumerate(strengths) if math.isfinite(strong)]
    return tuple(sorted(valid, key=lambda at: (-strengths[at], ids[at])))


def _pull(is_in: npt.NDArray[np.bool_], noise: Noise) -> Array:
    """What takes what is seen to quality [G, N, N].

    Given s, quality around the prompt's mean is kept · (s − mean) with variance kept · item_sd²
    (a Gaussian among Gaussians); the mean of a group is that of what is seen in it.
    """
    there = is_in.astype(np.float64)
    num = np.maximum(there.sum(axis=1), 1)[:, None, None]
    level = there[:, :, None] * there[:, None, :] / num
    return np.asarray(level + noise.kept * (np.eye(there.shape[1]) * there[:, :, None] - level))


def _around_quality(covariance: Array, pull: Array, noise: Noise) -> Array:
    """The covariance of quality, from that of what is seen [G, N, N]."""
    around = pull @ covariance @ np.swapaxes(pull, 1, 2)
    rows = np.arange(around.shape[1])
    around[:, rows, rows] += noise.kept * noise.item_sd**2
    return np.asarray(around)
