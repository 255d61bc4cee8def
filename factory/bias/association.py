"""How far preferences go along with an attribute of the media, such as brightness.

Every source of preferences takes one form: rows of (how far the first side is preferred, how the
sides differ in each attribute). Nothing changes when the two sides of a row are swapped, so lines
are fitted through the origin and correlations are not centred.

An association is not yet a bias: people may like bright pictures for good reasons. Compare a
judge's association with the people's own, or look at the `excess`: the judge's expected preference
minus the label on the very same two sides, which is zero on average, whatever the attribute, for a
judge whose probabilities are right. Calibrate first: an over-confident judge has an excess of
everything that people value. Note too that the duels of a bracket are no random pairs: candidates
of like score meet more often, so slopes of duels are not those of random pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtr

from factory.intervals import Array, Interval, bootstrap_of_sums, ratio
from factory.metrics import benjamini_hochberg

#: Adjusted p-values up to this are flagged: the share of false alarms among all flags of a source.
FALSE_DISCOVERY_RATE = 0.05

Source = Literal["duels", "scores", "people", "excess"]
#: What a slope of each source means.
UNITS: dict[Source, str] = {
    "duels": "log-odds per sd",
    "scores": "points per sd",
    "people": "preference (-1 to 1) per sd",
    "excess": "preference (-1 to 1) per sd",
}


@dataclass(frozen=True)
class Comparisons:
    """Compared sides of one source.

    prompts: the prompt of each row, length n.
    leads: how far the first side is preferred, in the source's unit, [n].
    differences: attributes of the first side minus those of the second, in standard deviations
        over candidates, [n, K].
    """

    source: Source
    prompts: Sequence[str]
    leads: Array
    differences: Array


@dataclass(frozen=True)
class Association:
    """One attribute and one source of preferences.

    slope: of the preference over the attribute, through the origin.
    correlation: of the two, not centred.
    p_value: that the slope is zero.
    p_adjusted: the same, adjusted for the number of attributes (Benjamini & Hochberg).
    is_flagged: whether `p_adjusted` is at most `FALSE_DISCOVERY_RATE`.
    num: rows that it rests on.
    """

    attribute: str
    source: Source
    slope: Interval
    correlation: Interval
    p_value: float
    p_adjusted: float
    is_flagged: bool
    num: int


def associate(
    rows: Comparisons, names: Sequence[str], num_resamples: int = 1000, seed: int = 0
) -> tuple[Association, ...]:
    """The association of each attribute; intervals and p-values are clustered by prompt."""
    y = rows.leads
    p_values = [_p_value(x, y, rows.prompts) for x in rows.differences.T]
    adjusted = benjamini_hochberg(p_values)
    found = []
    for name, x, p_value, p_adjusted in zip(
        names, rows.differences.T, p_values, adjusted, strict=True
    ):
        terms = np.stack([x * y, x * x, y * y], axis=1)
        slope, correlation = (
            bootstrap_of_sums(terms, rows.prompts, statistic, num_resamples, seed)
            for statistic in (_slope, _correlation)
        )
        is_flagged = p_adjusted <= FALSE_DISCOVERY_RATE  # False for NaN
        found.append(
            Association(
                name, rows.source, slope, correlation, p_value, p_adjusted, is_flagged, len(y)
            )
        )
    return tuple(found)


def _slope(sums: Array) -> Array:
    return ratio(sums[:, 0], sums[:, 1])


def _correlation(sums: Array) -> Array:
    return ratio(sums[:, 0], np.sqrt(sums[:, 1] * sums[:, 2]))


def _p_value(x: Array, y: Array, prompts: Sequence[str]) -> float:
    """Two-sided, from the slope's jackknife over prompts and Student's t.

    Leaving out one of G prompts at a time gives a standard error that holds for few prompts too
    (CV3 in MacKinnon, Nielsen & Webb 2023), with G - 1 degrees of freedom. Unlike a share of
    bootstrap resamples a p-value has no smallest size, which the adjustment for many tests needs.
    """
    names, codes = np.unique(np.asarray(prompts, dtype=str), return_inverse=True)
    covariance, power = (
        np.bincount(codes, weights=column, minlength=len(names)) for column in (x * y, x * x)
    )
    if len(names) < 2 or (power == power.sum()).any():
        return math.nan  # the slope of all, or of all but one, is unknown
    slope = covariance.sum() / power.sum()
    without = (covariance.sum() - covariance) / (power.sum() - power)
    variance = (len(names) - 1) / len(names) * float(((without - slope) ** 2).sum())
    if variance == 0:
        return 1.0 if slope == 0 else 0.0
    return float(2 * stdtr(len(names) - 1, -abs(slope) / math.sqrt(variance)))
