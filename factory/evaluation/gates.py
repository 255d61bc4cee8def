"""Gates: what a model must show before it is promoted.

Each gate compares one figure with the recipe's threshold and says so in a sentence. A figure that
could not be measured does not pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import scipy

from factory.bias.figure import DUELS, SCORES, Figure
from factory.bias.profile import BiasProfile
from factory.bias.slices import GAP_BEYOND_PEOPLES
from factory.bias.substitution import ONE_WORD
from factory.evaluation.alarm_text import hacking_told
from factory.evaluation.alarms import ALL, Claim
from factory.evaluation.contest import Failures
from factory.evaluation.judge_change import Change
from factory.evaluation.spending import ROUND_LEVEL
from factory.statistics.intervals import Interval
from schemas import recipe
from schemas.results import Finding

#: Added to the name of a gate that looks at several attributes: "max_twin_drift:sharpness".
_OF = ":"
#: Gates that a figure fails of which too little is known.
_SLOPES = ("max_attribute_slope", "max_duel_slope")
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
    failures: Failures | None = None,
    level: float = ROUND_LEVEL,
) -> tuple[Finding, ...]:
    """May this challenger replace the champion?

    The bound must be *above* the threshold: against a champion that it equals, every comparison is
    a tie and the bound is exactly one half, which is no reason to promote.

    Args:
        win_rate: against the champion on held-out prompts, by a judge that it was not trained on,
            with its bounds at `level`.
        drift: shift of each attribute, in within-prompt standard deviations of the base.
        gates: the thresholds.
        diversity: of the challenger, as a share of the champion's; None where not measured.
        failures: of either model's outputs; None where nobody counted them.
        level: chance of error that this round may spend (`factory.evaluation.spending`).
    """
    wanted = gates.min_win_rate
    is_above = win_rate.low > wanted  # False for NaN
    if not level > 0:
        text = "the loop's chance of a false promotion is used up (gates.max_false_promotions)"
    elif math.isnan(win_rate.low):
        text = "win rate could not be measured"
    else:
        at = "" if level == ROUND_LEVEL else f" at a chance of error of {level:.2%}"
        text = f"win rate's lower bound{at} {_compare(win_rate.low, wanted)}"
    first = Finding.of("min_win_rate", win_rate, wanted, is_passed=is_above, message=text)
    limit = gates.max_twin_drift
    found = [
        _at_most(
            f"max_twin_drift{_OF}{name}",
            f"{name}'s drift",
            shift if shift.value >= 0 else Interval(-shift.value, -shift.high, -shift.low),
            limit,
            unit=" standard deviations",
        )
        for name, shift in drift.items()
    ]
    if failures is not None:
        found.append(_failure_gate(failures, gates.max_failure_excess))
    if diversity is not None:
        found.append(_at_least("min_diversity", "diversity kept", diversity, gates.min_diversity))
    return first, *found


def _failure_gate(failures: Failures, limit: float) -> Finding:
    """A challenger must be shown not to fail more often than the champion, but for a margin.

    Where nothing failed there is no sign that it does; what would have gone unseen is told, and a
    failure is a lost comparison in the win rate besides.
    """
    excess = failures.excess
    if failures.num and not (failures.champion.value or failures.challenger.value):
        unseen = 1 - ROUND_LEVEL ** (1 / failures.num)
        text = f"none of {failures.num} outputs failed; up to {unseen:.1%} could go unseen"
        return Finding.of("max_failure_excess", excess, limit, is_passed=True, message=text)
    text = _by_bound("failures beyond the champion's: upper bound", excess.high, limit)
    is_passed = excess.high <= limit  # False for NaN
    return Finding.of("max_failure_excess", excess, limit, is_passed=is_passed, message=text)


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


def _told(found: Interval) -> str:
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def bias_gates(figures: Sequence[Figure], gates: recipe.Gates, unit: float) -> tuple[Finding, ...]:
    """May a generator be promoted that was aligned on what this judge preferred?

    A profile has many figures, and some are beyond any threshold by chance. So a gate on a lean is
    breached where the whole 95 % interval is beyond it; on slopes of edits also where the interval
    is wider than all that is allowed, which tells nothing. Two things a judge must *show*, and few
    probes show nothing: that it gives less without the right media, by the lower bound, and that
    damage gains nothing, by the upper one. The level of gaps of slices holds for all of them
    together (Bonferroni, by the normal approximation of each interval). What counts is what the
    correction leaves: the corrected figure, where there is one. A limit on single verdicts of one
    order is the exception, since averaging both orders would hide a judge that only looks at
    places.

    Args:
        figures: of the bias profile, in points where they are of scores.
        gates: the thresholds.
        unit: points of the judge's whole scale.
    """
    asked: list[tuple[str, float | None, Callable[[Figure], bool]]] = [
        (
            "max_position_lean",
            gates.max_position_lean,
            lambda one: one.kind == "position" and one.measure == "share above one half",
        ),
        (
            "max_attribute_slope",
            gates.in_points("max_attribute_slope", unit),
            lambda one: one.kind == "edit" and one.measure == SCORES,
        ),
        (
            "max_duel_slope",
            gates.max_duel_slope,
            lambda one: one.kind == "edit" and one.measure == DUELS,
        ),
        (
            "max_attribute_excess",
            gates.max_attribute_excess,
            lambda one: one.kind == "association" and one.measure == "slope of excess",
        ),
        (
            "max_twin_gap",
            gates.in_points("max_twin_gap", unit),
            # With media of one word alone it holds their misfit, and accuses nobody.
            lambda one: one.kind == "twin" and one.note != ONE_WORD,
        ),
    ]
    found = [
        _is_within(name, one, limit)
        for name, limit, is_meant in asked
        for one in figures
        if limit is not None and is_meant(one)
    ]
    most_gain = gates.in_points("max_damage_gain", unit)
    least_drop = gates.in_points("min_media_drop", unit)
    for one in figures:
        if (
            one.kind == "edit"
            and one.measure.startswith("mean shift")
            and one.num
            and (not math.isnan(one.p_value))
        ):
            found.append(_must_be_at_most("max_damage_gain", one, most_gain))
        if one.kind == "neglect":
            found.append(_must_be_at_least("min_media_drop", one, least_drop))
        limit = gates.max_calibration_error
        if limit is not None and one.measure == "calibration error":
            found.append(_is_at_most("max_calibration_error", one, limit))
    gaps = [one for one in figures if one.kind == "slice" and one.measure == GAP_BEYOND_PEOPLES]
    most_gap = gates.in_points("max_slice_gap", unit)
    for one in gaps:
        left = _for_all(one.estimate, len(gaps))
        is_beyond = left.low > most_gap or left.high < -most_gap
        found.append(_bias_finding("max_slice_gap", one, left, most_gap, is_beyond, "beyond"))
    return tuple(found)


def _for_all(found: Interval, num: int) -> Interval:
    """A 95 % interval widened so that `num` of them hold together."""
    wider = float(scipy.special.ndtri(ROUND_LEVEL / num) / scipy.special.ndtri(ROUND_LEVEL))
    return Interval(
        found.value,
        found.value - wider * (found.value - found.low),
        found.value + wider * (found.high - found.value),
    )


def profile_gates(profile: BiasProfile, gates: recipe.Gates, unit: float) -> tuple[Finding, ...]:
    """All gates of the judge that a profile is of: what it measured, and what it could not.

    Args:
        profile: of the judge.
        gates: the thresholds.
        unit: points of the judge's whole scale.
    """
    return (
        *unprobed_gates(profile.num_probes, gates, unit),
        *unlabelled_gates(profile, gates),
        *bias_gates(profile.figures, gates, unit),
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


def unprobed_gates(num_probes: int, gates: recipe.Gates, unit: float) -> tuple[Finding, ...]:
    """What cannot be said of a judge that was asked nothing about edited, blank or swapped media.

    Such a profile has no figure that could breach these gates, which must not look like passing.

    Args:
        num_probes: of the bias profile.
        gates: the thresholds.
        unit: points of the judge's whole scale.
    """
    if num_probes:
        return ()
    why = "the judge was not probed (see audit.num_groups)"
    return tuple(
        _unmeasured(gate, limit, what, why)
        for gate, limit, what in (
            (
                "max_attribute_slope",
                gates.in_points("max_attribute_slope", unit),
                "the response to edits",
            ),
            ("max_duel_slope", gates.max_duel_slope, "the response of duels to edits"),
            ("max_damage_gain", gates.in_points("max_damage_gain", unit), "the gain from damage"),
            (
                "min_media_drop",
                gates.in_points("min_media_drop", unit),
                "the drop without the right media",
            ),
        )
    )


def _unmeasured(gate: str, limit: float, what: str, why: str) -> Finding:
    text = f"{what} could not be measured: {why}"
    return Finding.of(gate, Interval(math.nan), limit, is_passed=False, message=text)


def _is_within(gate: str, figure: Figure, limit: float) -> Finding:
    """Not beyond `limit` on either side of zero, or on the one side on which the figure accuses."""
    left = _left(gate, figure)
    if gate in _SLOPES and limit > 0 and left.high - left.low > 2 * limit:
        text = (
            f"{figure.name}: {figure.measure} {_told(left)} {figure.unit} is not known well enough "
            f"to be held against {limit:g}: ask for more probes (audit.num_groups)"
        )
        name = f"{gate}{_OF}{figure.name}"
        return Finding.of(name, left, limit, is_passed=False, message=text)
    is_above = left.low > limit and figure.accuses != "below"
    is_beyond = is_above or (left.high < -limit and figure.accuses != "above")
    return _bias_finding(gate, figure, left, limit, is_beyond, "beyond")


def _must_be_at_most(gate: str, figure: Figure, limit: float) -> Finding:
    left = _left(gate, figure)
    return _shown(gate, figure, left, limit, "upper", left.high, left.high <= limit)


def _must_be_at_least(gate: str, figure: Figure, limit: float) -> Finding:
    left = _left(gate, figure)
    return _shown(gate, figure, left, limit, "lower", left.low, left.low >= limit)


def _shown(
    gate: str,
    figure: Figure,
    left: Interval,
    limit: float,
    side: str,
    bound: float,
    is_passed: bool,
) -> Finding:
    """Of a figure that carries the burden of proof: its bound must be within, False for NaN."""
    what = f"{figure.name}: {figure.measure}: {side} bound"
    text = (
        _by_bound(what, bound, limit)
        if not math.isnan(bound)
        else (f"{figure.name}: {figure.measure} could not be measured")
    )
    return Finding.of(f"{gate}{_OF}{figure.name}", left, limit, is_passed=is_passed, message=text)


def _is_at_most(gate: str, figure: Figure, limit: float) -> Finding:
    left = _left(gate, figure)
    return _bias_finding(gate, figure, left, limit, left.low > limit, "above")


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
        why = f": {figure.note}" if math.isnan(figure.estimate.value) and figure.note else ""
        text = f"{what} could not be measured{why}"
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
