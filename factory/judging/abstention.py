"""When a judge should not be heard: the least confidence that keeps a wanted precision.

Confidence is the probability of the side that the judge prefers, as the judge claims it: its order
is all that matters, and a map fitted on the same labels would only blur it. A few shares of the
most confident pairs are tried, fixed before the labels are looked at; for each, a one-sided
Clopper-Pearson bound says how small the precision could be, and the largest share whose bound
reaches the target is taken. The level is divided by the number of shares tried (Bonferroni), so the
target holds for the one taken with the stated level.

Pairs of one prompt are alike, so a bound from their number would claim too much. The effective
number is used instead (Korn & Graubard 1998): the number of pairs over the design effect, from the
intraclass correlation of being right. With one pair a prompt the bound is exact, else approximate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from factory.statistics.intervals import Array

#: Shares of the most confident pairs that are tried.
SHARES = tuple(share / 10 for share in range(1, 11))
LEVEL = 0.95


@dataclass(frozen=True)
class Abstention:
    """A rule, and what was measured with it on the labels that it was fitted on.

    confidence: least probability of the preferred side; None where no share reaches the target,
        and then no pair does.
    target: the precision asked for: share of decided pairs in which people prefer the same side.
        A pair that people call a tie counts against it.
    precision: as measured on the pairs kept; None where none is.
    precision_low: its lower bound, by which the rule was chosen.
    coverage: share of pairs kept.
    num_pairs: all that were looked at.
    num_effective: what the kept ones are worth as independent pairs.
    """

    confidence: float | None
    target: float
    precision: float | None
    precision_low: float | None
    coverage: float
    num_pairs: int
    num_effective: float

    def accepts(self, confidence: float) -> bool:
        """Whether a judgement of this confidence is heard."""
        return self.confidence is not None and confidence >= self.confidence


def fit_abstention(
    confidences: Sequence[float] | Array,
    is_right: Sequence[bool] | npt.NDArray[np.bool_],
    clusters: Sequence[str],
    target: float,
) -> Abstention:
    """Choose the least confidence at which the precision is `target` at least.

    Args:
        confidences: claimed probabilities of the preferred sides, [n].
        is_right: whether people prefer the same side, [n].
        clusters: the prompt of each.
        target: wanted precision.
    """
    confidence = np.asarray(confidences, dtype=np.float64)
    right = np.asarray(is_right, dtype=np.float64)
    prompts = np.asarray(clusters)
    num = len(confidence)
    none = Abstention(None, target, None, None, 0.0, num, 0.0)
    if num == 0:
        return none
    alike = intraclass_correlation(right, prompts)
    order = np.sort(confidence)[::-1]
    best = none
    for share in SHARES:
        least = float(order[max(math.ceil(share * num), 1) - 1])
        kept = confidence >= least
        precision, size = float(right[kept].mean()), float(kept.sum())
        size /= _design_effect(prompts[kept], alike)
        low = lower_bound(precision * size, size, 1 - (1 - LEVEL) / len(SHARES))
        if low >= target:
            best = Abstention(least, target, precision, low, float(kept.mean()), num, size)
    return best


def lower_bound(num_right: float, num: float, level: float = LEVEL) -> float:
    """One-sided Clopper-Pearson bound of a share; numbers need not be whole."""
    if num_right <= 0:
        return 0.0
    return float(scipy.stats.beta.ppf(1 - level, num_right, num - num_right + 1))


def intraclass_correlation(values: Array, clusters: npt.NDArray[np.str_]) -> float:
    """How alike values of one cluster are, 0 to 1, by analysis of variance.

    Values that do not vary at all say nothing about it; they are taken as wholly alike.
    """
    _, codes, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    num, groups = len(values), len(sizes)
    if groups == num:
        return 0.0
    if groups < 2 or np.ptp(values) == 0:
        return 1.0
    means = np.bincount(codes, weights=values) / sizes
    between = float((sizes * (means - values.mean()) ** 2).sum()) / (groups - 1)
    within = float(((values - means[codes]) ** 2).sum()) / (num - groups)
    typical = (num - float((sizes**2).sum()) / num) / (groups - 1)
    total = between + (typical - 1) * within
    return min(max((between - within) / total, 0.0), 1.0) if total > 0 else 1.0


def _design_effect(clusters: npt.NDArray[np.str_], alike: float) -> float:
    _, sizes = np.unique(clusters, return_counts=True)
    return 1.0 + (float((sizes**2).sum()) / float(sizes.sum()) - 1.0) * alike
