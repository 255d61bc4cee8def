"""What is measured of judges and of generators, each a plain function of plain numbers.

A judgement that could not be read is NaN here: it is neither right, wrong nor a tie, it is left out
of every mean, and `Accuracy` carries its rate beside the accuracies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from factory.media.pictures import hash_distance
from factory.statistics.intervals import (
    Array,
    Interval,
    clustered_bootstrap,
)
from schemas.rows import Preference

_CODE: dict[Preference, int] = {"first": 0, "second": 1, "tie": 2}
_HASH_BITS = 64  # of `factory.media.pictures.pictures.perceptual_hash`


@dataclass(frozen=True)
class Accuracy:
    """How often a judge agrees with labels.

    with_ties: the most probable of first, second and tie is the label, over all labels
        (Deutsch, Foster & Freitag 2023, "Ties Matter", without their calibration of ties).
    without_ties: the more probable of first and second is the label, over labels that are not
        ties; an exact draw counts half.
    invalid_rate: share of judgements that could not be read; they are in neither accuracy.
    num_labels: with the invalid ones.
    """

    with_ties: Interval
    without_ties: Interval
    invalid_rate: float
    num_labels: int


def accuracy(
    p: Sequence[Sequence[float]] | Array,
    labels: Sequence[Preference],
    clusters: Sequence[str],
    num_resamples: int = 1000,
    seed: int = 0,
) -> Accuracy:
    """Agreement of a judge with labels.

    Args:
        p: probabilities of first, second and tie, [n, 3]; NaN where unreadable.
        labels: what people said, length n.
        clusters: the prompt of each, length n.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    p = np.asarray(p, dtype=np.float64).reshape(len(p), 3)
    codes = np.array([_CODE[label] for label in labels], dtype=np.int64)
    if len(p) != len(codes):
        raise ValueError(f"{len(p)} judgements but {len(codes)} labels")
    is_read = np.isfinite(p).all(axis=1)
    hits = np.full((2, len(p)), np.nan)
    hits[0, is_read] = _verdicts(p[is_read]) == codes[is_read]
    is_decided = is_read & (codes != _CODE["tie"])
    lead = np.sign(p[is_decided, 0] - p[is_decided, 1])  # 1, 0 or -1
    hits[1, is_decided] = (1 + lead * np.where(codes[is_decided] == _CODE["first"], 1, -1)) / 2
    with_ties, without_ties = (
        clustered_bootstrap(row, clusters, num_resamples, seed) for row in hits
    )
    invalid_rate = float(1 - is_read.mean()) if len(p) else math.nan
    return Accuracy(with_ties, without_ties, invalid_rate, len(p))


def _verdicts(p: Array) -> npt.NDArray[np.int64]:
    """The rule of `Duel.preference` for all rows: a draw of first and second is a tie."""
    is_tie = (p[:, 2] >= p[:, :2].max(axis=1, initial=0.0)) | (p[:, 0] == p[:, 1])
    winner = np.where(p[:, 0] > p[:, 1], _CODE["first"], _CODE["second"])
    return np.where(is_tie, _CODE["tie"], winner)


def win_rate(
    outcomes: Sequence[Preference | None],
    clusters: Sequence[str],
    num_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """How often the first of two models wins, a tie counting half; None is an invalid outcome."""
    points = {"first": 1.0, "second": 0.0, "tie": 0.5, None: math.nan}
    values = [points[outcome] for outcome in outcomes]
    return clustered_bootstrap(values, clusters, num_resamples, seed)


def flip_rate(
    is_flipped: Sequence[bool],
    clusters: Sequence[str],
    num_resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Share of matchups whose verdict changes with the order in which the two are shown."""
    return clustered_bootstrap([float(one) for one in is_flipped], clusters, num_resamples, seed)


def brier(p: Sequence[float] | Array, outcomes: Sequence[float] | Array) -> float:
    """Mean squared difference of probability and outcome (Brier 1950), 0 to 1, for two classes.

    Args:
        p: probabilities that the first side is better.
        outcomes: 1 where it is, 0 where the second is, 0.5 for a tie.
    """
    probability, outcome = _known(p, outcomes)
    return _mean((probability - outcome) ** 2)


def expected_calibration_error(
    p: Sequence[float] | Array, outcomes: Sequence[float] | Array, num_bins: int = 10
) -> float:
    """How far probabilities are from frequencies, 0 to 1 (Naeini et al. 2015, Guo et al. 2017).

    Rows are binned by `p` into bins of equal width; the result is the mean over rows of the
    difference between their bin's mean probability and its mean outcome. With few rows it is above
    zero for a perfectly calibrated judge too: compare judges on the same labels.
    """
    probability, outcome = _known(p, outcomes)
    bins = np.minimum((probability * num_bins).astype(np.int64), num_bins - 1)
    gaps = np.bincount(bins, weights=probability - outcome, minlength=num_bins)
    return float(np.abs(gaps).sum() / len(probability)) if len(probability) else math.nan


def hash_share(first: int, second: int) -> float:
    """Share of the bits in which two perceptual hashes differ, 0 to 1."""
    return hash_distance(first, second) / _HASH_BITS


def adjusted_p_values(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: those of at most q make a list with a false discovery rate of q, however
    the tests depend on each other (Benjamini & Yekutieli 2001, theorem 1.3). A NaN stays NaN and is
    no test.
    """
    from scipy.stats import false_discovery_control  # takes longer to load than all of this package

    adjusted = np.array(p_values, dtype=np.float64)
    is_known = np.isfinite(adjusted)
    if is_known.any():
        adjusted[is_known] = false_discovery_control(adjusted[is_known], method="by")
    return [float(p) for p in adjusted]


def _known(x: Sequence[float] | Array, y: Sequence[float] | Array) -> tuple[Array, Array]:
    """Both columns without the rows in which either is NaN."""
    left, right = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if left.shape != right.shape:
        raise ValueError(f"columns of different length: {left.shape} and {right.shape}")
    known = np.isfinite(left) & np.isfinite(right)
    return left[known], right[known]


def _mean(values: Sequence[float] | Array) -> float:
    return float(np.mean(values)) if len(values) else math.nan
