import math
from dataclasses import replace

import pytest

from factory.bias.figure import Figure
from factory.bias.substitution import ONE_WORD
from factory.evaluation.contest import Result, failures
from factory.evaluation.gates import (
    bias_gates,
    decide,
    generator_gates,
    judge_gates,
    unprobed_gates,
)
from factory.statistics.intervals import Interval
from schemas.recipe import Gates

GATES = Gates(min_judge_accuracy=0.7, max_flip_rate=0.2, min_win_rate=0.5, max_twin_drift=3.0)


def test_a_good_judge_passes():
    findings = judge_gates(Interval(0.81, 0.75, 0.86), Interval(0.1), GATES)
    assert [one.gate for one in findings] == ["min_judge_accuracy", "max_flip_rate"]
    assert [one.message for one in findings] == [
        "accuracy 0.81 is above 0.70",
        "flip rate 0.10 is below 0.20",
    ]
    assert (findings[0].value, findings[0].low, findings[0].high) == (0.81, 0.75, 0.86)
    assert decide(findings) == "promote"


@pytest.mark.parametrize(
    ("accuracy", "flip_rate", "text"),
    [
        (0.66, 0.1, "accuracy 0.66 is below 0.70"),
        (0.8, 0.31, "flip rate 0.31 is above 0.20"),
        (math.nan, 0.1, "accuracy could not be measured"),
        (0.8, math.nan, "flip rate could not be measured"),
        (0.699999, 0.1, "accuracy 0.699999 is below 0.700000"),
    ],
)
def test_one_failure_is_enough_to_keep_the_champion(accuracy, flip_rate, text):
    findings = judge_gates(Interval(accuracy), Interval(flip_rate), GATES)
    assert [one.message for one in findings if not one.is_passed] == [text]
    assert decide(findings) == "keep"


def test_a_figure_on_the_threshold_passes_a_limit():
    findings = judge_gates(Interval(0.7), Interval(0.2), GATES)
    assert [one.message for one in findings] == [
        "accuracy 0.70 equals 0.70",
        "flip rate 0.20 equals 0.20",
    ]
    assert decide(findings) == "promote"


def test_a_challenger_is_judged_by_the_lower_bound():
    won, *drifts = generator_gates(
        Interval(0.56, 0.48, 0.64),
        {"brightness": Interval(-0.5, -0.7, -0.2), "sharpness": Interval(3.4, 3.0, 3.8)},
        GATES,
    )
    assert (won.is_passed, won.value, won.low, won.high) == (False, 0.56, 0.48, 0.64)
    assert won.message == "win rate's lower bound 0.48 is below 0.50"
    assert [(one.gate, one.is_passed) for one in drifts] == [
        ("max_twin_drift:brightness", True),
        ("max_twin_drift:sharpness", False),
    ]
    assert [(one.value, one.low, one.high) for one in drifts] == [(0.5, 0.2, 0.7), (3.4, 3.0, 3.8)]
    assert drifts[1].message == "sharpness's drift 3.40 is above 3.00 standard deviations"


def test_a_shift_in_either_direction_is_drift():
    for shift in (-3.4, 3.4, math.inf, -math.inf, math.nan):
        findings = generator_gates(Interval(0.7, 0.6, 0.8), {"contrast": Interval(shift)}, GATES)
        assert decide(findings) == "keep"
    assert (
        decide(generator_gates(Interval(0.7, 0.6, 0.8), {"contrast": Interval(-1.0)}, GATES))
        == "promote"
    )


def test_a_challenger_that_equals_the_champion_is_not_promoted():
    (won,) = generator_gates(Interval(0.5, 0.5, 0.5), {}, GATES)
    assert not won.is_passed


def test_a_challenger_that_draws_one_thing_again_and_again_is_not_promoted():
    won = Interval(0.7, 0.6, 0.8)
    *_, kept = generator_gates(won, {}, GATES, Interval(0.3, 0.2, 0.4))
    assert (kept.gate, kept.is_passed) == ("min_diversity", False)
    assert kept.message == "diversity kept 0.30 is below 0.50"
    assert decide(generator_gates(won, {}, GATES, Interval(0.9, 0.8, 1.1))) == "promote"


def test_what_was_not_measured_does_not_pass():
    (won,) = generator_gates(Interval(0.9), {}, GATES)  # one prompt: no interval
    assert (won.is_passed, won.message) == (False, "win rate could not be measured")
    assert decide([]) == "keep"


def test_diversity_on_the_threshold_is_enough_and_none_measured_is_not():
    won = Interval(0.7, 0.6, 0.8)
    for kept, passed in ((0.5, True), (0.499, False), (math.nan, False)):
        *_, finding = generator_gates(won, {}, Gates(min_diversity=0.5), Interval(kept))
        assert finding.is_passed is passed


# ------------------------------------------------------------------------------------------ bias


def slope(value, low, high, corrected=None):
    return Figure(
        "edit",
        "brightness",
        "slope of scores",
        "points per sd",
        Interval(value, low, high),
        100,
        corrected=corrected,
    )


def breaches(*figures, **gates):
    return [one for one in bias_gates(figures, Gates(**gates), 4.0) if not one.is_passed]


def test_a_breach_names_the_attribute_and_says_by_how_much():
    (found,) = breaches(slope(0.52, 0.41, 0.63), max_attribute_slope=0.3)
    assert found.gate == "max_attribute_slope:brightness"
    assert found.message == (
        "brightness: slope of scores 0.52 points per sd is beyond 0.3 by at least 0.11"
    )
    assert (found.value, found.low, found.high, found.threshold) == (0.52, 0.41, 0.63, 0.3)
    (dark,) = breaches(slope(-0.52, -0.63, -0.41), max_attribute_slope=0.3)
    assert dark.message.endswith("is beyond 0.3 by at least 0.11")
    assert decide([found]) == "keep"


def test_what_a_judge_may_mind_for_a_good_reason_is_no_breach():
    minds = replace(slope(-0.52, -0.63, -0.41), name="length", accuses="above")
    assert not breaches(minds, max_attribute_slope=0.3)
    likes = replace(slope(0.52, 0.41, 0.63), name="length", accuses="above")
    assert len(breaches(likes, max_attribute_slope=0.3)) == 1
    still = replace(slope(-0.52, -0.63, -0.41), name="motion", accuses="below")
    assert len(breaches(still, max_attribute_slope=0.3)) == 1


def test_what_may_be_chance_is_no_breach():
    (found,) = bias_gates([slope(0.35, 0.25, 0.45)], Gates(max_attribute_slope=0.3), 4.0)
    assert found.is_passed
    assert "is not shown to be beyond 0.3" in found.message


def test_what_the_correction_leaves_counts():
    corrected = Interval(0.02, -0.05, 0.09)
    assert not breaches(slope(0.52, 0.41, 0.63, corrected), max_attribute_slope=0.3)
    lean = Figure(
        "position",
        "first slot",
        "share above one half",
        "share of verdicts",
        Interval(0.2, 0.15, 0.25),
        100,
        corrected=Interval(0.0, 0.0, 0.0),
    )
    # Averaging both orders would hide a judge that looks at places alone.
    (found,) = breaches(lean, max_position_lean=0.1)
    assert found.gate == "max_position_lean:first slot"


@pytest.mark.parametrize(
    ("kind", "measure", "interval", "gates"),
    [
        ("association", "slope of excess", (0.3, 0.25, 0.4), {"max_attribute_excess": 0.2}),
        ("twin", "second word for the first", (-0.5, -0.6, -0.4), {"max_twin_gap": 0.3}),
        ("slice", "score gap beyond people's", (0.5, 0.4, 0.6), {"max_slice_gap": 0.3}),
        ("edit", "slope of duels", (0.9, 0.7, 1.1), {"max_duel_slope": 0.6}),
        ("neglect", "drop of scores", (0.0, -0.02, 0.02), {"min_media_drop": 0.1}),
        ("calibration", "calibration error", (0.3, 0.2, 0.4), {"max_calibration_error": 0.1}),
    ],
)
def test_every_gate_can_be_breached(kind, measure, interval, gates):
    figure = Figure(kind, "it", measure, "unit", Interval(*interval), 100)
    (found,) = breaches(figure, **gates)
    assert found.gate == f"{next(iter(gates))}:it"


@pytest.mark.parametrize(
    ("kind", "measure", "gates"),
    [
        ("position", "share above one half", {"max_position_lean": 0.3}),
        ("edit", "slope of scores", {"max_attribute_slope": 0.3}),
        ("association", "slope of excess", {"max_attribute_excess": 0.3}),
        ("slice", "score gap beyond people's", {"max_slice_gap": 0.3}),
        ("edit", "slope of duels", {"max_duel_slope": 0.6}),
    ],
)
def test_a_gate_looks_at_one_measure_of_one_kind(kind, measure, gates):
    far = Interval(-9.0, -9.5, -8.5)
    assert len(breaches(Figure(kind, "it", measure, "", far, 100), **gates)) == 1
    for other in ((kind, "it", "other"), ("x", "it", measure)):
        assert bias_gates([Figure(*other, "", far, 100)], Gates(**gates), 4.0) == ()


@pytest.mark.parametrize(
    ("kind", "measure", "inside", "outside", "gates"),
    [
        ("twin", "gap", (0.3, 0.5), (0.31, 0.5), {"max_twin_gap": 0.3}),
        ("twin", "gap", (-0.5, -0.3), (-0.5, -0.31), {"max_twin_gap": 0.3}),
        ("x", "calibration error", (0.3, 0.5), (0.31, 0.5), {"max_calibration_error": 0.3}),
    ],
)
def test_the_whole_interval_must_be_beyond_a_threshold(kind, measure, inside, outside, gates):
    for (low, high), num in ((inside, 0), (outside, 1)):
        figure = Figure(kind, "it", measure, "", Interval((low + high) / 2, low, high), 100)
        found = breaches(figure, **gates)
        assert len(found) == num
        if found:
            assert found[0].message.endswith("by at least 0.01")


def test_a_shift_that_was_not_tested_is_not_judged():
    """Smaller doses of a damage have no p-value, and an edit that is none has neither."""
    measure, up = "mean shift of scores at dose 1", Interval(0.4, 0.3, 0.5)
    for num, p_value in ((0, 0.5), (100, math.nan)):
        figure = Figure("edit", "overlay text", measure, "points", up, num, p_value=p_value)
        assert bias_gates([figure], Gates(max_damage_gain=0.1), 4.0) == ()
    other = Figure("twin", "overlay text", measure, "points", up, 100, p_value=0.5)
    assert [one.gate for one in bias_gates([other], Gates(), 4.0)] == ["max_twin_gap:overlay text"]
    assert bias_gates([replace(other, note=ONE_WORD)], Gates(), 4.0) == ()


def test_a_judge_that_was_not_probed_passes_no_gate_on_probes():
    findings = unprobed_gates(0, Gates(), 4.0)
    assert [one.gate for one in findings] == [
        "max_attribute_slope",
        "max_duel_slope",
        "max_damage_gain",
        "min_media_drop",
    ]
    assert not any(one.is_passed for one in findings)
    assert all("was not probed" in one.message for one in findings)
    assert unprobed_gates(1, Gates(), 4.0) == ()


@pytest.mark.parametrize("reach", [0.05, 0.5, math.nan])
def test_what_a_judge_must_show_is_not_shown_by_few_probes(reach):
    """An estimate on the right side is enough only with the bound that ignorance widens."""
    drop = Figure("neglect", "blank media", "drop", "points", around(0.3, reach), 9)
    measure = "mean shift of scores at dose 1"
    gain = Figure("edit", "noise", measure, "points", around(-0.1, reach), 9, p_value=0.5)
    slope_of_duels = Figure("edit", "text", "slope of duels", "", around(0.0, 2 * reach), 9)
    found = bias_gates(
        [drop, gain, slope_of_duels],
        Gates(min_media_drop=0.1, max_damage_gain=0.1, max_duel_slope=0.6),
        4.0,
    )
    assert len(found) == 3
    assert [one.is_passed for one in found] == [reach == 0.05] * 3


def around(value, reach):
    return Interval(value, value - reach, value + reach)


def test_many_slices_share_one_level():
    """One interval of eight that is just beyond the limit is what chance gives."""
    gap = Figure("slice", "a", "score gap beyond people's", "points", around(0.5, 0.19), 30)
    others = [replace(gap, name=str(at), estimate=around(0.0, 0.19)) for at in range(7)]
    gates = Gates(max_slice_gap=0.3)
    assert not all(one.is_passed for one in bias_gates([gap], gates, 4.0))
    assert all(one.is_passed for one in bias_gates([gap, *others], gates, 4.0))


def test_more_failures_than_the_champion_s_must_be_shown_not_to_be():
    def gate(old, new):
        told = [Result(f"p{at}", "tie", 0.0, has_failed=(at < old, at < new)) for at in range(100)]
        *_, found = generator_gates(Interval(0.7, 0.6, 0.8), {}, GATES, failures=failures(told))
        assert found.gate == "max_failure_excess"
        return found

    assert not gate(0, 4).is_passed  # 4 %, and no more than 5 % is not shown
    assert gate(4, 4).is_passed
    assert gate(0, 0).message.startswith("none of 100 outputs failed")


def test_a_damage_that_gains_points_is_a_breach_and_one_that_costs_them_is_none():
    for gain, num in ((0.4, 1), (-0.4, 0)):
        interval = Interval(gain, gain - 0.1, gain + 0.1)
        measure = "mean shift of scores at dose 1"
        figure = Figure("edit", "overlay text", measure, "points", interval, 100, p_value=0.5)
        assert len(breaches(figure, max_damage_gain=0.1)) == num


def test_a_bias_that_could_not_be_measured_does_not_pass():
    (found,) = breaches(slope(math.nan, math.nan, math.nan))
    assert found.message == "brightness: slope of scores could not be measured"


def test_a_figure_without_a_gate_is_no_finding():
    told = Figure("association", "brightness", "slope of scores", "", Interval(9, 8, 10), 100)
    error = Figure("calibration", "all", "calibration error", "", Interval(0.9, 0.8, 1), 100)
    assert bias_gates([told, error], Gates(), 4.0) == ()
