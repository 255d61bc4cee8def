"""The precision of a whole data set, from the answers about a sample of it.

The target is this data set and no other: its pairs are fixed, and what is random is which of them
were looked at. So the interval comes from the design and not from a model of prompts; pairs of one
prompt need no clustering, since each was drawn by its own probability.

The judge's doubt is known for every pair, looked at or not. Where it is given, people's answers are
predicted from it, and the sample only has to correct the predictions (prediction-powered inference,
Angelopoulos et al. 2023, arXiv 2311.01453, with a sample that is itself drawn by doubt: Zrnic &
Candès 2024, arXiv 2403.03208). The prediction may be as wrong as it likes: that makes the interval
wider, never the estimate wrong, and a prediction that does not help is given the weight 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from factory.statistics.intervals import NORMAL_95, Array, Interval

Cells = npt.NDArray[np.int64]

_Z = NORMAL_95
_MOST = 6.0  # standard deviations from one half, beyond which doubts are alike
_PER_SD = 25  # cells
#: Doubts are told apart by cells of a twenty-fifth of a standard deviation, so that what is known
#: of a set of any size is a table of counts.
NUM_CELLS = 2 * int(_MOST * _PER_SD) + 1

_FOLDS = 10
_LEAST = 20  # answers, below which nothing is predicted


@dataclass(frozen=True)
class Known:
    """What is known of the doubt of all pairs and of those that were drawn.

    cells: of each pair of the sample, [n].
    counts: of all pairs by cell, [NUM_CELLS].
    """

    cells: Cells
    counts: Array


def cells_of(doubt: Array) -> Cells:
    """The cell of each doubt, surest first: the probit of a doubt, in steps, [N] -> [N]."""
    z = np.clip(scipy.special.ndtri(np.asarray(doubt, dtype=np.float64)), -_MOST, _MOST)
    return np.asarray(np.rint((z + _MOST) * _PER_SD), dtype=np.int64)


def weighted_share(
    hits: Array,
    p: Array,
    known: Known | None = None,
    predicted: Predicted | None = None,
) -> Interval:
    """A share of the whole set, with a 95 % interval, from a sample with known probabilities.

    Without predictions the estimate is the ratio of Horvitz & Thompson's totals (Hájek 1971). With
    them, an answer y counts as y - lambda (m - M), where m is what doubt predicts of its pair and M
    the mean prediction over all pairs, which is known (PPI++, equation 5). Lambda, from 0 to 1,
    makes the variance smallest (there, section 6); it is 0 where doubt says nothing, and that is
    the estimate without predictions.

    The variance is that of a draw with independent inclusions, sum of (1 - p) w^2 e^2 over the
    square of sum w with e the residuals, which for a systematic draw in random order errs to the
    safe side. The interval is Wilson's with the number of independent answers that this variance
    stands for (Korn & Graubard 1998); so it stays between 0 and 1, and has a width where all
    answers are the same. That a draw by doubt and predictions stand for more answers than the
    spread of the weights leaves (Kish 1965) is believed as far as residuals bear it out: with
    Student's quantile at Satterthwaite's (1946) degrees of freedom, which are few where few answers
    carry the variance. Where that is less than the answers without predictions are worth, at most
    Kish's number, these count: so no prediction makes an interval wider.

    Args:
        hits: 1 where the answer is yes, 0 where no; the mean of several people's where there are
            several, [n]. NaN where there is no answer: those are left out, as if whether there is
            one had nothing to do with what it would be.
        p: with which each was drawn, above 0, [n].
        known: doubts of the sample and of all pairs that the share is of; None where unknown.
        predicted: of `predict`, where the answers of more pairs than these could be learnt from.
    """
    hits, p = np.asarray(hits, dtype=np.float64), np.asarray(p, dtype=np.float64)
    if not (p > 0).all():
        raise ValueError("an inclusion probability is not above 0: its pairs stand for no others")
    if known is not None and predicted is None:
        predicted = predict(hits, p, known.cells)
    is_answered = np.isfinite(hits)
    hits, p = hits[is_answered], p[is_answered]
    if not len(hits):
        return Interval(math.nan)
    weights = 1 / p
    total = weights.sum()
    share = float((weights * hits).sum() / total)
    if len(hits) < 2:
        return Interval(share)
    if (p >= 1).all():
        return Interval(share, share, share)  # everything was looked at
    plain = _Spread.of(hits - share, p)
    # What the spread of the weights alone leaves (Kish 1965), with the pairs drawn for certain.
    by_weights = total**2 / float(((1 - p) * weights**2).sum())
    if not (plain.variance > 0 and 0 < share < 1):
        return wilson(share, by_weights)  # all answers agree, and the variance says nothing
    num = min(by_weights, plain.num(share))
    found, spread = share, plain
    if known is not None and predicted is not None and len(hits) >= _LEAST:
        by_doubt = predicted.of(is_answered, known.counts)
        seen = by_doubt.here - (weights * by_doubt.here).sum() / total
        strength = _strength(hits - share, seen, (1 - p) * weights**2)
        moved = share - strength * float((weights * (by_doubt.here - by_doubt.mean)).sum() / total)
        if 0 < moved < 1:
            found, spread = moved, _Spread.of(hits - share - strength * seen, p)
    return wilson(found, max(num, spread.sure_num(found)))


@dataclass(frozen=True)
class _Spread:
    """The variance of a weighted mean of residuals, and the degrees of freedom that it rests on."""

    variance: float
    freedom: float

    @classmethod
    def of(cls, residuals: Array, p: Array) -> _Spread:
        parts = (residuals / p) ** 2 * (1 - p)
        correction = len(p) / (len(p) - 1)
        variance = float(correction * parts.sum() / (1 / p).sum() ** 2)
        return cls(variance, float(parts.sum() ** 2 / (parts**2).sum()) if variance > 0 else 0.0)

    def num(self, share: float) -> float:
        """As many independent answers have this variance."""
        return share * (1 - share) / self.variance

    def sure_num(self, share: float) -> float:
        """The same, as many fewer as Student's quantile is larger than the normal one."""
        if not self.variance > 0:
            return 0.0
        return self.num(share) * (_Z / float(scipy.special.stdtrit(self.freedom, 0.975))) ** 2


@dataclass(frozen=True)
class ByDoubt:
    """Predictions of the answered pairs, [n], and their mean over all pairs."""

    here: Array
    mean: Array


@dataclass(frozen=True)
class Predicted:
    """What doubt says of each pair's answer, learnt from the answers to other pairs.

    curves: predicted answer in each cell, one curve for each fold, [folds, NUM_CELLS].
    folds: of each pair of the sample, [n]; its own answer has no part in its fold's curve.
    cells: of each pair of the sample, [n].
    """

    curves: Array
    folds: Cells
    cells: Cells

    def of(self, is_wanted: npt.NDArray[np.bool_], counts: Array) -> ByDoubt:
        """Of some pairs of the sample, and of all the pairs that they stand for.

        Args:
            is_wanted: which pairs of the sample, [n].
            counts: of all pairs that they stand for, by cell, [NUM_CELLS].
        """
        folds = self.folds[is_wanted]
        means = self.curves @ counts / counts.sum()
        return ByDoubt(self.curves[folds, self.cells[is_wanted]], means[folds])

    def take(self, is_mine: npt.NDArray[np.bool_]) -> Predicted:
        """The same of a part of the sample."""
        return Predicted(self.curves, self.folds[is_mine], self.cells[is_mine])


def predict(hits: Array, p: Array, cells: Cells) -> Predicted | None:
    """Learn people's answers from doubt, cross-fitted; None where the answers are too few.

    The more doubt the fewer hits, or the more: an isotonic curve, in the direction of the slope,
    has no other assumption and nothing to choose (Barlow et al. 1972). Answers count as much as
    their residuals do in the variance, (1 - p) w^2. A pair is predicted from the other nine tenths
    of the answers, so that a curve fitted closely to few answers gains nothing by it.

    Args:
        hits: as of `weighted_share`, [n].
        p: with which each was drawn, [n].
        cells: of `cells_of`, [n].
    """
    answered = np.flatnonzero(np.isfinite(hits))
    if len(answered) < _LEAST:
        return None
    folds = np.arange(len(hits)) % _FOLDS  # samples are in the order of ids, which are random
    folds[answered] = np.arange(len(answered)) % _FOLDS
    curves = np.empty((_FOLDS, NUM_CELLS))
    for fold in range(_FOLDS):
        others = answered[folds[answered] != fold]
        curves[fold] = _curve(hits[others], (1 - p[others]) / p[others] ** 2, cells[others])
    return Predicted(curves, folds, cells)


def _curve(hits: Array, weights: Array, cells: Cells) -> Array:
    """The isotonic curve over all cells; between cells with answers it is a straight line."""
    counts = np.bincount(cells, weights, NUM_CELLS)
    there = np.flatnonzero(counts > 0)
    if not len(there):
        return np.zeros(NUM_CELLS)
    mean = np.bincount(cells, weights * hits, NUM_CELLS)[there] / counts[there]
    centre = np.average(there, weights=counts[there])
    rises = float((counts[there] * (there - centre) * mean).sum()) > 0
    fitted = scipy.optimize.isotonic_regression(mean, weights=counts[there], increasing=rises).x
    return np.asarray(np.interp(np.arange(NUM_CELLS), there, fitted))


def _strength(residuals: Array, seen: Array, weights: Array) -> float:
    """How much of the prediction is taken, 0 to 1: that which leaves the least variance."""
    below = float((weights * seen**2).sum())
    return min(max(float((weights * residuals * seen).sum()) / below, 0.0), 1.0) if below else 0.0


def wilson(share: float, num: float) -> Interval:
    """A share of `num` independent answers with Wilson's (1927) 95 % interval."""
    centre = (share + _Z**2 / (2 * num)) / (1 + _Z**2 / num)
    half = _Z * math.sqrt(share * (1 - share) / num + _Z**2 / (4 * num**2)) / (1 + _Z**2 / num)
    # Rounding must not push the ends past the share itself, which is one of them at 0 and at 1.
    return Interval(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)))
