"""Estimates with 95 % intervals, by a bootstrap that resamples prompts and not rows.

Rows of one prompt (its candidates, matchups or seeds) are alike, so a bootstrap over rows claims a
precision that is not there. Everything measured here is a function of sums over rows, which makes
a resample a product of two small matrices. Percentile intervals: with few prompts (below about 20)
they are too narrow, and where all rows agree they have no width at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr

Array = npt.NDArray[np.float64]
#: From sums [R, K] of K terms in each of R resamples to the statistic [R].
Statistic = Callable[[Array], Array]

_TAIL = 2.5  # per cent, on either side
_CHUNK = 4_000_000  # entries of a weight matrix [resamples, prompts] that are held at once


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval; NaN where it cannot be told."""

    value: float
    low: float = math.nan
    high: float = math.nan

    def excludes(self, neutral: float) -> bool:
        """Whether the interval is known and leaves out a value."""
        return self.low > neutral or self.high < neutral


def clustered_bootstrap(
    values: Sequence[float] | Array,
    clusters: Sequence[str],
    num_resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """The mean of `values`, with an interval clustered by `clusters`.

    NaN values are left out: report how many they were beside the estimate.
    """
    column = np.asarray(values, dtype=np.float64)
    known = np.isfinite(column)
    terms = np.stack([column[known], np.ones(int(known.sum()))], axis=1)
    kept = [cluster for cluster, is_known in zip(clusters, known, strict=True) if is_known]
    return bootstrap_of_sums(terms, kept, mean_of_sums, num_resamples, seed)


def mean_of_sums(sums: Array) -> Array:
    """The mean, from sums of (value, 1)."""
    return ratio(sums[:, 0], sums[:, 1])


def bootstrap_of_sums(
    terms: Array,
    clusters: Sequence[str],
    statistic: Statistic,
    num_resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Any function of column sums (a mean, a slope, a correlation) with a clustered interval.

    Whole clusters are drawn with replacement, as many as there are (Davison & Hinkley 1997,
    section 3.8). The interval is NaN for fewer than two clusters.

    Args:
        terms: a row for each observation, [n, K].
        clusters: of each row, length n.
        statistic: from sums [R, K] to values [R].
        num_resamples: R.
        seed: of the resampling; the same seed gives the same interval.
    """
    if len(terms) == 0:
        return Interval(math.nan)
    if len(terms) != len(clusters):
        raise ValueError(f"{len(terms)} rows but {len(clusters)} clusters")
    names, codes = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.zeros((len(names), terms.shape[1]))
    np.add.at(sums, codes, terms)
    value = float(statistic(sums.sum(axis=0, keepdims=True))[0])
    if len(names) < 2:
        return Interval(value)
    rng = np.random.default_rng(seed)
    even = np.full(len(names), 1 / len(names))
    size = max(1, _CHUNK // len(names))
    drawn = [
        statistic(rng.multinomial(len(names), even, min(size, num_resamples - start)) @ sums)
        for start in range(0, num_resamples, size)
    ]
    resampled = np.concatenate(drawn)
    resampled = resampled[np.isfinite(resampled)]
    if len(resampled) == 0:
        return Interval(value)
    low, high = np.percentile(resampled, [_TAIL, 100 - _TAIL])
    return Interval(value, float(low), float(high))


def ratio(above: Array, below: Array) -> Array:
    """`above / below`, NaN where `below` is zero."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0)


@dataclass(frozen=True)
class Jackknife:
    """An estimate with its standard error, by leaving out one cluster at a time.

    It holds for few clusters too (CV3 in MacKinnon, Nielsen & Webb 2023), and unlike a share of
    bootstrap resamples its p-value has no smallest size, which adjusting for many tests needs.

    value: NaN where it cannot be told.
    se: NaN for fewer than two clusters, or where the estimate hangs on a single one.
    num_clusters: one more than the degrees of freedom.
    """

    value: float
    se: float
    num_clusters: int

    def p_beyond(self, margin: float = 0.0) -> float:
        """Two-sided p-value that the truth lies within `margin` of zero, by Student's t.

        With enough rows every difference from zero is significant; one that matters is further
        away than a margin that was chosen before. A margin of 0 is the usual test.
        """
        size = abs(self.value)
        return min(self._tail(size - margin) + self._tail(size + margin), 1.0)  # NaN stays NaN

    def p_above(self, limit: float) -> float:
        """One-sided p-value that the truth is at most `limit`."""
        return self._tail(self.value - limit)

    def p_below(self, limit: float) -> float:
        """One-sided p-value that the truth is at least `limit`."""
        return self._tail(limit - self.value)

    def _tail(self, distance: float) -> float:
        if not math.isfinite(distance) or math.isnan(self.se):
            return math.nan
        if self.se == 0:
            return 0.5 if distance == 0 else float(distance < 0)
        return float(stdtr(self.num_clusters - 1, -distance / self.se))


def jackknife_of_sums(terms: Array, clusters: Sequence[str], statistic: Statistic) -> Jackknife:
    """Any function of column sums with a clustered standard error; see `bootstrap_of_sums`."""
    if len(terms) == 0:
        return Jackknife(math.nan, math.nan, 0)
    names, codes = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    sums = np.zeros((len(names), terms.shape[1]))
    np.add.at(sums, codes, terms)
    total = sums.sum(axis=0, keepdims=True)
    value = float(statistic(total)[0])
    without = statistic(total - sums)
    if len(names) < 2 or not math.isfinite(value) or not np.isfinite(without).all():
        return Jackknife(value, math.nan, len(names))
    variance = (len(names) - 1) / len(names) * float(((without - value) ** 2).sum())
    return Jackknife(value, math.sqrt(variance), len(names))
