"""Gates: what a model must show before it is promoted.

Each gate compares one figure with the recipe's threshold and says so in a sentence. A figure that
could not be measured does not pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from factory.intervals import Interval
from schemas import recipe

#: Added to the name of a gate that looks at several attributes: "max_attribute_drift:sharpness".
_OF = ":"


@dataclass(frozen=True)
class Finding:
    """What one gate saw.

    name: the recipe's key, with ":attribute" where it looks at several.
    value: what was measured.
    threshold: as the recipe has it.
    passed: whether the model may go on.
    text: one sentence, for people.
    low, high: the 95 % interval of `value`; NaN where there is none.
    """

    name: str
    value: float
    threshold: float
    passed: bool
    text: str
    low: float = math.nan
    high: float = math.nan


def judge_gates(
    accuracy: Interval, flip_rate: Interval, gates: recipe.Gates
) -> tuple[Finding, ...]:
    """May this judge label data?

    Args:
        accuracy: on held-out labels without ties.
        flip_rate: share of verdicts on them that change with the order shown.
        gates: the thresholds.
    """
    return (
        _at_least("min_judge_accuracy", "accuracy", accuracy, gates.min_judge_accuracy),
        _at_most("max_flip_rate", "flip rate", flip_rate, gates.max_flip_rate),
    )


def generator_gates(
    win_rate: Interval, drift: Mapping[str, float], gates: recipe.Gates
) -> tuple[Finding, ...]:
    """May this challenger replace the champion?

    The bound must be *above* the threshold: against a champion that it equals, every comparison is
    a tie and the bound is exactly one half, which is no reason to promote.

    Args:
        win_rate: against the champion on held-out prompts, by a judge that it was not trained on.
        drift: shift of each attribute, in standard deviations of the base.
        gates: the thresholds.
    """
    wanted = gates.min_win_rate
    is_above = win_rate.low > wanted  # False for NaN
    if math.isnan(win_rate.low):
        text = "win rate could not be measured"
    else:
        text = f"win rate's lower bound {_compare(win_rate.low, wanted)}"
    first = Finding(
        "min_win_rate", win_rate.value, wanted, is_above, text, win_rate.low, win_rate.high
    )
    limit = gates.max_attribute_drift
    return (
        first,
        *(
            _at_most(
                f"max_attribute_drift{_OF}{name}",
                f"{name}'s drift",
                Interval(abs(shift)),
                limit,
                unit=" standard deviations",
            )
            for name, shift in drift.items()
        ),
    )


def decide(findings: Sequence[Finding]) -> Literal["promote", "keep"]:
    """Promote where every gate passes; no findings are no evidence."""
    return "promote" if findings and all(one.passed for one in findings) else "keep"


def _at_least(name: str, what: str, measured: Interval, wanted: float) -> Finding:
    passed = measured.value >= wanted  # False for NaN
    return _finding(name, what, measured, wanted, passed, "")


def _at_most(name: str, what: str, measured: Interval, limit: float, unit: str = "") -> Finding:
    passed = measured.value <= limit  # False for NaN
    return _finding(name, what, measured, limit, passed, unit)


def _finding(
    name: str, what: str, measured: Interval, threshold: float, passed: bool, unit: str
) -> Finding:
    if math.isnan(measured.value):
        text = f"{what} could not be measured"
    else:
        text = f"{what} {_compare(measured.value, threshold)}{unit}"
    return Finding(name, measured.value, threshold, passed, text, measured.low, measured.high)


def _compare(value: float, threshold: float) -> str:
    """`0.48 is below 0.50`, with more decimals where two do not tell the numbers apart."""
    decimals = 2 if f"{value:.2f}" != f"{threshold:.2f}" or value == threshold else 6
    relation = "equals"
    if value != threshold:
        relation = "is above" if value > threshold else "is below"
    return f"{value:.{decimals}f} {relation} {threshold:.{decimals}f}"
