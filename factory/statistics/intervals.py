"""Estimates with 95 % intervals, by a bootstrap that resamples prompts and not rows.

Rows of one prompt (its candidates, matchups or seeds) are alike, so a bootstrap over rows claims a
precision that is not there. Everything measured here is a function of sums over rows, which makes
a resample a product of two small matrices. Percentile intervals: with few prompts (below about 20)
they are too narrow, and where all rows agree they have no width at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy

from factory.scratch import Scratch

Array = npt.NDArray[np.float64]
#: The cluster of each row: its name, or a number in the order of the names.
Clusters = Sequence[str] | npt.NDArray[np.int64]
#: From sums [R, K] of K terms in each of R resamples to the statistic [R].
Statistic = Callable[[Array], Array]

_TAIL = 2.5  # per cent, on either side
#: Standard deviations of a normal on either side of its mean that hold 95 % of it.
NORMAL_95 = 1.959964
_CHUNK = 4_000_000  # entries of a weight matrix [resamples, prompts] that are held at once
_MOST_KEPT = 4  # larger weight matrices on disk, of 2 bytes an entry


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
    clusters: Clusters,
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
    clusters: Clusters,
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
    return bootstrap_of_clusters(sums_of_clusters(terms, clusters), statistic, num_resamples, seed)


def sums_of_clusters(terms: Array, clusters: Clusters) -> Array:
    """The sum of the rows of each cluster, in the order of the clusters, [C, K].

    Args:
        terms: a row for each observation, [n, K].
        clusters: of each row, length n.
    """
    if len(terms) != len(clusters):
        raise ValueError(f"{len(terms)} rows but {len(clusters)} clusters")
    names, codes = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.empty((len(names), terms.shape[1]))
    for column in range(terms.shape[1]):
        sums[:, column] = np.bincount(codes, terms[:, column], len(names))
    return sums


def bootstrap_of_clusters(
    sums: Array, statistic: Statistic, num_resamples: int = 1000, seed: int = 0
) -> Interval:
    """As `bootstrap_of_sums`, from the sum of each cluster, [C, K]."""
    return bootstraps_of_clusters(sums, _alone(statistic), 1, num_resamples, seed)[0]


def bootstraps_of_clusters(
    sums: Array, statistics: Statistic, num: int, num_resamples: int = 1000, seed: int = 0
) -> list[Interval]:
    """The same of several statistics of the same resamples, such as all slopes of one fit.

    Args:
        sums: of each cluster, [C, K].
        statistics: from sums [R, K] to values [R, num].
        num: of statistics.
        num_resamples: R.
        seed: of the resampling.
    """
    if len(sums) == 0:
        return [Interval(math.nan)] * num
    values = statistics(sums.sum(axis=0, keepdims=True))[0].tolist()
    if len(sums) < 2:
        return [Interval(value) for value in values]
    resampled = np.concatenate(
        [statistics(drawn @ sums) for drawn in _draws(len(sums), num_resamples, seed)]
    )
    return [_percentiles(value, column) for value, column in zip(values, resampled.T, strict=True)]


def _percentiles(value: float, resampled: Array) -> Interval:
    resampled = resampled[np.isfinite(resampled)]
    if len(resampled) == 0:
        return Interval(value)
    low, high = np.percentile(resampled, [_TAIL, 100 - _TAIL])
    return Interval(value, float(low), float(high))


def _alone(statistic: Statistic) -> Statistic:
    """One statistic as a table of one column."""
    return lambda sums: statistic(sums)[:, None]


def _draws(num: int, num_resamples: int, seed: int) -> Iterator[Array]:
    """How often each of `num` clusters is in each resample, [r, num], a few resamples at a time."""
    if num * num_resamples <= _CHUNK:
        yield from _drawn(num, num_resamples, seed)
        return
    counts = _kept_draws(num, num_resamples, seed)
    size = max(1, _CHUNK // num)
    for start in range(0, num_resamples, size):
        rows = counts[start * num : min(start + size, num_resamples) * num]
        yield rows.reshape(-1, num).astype(np.float64)


def _drawn(num: int, num_resamples: int, seed: int) -> Iterator[Array]:
    rng = np.random.default_rng(seed)
    even = np.full(num, 1 / num)
    size = max(1, _CHUNK // num)
    for start in range(0, num_resamples, size):
        yield rng.multinomial(num, even, min(size, num_resamples - start)).astype(np.float64)


@lru_cache(maxsize=_MOST_KEPT)
def _kept_draws(num: int, num_resamples: int, seed: int) -> npt.NDArray[np.uint16]:
    """The same on disk: of many clusters they take longer to draw than all else, and each figure of
    one data set needs the same.
    """
    kept = Scratch(np.uint16)
    for counts in _drawn(num, num_resamples, seed):
        kept.add(counts.ravel())
    return kept.array()


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
        return float(scipy.special.stdtr(self.num_clusters - 1, -distance / self.se))


def jackknife_of_sums(terms: Array, clusters: Clusters, statistic: Statistic) -> Jackknife:
    """Any function of column sums with a clustered standard error; see `bootstrap_of_sums`."""
    return jackknife_of_clusters(sums_of_clusters(terms, clusters), statistic)


def jackknife_of_clusters(sums: Array, statistic: Statistic) -> Jackknife:
    """As `jackknife_of_sums`, from the sum of each cluster, [C, K]."""
    return jackknives_of_clusters(sums, _alone(statistic), 1)[0]


def jackknives_of_clusters(sums: Array, statistics: Statistic, num: int) -> list[Jackknife]:
    """The same of several statistics: from sums [R, K] to values [R, num]."""
    if len(sums) == 0:
        return [Jackknife(math.nan, math.nan, 0)] * num
    total = sums.sum(axis=0, keepdims=True)
    values, without = statistics(total)[0].tolist(), statistics(total - sums)
    return [_left_out(value, column) for value, column in zip(values, without.T, strict=True)]


def _left_out(value: float, without: Array) -> Jackknife:
    num = len(without)
    if num < 2 or not math.isfinite(value) or not np.isfinite(without).all():
        return Jackknife(value, math.nan, num)
    variance = (num - 1) / num * float(((without - value) ** 2).sum())
    return Jackknife(value, math.sqrt(variance), num)
