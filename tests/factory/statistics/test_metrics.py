import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.statistics.metrics import (
    accuracy,
    adjusted_p_values,
    brier,
    expected_calibration_error,
    flip_rate,
    hash_share,
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


# ----------------------------------------------------------------------------- drift and variety


def test_the_distance_of_hashes_is_the_share_of_differing_bits():
    assert hash_share(0, 2**64 - 1) == 1.0
    assert hash_share(0, 2**32 - 1) == 0.5


# --------------------------------------------------------------------------------- many attributes


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_adjusted_p_values_follow_their_definition(p_values):
    """Theorem 1.3 of Benjamini & Yekutieli: the smallest of m c(m) p / rank from each rank on."""
    num = len(p_values)
    ranked = sorted(p_values)
    price = sum(1 / rank for rank in range(1, num + 1))
    scaled = [min(1.0, num * price * p / rank) for rank, p in enumerate(ranked, start=1)]
    wanted = {p: min(scaled[at:]) for at, p in reversed(list(enumerate(ranked)))}
    assert adjusted_p_values(p_values) == pytest.approx([wanted[p] for p in p_values])


def test_what_could_not_be_tested_is_no_test():
    found = adjusted_p_values([0.02, math.nan, 0.01])  # two tests: 1 + 1/2 times as much
    assert [found[0], found[2]] == pytest.approx([0.03, 0.03])
    assert math.isnan(found[1])
    assert adjusted_p_values([]) == []
    assert all(map(math.isnan, adjusted_p_values([math.nan, math.nan])))
