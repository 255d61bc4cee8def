"""Accuracy with ties for a judge that gives a number and never says "tie".

"tau" in published tables: two sides count as tied where their scores differ by at most a threshold,
and the threshold is the one with which most labels are met (Deutsch, Foster & Freitag 2023, "Ties
Matter", section 5). GenAI-Bench and VideoGen-RewardBench are reported so. "diff" is the accuracy on
labels that are no ties.

The threshold is searched on the very labels that are then counted, so "tau" flatters: a judge that
knows nothing gets at least the share of ties. `cross_fitted` is what remains when each half of the
prompts is measured with the threshold of the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from factory.statistics.intervals import Array, Interval, clustered_bootstrap
from schemas.rows import Preference, seed_of

_SIGN: dict[Preference, int] = {"first": 1, "second": -1, "tie": 0}
_TAIL = 2.5  # per cent
_CHUNK = 4_000_000  # entries of a matrix [resamples, rows] that are held at once


@dataclass(frozen=True)
class TieAccuracy:
    """Accuracy with ties over score differences.

    accuracy: with the best threshold; the interval searches anew in every resample.
    threshold: the smallest of the best; differences up to it are ties. Negative: none is.
    cross_fitted: with thresholds from the other half of the prompts.
    num_labels: those with a known difference.
    """

    accuracy: Interval
    threshold: float
    cross_fitted: Interval
    num_labels: int


def accuracy_with_ties(
    differences: Sequence[float] | Array,
    labels: Sequence[Preference],
    clusters: Sequence[str],
    num_resamples: int = 1000,
    seed: int = 0,
) -> TieAccuracy:
    """Accuracy with the threshold of ties that serves the judge best.

    Args:
        differences: score of the first side minus score of the second, or log-odds that the first
            is better; NaN where the judge could not tell, which is left out.
        labels: what people said.
        clusters: the prompt of each.
        num_resamples: of the bootstrap over prompts.
        seed: of the bootstrap.
    """
    found = np.asarray(differences, dtype=np.float64)
    if not len(found) == len(labels) == len(clusters):
        raise ValueError(
            f"{len(found)} differences, {len(labels)} labels, {len(clusters)} clusters"
        )
    known = np.flatnonzero(np.isfinite(found)).tolist()
    d = found[known]
    signs = np.array([_SIGN[labels[i]] for i in known], dtype=np.int64)
    prompts = [clusters[i] for i in known]
    if len(d) == 0:
        return TieAccuracy(Interval(math.nan), math.nan, Interval(math.nan), 0)
    value, threshold = best_threshold(d, signs)
    return TieAccuracy(
        _interval(d, signs, prompts, value, num_resamples, seed),
        threshold,
        _cross_fitted(d, signs, prompts, num_resamples, seed),
        len(d),
    )


def best_threshold(d: Array, signs: npt.NDArray[np.int64]) -> tuple[float, float]:
    """The largest share of labels met by any threshold, and the smallest such threshold.

    Args:
        d: differences, [n].
        signs: labels as 1, -1 and 0 for a tie, [n].
    """
    ladder = _Ladder(d, signs)
    met = ladder.met(np.ones((1, len(d))))[0]
    best = int(met.argmax())
    return float(met[best] / len(d)), float(ladder.thresholds[best])


class _Ladder:
    """All thresholds from none to the largest difference, and how many labels each meets.

    As the threshold passes a row, its prediction turns from a side to a tie: the count of labels
    met is a running sum.
    """

    def __init__(self, d: Array, signs: npt.NDArray[np.int64]) -> None:
        self.order = np.argsort(np.abs(d), kind="stable")
        sizes = np.abs(d)[self.order]
        # Rows of one size become ties together: only the last of them is a threshold.
        self._last = np.flatnonzero(np.append(np.diff(sizes) > 0, True))
        self.thresholds = np.concatenate([[-1.0], sizes[self._last]])
        self._is_right = (np.sign(d) * signs > 0)[self.order].astype(np.float64)
        self._step = (signs == 0)[self.order] - self._is_right

    def met(self, weights: Array) -> Array:
        """Labels met at each threshold, [R, thresholds], from weights [R, n] of the rows."""
        ordered = weights[:, self.order]
        none = ordered @ self._is_right
        running = np.cumsum(ordered * self._step, axis=1)[:, self._last]
        return np.concatenate([none[:, None], none[:, None] + running], axis=1)


def _interval(
    d: Array,
    signs: npt.NDArray[np.int64],
    prompts: Sequence[str],
    value: float,
    num_resamples: int,
    seed: int,
) -> Interval:
    """The bootstrap of `factory.statistics.intervals`, for what is no function of sums."""
    names, codes = np.unique(np.asarray(prompts), return_inverse=True)
    if len(names) < 2:
        return Interval(value)
    ladder = _Ladder(d, signs)
    rng = np.random.default_rng(seed)
    even = np.full(len(names), 1 / len(names))
    size = max(1, _CHUNK // len(d))
    drawn = []
    for start in range(0, num_resamples, size):
        draws = rng.multinomial(len(names), even, min(size, num_resamples - start))
        weights = draws[:, codes].astype(np.float64)
        drawn.append(ladder.met(weights).max(axis=1) / weights.sum(axis=1))
    low, high = np.percentile(np.concatenate(drawn), [_TAIL, 100 - _TAIL])
    return Interval(value, float(low), float(high))


def _cross_fitted(
    d: Array, signs: npt.NDArray[np.int64], prompts: Sequence[str], num_resamples: int, seed: int
) -> Interval:
    half = np.array([seed_of("half", prompt) % 2 for prompt in prompts], dtype=np.int64)
    hits = np.full(len(d), np.nan)
    for side in (0, 1):
        mine, other = half == side, half != side
        if not mine.any() or not other.any():
            return Interval(math.nan)
        _, threshold = best_threshold(d[other], signs[other])
        predicted = np.where(np.abs(d[mine]) <= threshold, 0, np.sign(d[mine]))
        # An exact draw below every threshold is no side: it meets no label.
        is_side = np.abs(d[mine]) > threshold
        hits[mine] = (predicted == signs[mine]) & ~(is_side & (predicted == 0))
    return clustered_bootstrap(hits, prompts, num_resamples, seed)
