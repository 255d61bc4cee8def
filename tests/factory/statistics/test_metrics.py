import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, spearmanr

from factory.statistics.intervals import Interval
from factory.statistics.metrics import (
    accuracy,
    attribute_drift,
    benjamini_hochberg,
    benjamini_yekutieli,
    brier,
    expected_calibration_error,
    flip_rate,
    hash_share,
    spearman,
    win_rate,
)
from schemas.rows import Duel

FIRST, SECOND, TIE, UNSURE = [0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.2, 0.2, 0.6], [0.4, 0.4, 0.2]
UNREADABLE = [math.nan] * 3


def measured(p, labels):
    found = accuracy(p, labels, [str(i) for i in range(len(labels))], num_resamples=50)
    return found.with_ties.value, found.without_ties.value, found.invalid_rate


# -------------------------------------------------------------------------------------- accuracy


def test_accuracy_with_and_without_ties():
    p = [FIRST, SECOND, TIE, FIRST]
    labels = ["first", "second", "tie", "tie"]
    assert measured(p, labels) == (0.75, 1.0, 0.0)


def test_a_tie_of_the_judge_is_wrong_with_ties_and_forced_to_a_side_without():
    leaning = [0.3, 0.1, 0.6]
    assert measured([leaning], ["first"]) == (0.0, 1.0, 0.0)
    assert measured([leaning], ["second"]) == (0.0, 0.0, 0.0)
    assert measured([TIE, UNSURE], ["first", "second"]) == (0.0, 0.5, 0.0)


def test_an_unreadable_verdict_is_counted_beside_and_not_as_first():
    """A published benchmark tests `output in sentence`, for which an empty output is "first"."""
    with_ties, without_ties, invalid_rate = measured([UNREADABLE, SECOND], ["first", "second"])
    assert (with_ties, without_ties, invalid_rate) == (1.0, 1.0, 0.5)
    with_ties, without_ties, invalid_rate = measured([UNREADABLE] * 2, ["first", "tie"])
    assert math.isnan(with_ties)
    assert math.isnan(without_ties)
    assert invalid_rate == 1.0


def test_no_labels_are_no_accuracy():
    found = accuracy([], [], [])
    assert found.num_labels == 0
    assert math.isnan(found.with_ties.value)
    assert math.isnan(found.invalid_rate)
    with pytest.raises(ValueError, match="1 judgements but 2 labels"):
        accuracy([FIRST], ["first", "tie"], ["a", "b"])


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=20))
def test_the_verdict_is_that_of_a_duel(rows):
    labels = [Duel("a", "b", "j", *map(float, row)).preference for row in rows]
    assert measured([list(map(float, row)) for row in rows], labels)[0] == 1.0


def test_swapping_everything_changes_nothing():
    rng = np.random.default_rng(0)
    p = rng.dirichlet([1, 1, 1], 200)
    labels = rng.choice(["first", "second", "tie"], 200).tolist()
    swap = {"first": "second", "second": "first", "tie": "tie"}
    assert measured(p[:, [1, 0, 2]], [swap[one] for one in labels]) == pytest.approx(
        measured(p, labels)
    )


# ----------------------------------------------------------------------------------------- rates


def test_win_rate_counts_a_tie_half_and_leaves_out_the_invalid():
    outcomes = ["first", "first", "second", "tie", None]
    found = win_rate(outcomes, [str(i) for i in range(5)])
    assert found.value == pytest.approx(2.5 / 4)
    assert found.low < found.value < found.high
    assert math.isnan(win_rate([None], ["a"]).value)


def test_win_rate_of_one_model_against_itself_excludes_one_half_rarely():
    rng = np.random.default_rng(1)
    num_alarms = 0
    for run in range(200):
        outcomes = rng.choice(["first", "second", "tie"], 120, p=[0.4, 0.4, 0.2]).tolist()
        found = win_rate(outcomes, [str(i // 2) for i in range(120)], 300, seed=run)
        num_alarms += found.excludes(0.5)
    assert num_alarms / 200 < 0.11


def test_flip_rate():
    assert flip_rate([True, False, False, False], list("abcd")).value == 0.25


# ----------------------------------------------------------------------------------- calibration


def test_brier_and_calibration_of_known_judges():
    assert brier([1.0, 0.0], [1.0, 0.0]) == 0
    assert brier([1.0, 0.0], [0.0, 1.0]) == 1
    assert brier([0.5, math.nan, 0.5], [1.0, 1.0, 0.0]) == 0.25
    # Always 0.9 and right in six of ten cases.
    assert expected_calibration_error([0.9] * 10, [1.0] * 6 + [0.0] * 4) == pytest.approx(0.3)
    assert expected_calibration_error([0.0, 1.0], [0.0, 1.0]) == 0
    # Certainty is in the last bin: claims of 0.975 on average, and half of them right.
    assert expected_calibration_error([1.0, 0.95], [0.0, 1.0]) == pytest.approx(0.475)
    assert math.isnan(expected_calibration_error([], []))
    assert math.isnan(brier([], []))


def test_calibration_error_sees_over_confidence():
    rng = np.random.default_rng(2)
    p = rng.uniform(0, 1, 20000)
    outcome = (rng.random(20000) < p).astype(float)
    sharpened = p**3 / (p**3 + (1 - p) ** 3)
    assert expected_calibration_error(p, outcome) < 0.02
    assert expected_calibration_error(sharpened, outcome) > 0.1
    assert brier(sharpened, outcome) > brier(p, outcome)


# ----------------------------------------------------------------------------------- correlation


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=30))
def test_spearman_agrees_with_scipy(rows):
    x, y = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    found = spearman(x, y)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(x, y).statistic)


def test_spearman_leaves_out_unreadable_scores():
    assert spearman([1, 2, math.nan, 4], [2, 3, -50, 9]) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="different length"):
        spearman([1, 2], [1, 2, 3])


# ----------------------------------------------------------------------------- drift and variety


def of(values):
    return [(f"p{at}", float(value)) for at, value in enumerate(values)]


def test_drift_is_in_standard_deviations_of_the_base():
    rng = np.random.default_rng(3)
    bright, flat = rng.normal(0.5, 0.1, 4000), rng.normal(0.2, 0.05, 4000)
    base = {"brightness": of(bright), "contrast": of(flat)}
    found = attribute_drift(base, {"brightness": of(bright + 0.15), "contrast": of(flat)})
    assert found["brightness"].value == pytest.approx(1.5, abs=0.05)
    assert found["contrast"] == Interval(0.0, 0.0, 0.0)  # of the same prompts, so nothing varies
    # Of a paired shift only the base's spread is uncertain: 1.5 / sqrt(2 n) is its deviation.
    width = found["brightness"].high - found["brightness"].low
    assert width == pytest.approx(2 * 1.96 * 1.5 / math.sqrt(2 * 4000), rel=0.2)


def test_drift_of_a_small_base_uses_the_sample_s_standard_deviation():
    found = attribute_drift({"x": of([0.0, 2.0])}, {"x": of([2.0])})["x"]
    assert found.value == pytest.approx(1 / math.sqrt(2))


def test_drift_of_what_does_not_vary():
    base = {"same": of([1.0, 1.0]), "moved": of([1.0, 1.0]), "short": of([1.0]), "gone": of([1, 2])}
    found = attribute_drift(
        base, {"same": of([1.0]), "moved": of([0.0]), "short": of([2.0]), "gone": []}
    )
    assert (found["same"].value, found["moved"].value) == (0.0, -math.inf)
    assert math.isnan(found["short"].value)
    assert math.isnan(found["gone"].value)


def test_the_distance_of_hashes_is_the_share_of_differing_bits():
    assert hash_share(0, 2**64 - 1) == 1.0
    assert hash_share(0, 2**32 - 1) == 0.5


# --------------------------------------------------------------------------------- many attributes


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_adjusted_p_values_agree_with_scipy(p_values):
    assert benjamini_hochberg(p_values) == pytest.approx(false_discovery_control(p_values))
    by = false_discovery_control(p_values, method="by")
    assert benjamini_yekutieli(p_values) == pytest.approx(by)


def test_what_could_not_be_tested_is_no_test():
    found = benjamini_hochberg([0.02, math.nan, 0.01])
    assert [found[0], found[2]] == pytest.approx([0.02, 0.02])
    assert math.isnan(found[1])
    assert benjamini_hochberg([]) == []
    found = benjamini_yekutieli([0.02, math.nan, 0.01])  # two tests: 1 + 1/2 times as much
    assert [found[0], found[2]] == pytest.approx([0.03, 0.03])
    assert math.isnan(found[1])
