"""Gates: what a model must show before it is promoted.

Each gate compares one figure with the recipe's threshold and says so in a sentence. A figure that
could not be measured does not pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from factory.bias.figure import Figure
from factory.bias.profile import BiasProfile
from factory.bias.response import SCORES
from factory.evaluation.alarm_text import hacking_told
from factory.evaluation.alarms import ALL, Claim
from factory.evaluation.judge_change import Change
from factory.statistics.intervals import Interval
from schemas import recipe
from schemas.results import Finding

#: Added to the name of a gate that looks at several attributes: "max_attribute_drift:sharpness".
_OF = ":"
#: The gate of the reward-hacking alarm, as the recipe calls it.
HACKING = "max_unseen_gain"


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
    win_rate: Interval,
    drift: Mapping[str, Interval],
    gates: recipe.Gates,
    diversity: Interval | None = None,
) -> tuple[Finding, ...]:
    """May this challenger replace the champion?

    The bound must be *above* the threshold: against a champion that it equals, every comparison is
    a tie and the bound is exactly one half, which is no reason to promote.

    Args:
        win_rate: against the champion on held-out prompts, by a judge that it was not trained on.
        drift: shift of each attribute, in standard deviations of the base.
        gates: the thresholds.
        diversity: of the challenger, as a share of the champion's; None where not measured.
    """
    wanted = gates.min_win_rate
    is_above = win_rate.low > wanted  # False for NaN
    if math.isnan(win_rate.low):
        text = "win rate could not be measured"
    else:
        text = f"win rate's lower bound {_compare(win_rate.low, wanted)}"
    first = Finding.of("min_win_rate", win_rate, wanted, is_passed=is_above, message=text)
    limit = gates.max_attribute_drift
    drifts = [
        _at_most(
            f"max_attribute_drift{_OF}{name}",
            f"{name}'s drift",
            shift if shift.value >= 0 else Interval(-shift.value, -shift.high, -shift.low),
            limit,
            unit=" standard deviations",
        )
        for name, shift in drift.items()
    ]
    if diversity is None:
        return first, *drifts
    kept = _at_least("min_diversity", "diversity kept", diversity, gates.min_diversity)
    return first, *drifts, kept


def local_judge_gates(
    on_slice: Change, elsewhere: Change, limits: recipe.Localise
) -> tuple[Finding, ...]:
    """May a judge that went on learning from one slice's labels stand in for its parent there?

    By the bounds, as for a challenger: it must be shown to be better on the slice, and shown not to
    have lost more than the limit on the labels that its parent was measured on.

    Args:
        on_slice: of the accuracy on the slice's held-out labels.
        elsewhere: of the accuracy on the parent's held-out labels.
        limits: the thresholds.
    """
    gain, loss = on_slice.difference, elsewhere.difference
    lost = Interval(-loss.value, -loss.high, -loss.low)
    return (
        Finding.of(
            "min_slice_gain",
            gain,
            limits.min_slice_gain,
            is_passed=gain.low > limits.min_slice_gain,
            message=_by_bound("gain on the slice: lower bound", gain.low, limits.min_slice_gain),
        ),
        Finding.of(
            "max_overall_loss",
            lost,
            limits.max_overall_loss,
            is_passed=lost.high <= limits.max_overall_loss,
            message=_by_bound("loss elsewhere: upper bound", lost.high, limits.max_overall_loss),
        ),
    )


def light_judge_gate(kept: Interval, limits: recipe.Distil) -> Finding:
    """May a light judge stand in for its teacher where speed counts? By the estimate, as the limit
    is on a loss that is expected, not on a gain to be shown.
    """
    return Finding.of(
        "min_accuracy_kept",
        kept,
        limits.min_accuracy_kept,
        is_passed=kept.value >= limits.min_accuracy_kept,
        message=_by_bound("accuracy kept:", kept.value, limits.min_accuracy_kept),
    )


def _by_bound(what: str, bound: float, threshold: float) -> str:
    if math.isnan(bound):
        return f"{what.partition(':')[0]} could not be measured"
    return f"{what} {_compare(bound, threshold)}"


def hacking_gates(claims: Sequence[Claim], gates: recipe.Gates) -> tuple[Finding, ...]:
    """Has a challenger learned to please its judge rather than people?

    A finding on all prompts, and one for each slice that raises the alarm. Twins that the judge, or
    every witness, could not judge at all do not pass. Where nothing is known of the witnesses the
    finding passes unless one of them sees a loss, and says what it cannot know; without any witness
    there is nothing to say.

    Args:
        claims: of `factory.evaluation.alarms.hacking_claims`.
        gates: the thresholds.
    """
    return tuple(
        Finding.of(
            HACKING + ("" if one.slice == ALL else f"{_OF}{one.slice}"),
            one.unseen,
            gates.max_unseen_gain,
            is_passed=not one.is_hacked and not one.is_blind,
            message=hacking_told(one),
        )
        for one in claims
        if one.slice == ALL or one.is_hacked
    )


def bias_gates(figures: Sequence[Figure], gates: recipe.Gates) -> tuple[Finding, ...]:
    """May a generator be promoted that was aligned on what this judge preferred?

    A profile has many figures, and some are beyond any threshold by chance. So a gate is breached
    where the whole 95 % interval is beyond it. What counts is what the correction leaves: the
    corrected figure, where there is one. A limit on single verdicts of one order is the exception,
    since averaging both orders would hide a judge that only looks at places.

    Args:
        figures: of the bias profile.
        gates: the thresholds.
    """
    asked: list[tuple[str, float | None, Callable[[Figure], bool]]] = [
        (
            "max_position_lean",
            gates.max_position_lean,
            lambda one: one.kind == "position" and one.measure == "share above one half",
        ),
        (
            "max_attribute_slope",
            gates.max_attribute_slope,
            lambda one: one.kind == "edit" and one.measure == SCORES,
        ),
        (
            "max_attribute_excess",
            gates.max_attribute_excess,
            lambda one: one.kind == "association" and one.measure == "slope of excess",
        ),
        ("max_twin_gap", gates.max_twin_gap, lambda one: one.kind == "twin"),
        (
            "max_slice_gap",
            gates.max_slice_gap,
            lambda one: one.kind == "slice" and one.measure == "score gap beyond people's",
        ),
    ]
    found = [
        _is_within(name, one, limit)
        for name, limit, is_meant in asked
        for one in figures
        if limit is not None and is_meant(one)
    ]
    for one in figures:
        if (
            one.kind == "edit"
            and one.measure.startswith("mean shift")
            and one.num
            and (not math.isnan(one.p_value))
        ):
            found.append(_is_at_most("max_damage_gain", one, gates.max_damage_gain))
        if one.kind == "slice" and one.measure == "selection ratio":
            found.append(_is_at_least("min_selection_ratio", one, gates.min_selection_ratio))
        if one.kind == "neglect":
            found.append(_is_at_least("min_media_drop", one, gates.min_media_drop))
        limit = gates.max_calibration_error
        if limit is not None and one.measure == "calibration error":
            found.append(_is_at_most("max_calibration_error", one, limit))
    return tuple(found)


def profile_gates(profile: BiasProfile, gates: recipe.Gates) -> tuple[Finding, ...]:
    """All gates of the judge that a profile is of: what it measured, and what it could not."""
    return (
        *unprobed_gates(profile.num_probes, gates),
        *unlabelled_gates(profile, gates),
        *bias_gates(profile.figures, gates),
    )


def unlabelled_gates(profile: BiasProfile, gates: recipe.Gates) -> tuple[Finding, ...]:
    """What cannot be said of a judge that was held against nobody's labels.

    A recipe that is to promote without them says so: a gate that is null is not asked.
    """
    if profile.num_labels:
        return ()
    asked = (
        (
            "max_attribute_excess",
            gates.max_attribute_excess,
            "the excess over people's own leaning",
        ),
        ("max_calibration_error", gates.max_calibration_error, "the calibration error"),
    )
    why = "no held-out comparison by people (see labels); null asks for none"
    return tuple(
        _unmeasured(gate, limit, what, why) for gate, limit, what in asked if limit is not None
    )


def unprobed_gates(num_probes: int, gates: recipe.Gates) -> tuple[Finding, ...]:
    """What cannot be said of a judge that was asked nothing about edited, blank or swapped media.

    Such a profile has no figure that could breach these gates, which must not look like passing.

    Args:
        num_probes: of the bias profile.
        gates: the thresholds.
    """
    if num_probes:
        return ()
    why = "the judge was not probed (see audit.num_groups)"
    return tuple(
        _unmeasured(gate, limit, what, why)
        for gate, limit, what in (
            ("max_attribute_slope", gates.max_attribute_slope, "the response to edits"),
            ("max_damage_gain", gates.max_damage_gain, "the gain from damage"),
            ("min_media_drop", gates.min_media_drop, "the drop without the right media"),
        )
    )


def _unmeasured(gate: str, limit: float, what: str, why: str) -> Finding:
    text = f"{what} could not be measured: {why}"
    return Finding.of(gate, Interval(math.nan), limit, is_passed=False, message=text)


def _is_within(gate: str, figure: Figure, limit: float) -> Finding:
    """Not beyond `limit` on either side of zero."""
    left = _left(gate, figure)
    is_beyond = left.low > limit or left.high < -limit
    return _bias_finding(gate, figure, left, limit, is_beyond, "beyond")


def _is_at_most(gate: str, figure: Figure, limit: float) -> Finding:
    left = _left(gate, figure)
    return _bias_finding(gate, figure, left, limit, left.low > limit, "above")


def _is_at_least(gate: str, figure: Figure, limit: float) -> Finding:
    left = _left(gate, figure)
    return _bias_finding(gate, figure, left, limit, left.high < limit, "below")


def _left(gate: str, figure: Figure) -> Interval:
    """What counts of a figure."""
    if figure.corrected is None or gate == "max_position_lean":
        return figure.estimate
    return figure.corrected


def _bias_finding(
    gate: str, figure: Figure, left: Interval, limit: float, is_breached: bool, word: str
) -> Finding:
    name = f"{gate}{_OF}{figure.name}"
    what = f"{figure.name}: {figure.measure}"
    if math.isnan(left.low):
        text = f"{what} could not be measured"
        return Finding.of(name, left, limit, is_passed=False, message=text)
    stands = f"is {word}" if is_breached else f"is not shown to be {word}"
    by = min(abs(left.low - limit), abs(left.high - limit), abs(left.high + limit))
    far = f" by at least {by:.2g}" if is_breached else ""
    text = f"{what} {left.value:.2f} {figure.unit} {stands} {limit:g}{far}"
    return Finding.of(name, left, limit, is_passed=not is_breached, message=text)


def decide(findings: Sequence[Finding]) -> Literal["promote", "keep"]:
    """Promote where every gate passes; no findings are no evidence."""
    return "promote" if findings and all(finding.is_passed for finding in findings) else "keep"


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
    return Finding.of(name, measured, threshold, is_passed=passed, message=text)


def _compare(value: float, threshold: float) -> str:
    """`0.48 is below 0.50`, with more decimals where two do not tell the numbers apart."""
    decimals = 2 if f"{value:.2f}" != f"{threshold:.2f}" or value == threshold else 6
    relation = "equals"
    if value != threshold:
        relation = "is above" if value > threshold else "is below"
    return f"{value:.{decimals}f} {relation} {threshold:.{decimals}f}"
