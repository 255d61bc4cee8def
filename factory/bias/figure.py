"""One figure of the bias profile: a measured quantity that says how far a judge leans.

Some figures accuse: they carry the p-value of the claim that there is no bias that matters. Others
only describe, such as how brightness goes along with scores, for which there may be good reasons.
All that accuse are put to one test together, so that a long list of attributes raises no alarm by
its length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from factory.statistics.intervals import Interval
from factory.statistics.metrics import adjusted_p_values

BiasKind = Literal[
    "position", "association", "edit", "twin", "neglect", "slice", "self-preference", "calibration"
]
Side = Literal["both", "above", "below"]
#: What is measured of the response to edits: points of scores, log-odds of duels, for an attribute.
SCORES, DUELS = "slope of scores", "slope of duels"


@dataclass(frozen=True)
class Relevance:
    """Effects up to these are too small to matter, and no bias.

    points: of the judge's scale, for one standard deviation of an attribute or for a change.
    logits: log-odds of a duel, likewise.
    share: of verdicts, and of preference on its scale from -1 to 1.
    """

    points: float = 0.05
    logits: float = 0.1
    share: float = 0.03


@dataclass(frozen=True)
class Figure:
    """One measured quantity.

    kind: which bias it is about.
    name: the attribute, the edit, the words, the slice as "key=value", or the generator.
    measure: what was measured of it, with its source: "slope of scores".
    unit: of the estimate.
    estimate: with its interval, clustered by prompt.
    num: rows that it rests on.
    num_invalid: rows that could not be read, and are not among `num`.
    neutral: the value that means no bias; None where there is none, as for a rate of errors.
    p_value: that there is no bias that matters; NaN for a figure that does not accuse.
    p_adjusted: the same, adjusted for all figures that accuse (Benjamini & Yekutieli).
    is_flagged: whether `p_adjusted` is at most the false discovery rate.
    accuses: on which side of `neutral` it accuses. A response to what a judge may mind for a good
        reason, such as words that say nothing, accuses on one side alone.
    shrunk: a slope as it is taken out (`factory.bias.shrinkage`); None for what is not.
    corrected: the same quantity after correction; None where nothing was corrected.
    note: a remark in plain text.
    """

    kind: BiasKind
    name: str
    measure: str
    unit: str
    estimate: Interval
    num: int
    num_invalid: int = 0
    neutral: float | None = 0.0
    p_value: float = math.nan
    p_adjusted: float = math.nan
    is_flagged: bool = False
    accuses: Side = "both"
    shrunk: Interval | None = None
    corrected: Interval | None = None
    note: str = ""


def flag(figures: Sequence[Figure], false_discovery_rate: float) -> tuple[Figure, ...]:
    """The figures with adjusted p-values and flags.

    The tests of one judge share pictures and prompts, and a picture that is made brighter is often
    made less saturated: their dependence has no known sign. Benjamini & Yekutieli's procedure holds
    under any dependence; Benjamini & Hochberg's does not.
    """
    adjusted = adjusted_p_values([one.p_value for one in figures])
    return tuple(
        replace(one, p_adjusted=p, is_flagged=p <= false_discovery_rate)  # False for NaN
        for one, p in zip(figures, adjusted, strict=True)
    )
