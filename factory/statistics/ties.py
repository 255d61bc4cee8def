"""Accuracy with ties for a judge that gives a number and never says "tie".

"tau" in published tables: two sides count as tied where their scores differ by at most a threshold,
and the threshold is the one with which most labels are met (Deutsch, Foster & Freitag 2023, "Ties
Matter", section 5). GenAI-Bench and VideoGen-RewardBench are reported so. "diff" is the accuracy on
labels that are no ties.

The threshold is searched on the very labels that are then counted, so "tau" flatters: a judge that
knows nothing gets at least the share of ties. `cross_fitted` is what remains when each half of the
prompts is measured with the threshold of the other. It alone has an interval, for which each
resample of prompts searches the thresholds anew: the largest of many shares is pulled up in every
resample, so percentiles of it lie off the truth (of 95 % intervals 74 to 83 % covered it).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from factory.statistics.intervals import Array, Interval
from schemas.rows import Preference, seed_of

_SIGN: dict[Preference, int] = {"first": 1, "second": -1, "tie": 0}
_TAIL = 2.5  # per cent
_CHUNK = 4_000_000  # entries of a matrix [resamples, rows] that are held at once


@dataclass(frozen=True)
class TieAccuracy:
    """Accuracy with ties over score differences.

    accuracy: with the best threshold, as published; without an interval.
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
        Interval(value),
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


def _cross_fitted(
    d: Array, signs: npt.NDArray[np.int64], prompts: Sequence[str], num_resamples: int, seed: int
) -> Interval:
    """Each half of the prompts by the threshold of the other, and the same in resamples of prompts,
    in which both thresholds are searched anew; NaN where a half is empty.
    """
    names, codes = np.unique(np.asarray(prompts), return_inverse=True)
    half = np.array([seed_of("half", name) % 2 for name in names], dtype=np.int64)[codes]
    rows = [np.flatnonzero(half == side) for side in (0, 1)]
    if not all(map(len, rows)):
        return Interval(math.nan)
    ladders = [_Ladder(d[mine], signs[mine]) for mine in rows]

    def shares(weights: Array) -> Array:
        """The cross-fitted accuracy [R] where rows count as `weights` [R, n]."""
        met = [ladder.met(weights[:, mine]) for ladder, mine in zip(ladders, rows, strict=True)]
        total = np.zeros(len(weights))
        for side, other in ((0, 1), (1, 0)):
            threshold = ladders[other].thresholds[met[other].argmax(axis=1)]
            # A threshold between two sizes ties what the lower of them ties.
            step = np.searchsorted(ladders[side].thresholds, threshold, side="right") - 1
            total += met[side][np.arange(len(weights)), step]
        return np.asarray(total / weights.sum(axis=1))

    value = float(shares(np.ones((1, len(d))))[0])
    rng = np.random.default_rng(seed)
    even = np.full(len(names), 1 / len(names))
    size = max(1, _CHUNK // len(d))
    drawn = []
    for start in range(0, num_resamples, size):
        draws = rng.multinomial(len(names), even, min(size, num_resamples - start))
        drawn.append(shares(draws[:, codes].astype(np.float64)))
    low, high = np.percentile(np.concatenate(drawn), [_TAIL, 100 - _TAIL])
    return Interval(value, float(low), float(high))
