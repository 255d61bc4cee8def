import math

import pytest

from factory.gates import decide, generator_gates, judge_gates
from factory.intervals import Interval
from schemas.recipe import Gates

GATES = Gates(min_judge_accuracy=0.7, max_flip_rate=0.2, min_win_rate=0.5, max_attribute_drift=3.0)


def test_a_good_judge_passes():
    findings = judge_gates(Interval(0.81, 0.75, 0.86), Interval(0.1), GATES)
    assert [one.name for one in findings] == ["min_judge_accuracy", "max_flip_rate"]
    assert [one.text for one in findings] == [
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
    assert [one.text for one in findings if not one.passed] == [text]
    assert decide(findings) == "keep"


def test_a_figure_on_the_threshold_passes_a_limit():
    findings = judge_gates(Interval(0.7), Interval(0.2), GATES)
    assert decide(findings) == "promote"


def test_a_challenger_is_judged_by_the_lower_bound():
    won, *drifts = generator_gates(
        Interval(0.56, 0.48, 0.64), {"brightness": -0.5, "sharpness": 3.4}, GATES
    )
    assert (won.passed, won.value, won.low, won.high) == (False, 0.56, 0.48, 0.64)
    assert won.text == "win rate's lower bound 0.48 is below 0.50"
    assert [(one.name, one.passed) for one in drifts] == [
        ("max_attribute_drift:brightness", True),
        ("max_attribute_drift:sharpness", False),
    ]
    assert drifts[1].text == "sharpness's drift 3.40 is above 3.00 standard deviations"


def test_a_shift_in_either_direction_is_drift():
    for shift in (-3.4, 3.4, math.inf, -math.inf, math.nan):
        findings = generator_gates(Interval(0.7, 0.6, 0.8), {"contrast": shift}, GATES)
        assert decide(findings) == "keep"
    assert decide(generator_gates(Interval(0.7, 0.6, 0.8), {"contrast": -1.0}, GATES)) == "promote"


def test_a_challenger_that_equals_the_champion_is_not_promoted():
    (won,) = generator_gates(Interval(0.5, 0.5, 0.5), {}, GATES)
    assert not won.passed


def test_what_was_not_measured_does_not_pass():
    (won,) = generator_gates(Interval(0.9), {}, GATES)  # one prompt: no interval
    assert (won.passed, won.text) == (False, "win rate could not be measured")
    assert decide([]) == "keep"
