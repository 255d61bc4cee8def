"""Accuracy with ties, on cases counted by hand and against a plain search."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.statistics import ties
from factory.statistics.ties import accuracy_with_ties, best_threshold
from schemas.rows import seed_of

NAMES = {1: "first", -1: "second", 0: "tie"}


def found(differences, labels):
    return accuracy_with_ties(differences, labels, [str(i) for i in range(len(labels))], 50)


def test_a_case_counted_by_hand():
    """Sizes in order: 0.1 tie, 0.2 wrong side, 0.5 tie, 1 right, 2 right, 3 wrong.

    Labels met: none tied 2; up to 0.1: 3; up to 0.2: 3; up to 0.5: 4; up to 1: 3; up to 2: 2.
    """
    differences = [0.1, -0.2, 0.5, 1.0, -2.0, 3.0]
    labels = ["tie", "first", "tie", "first", "second", "second"]
    result = found(differences, labels)
    assert result.accuracy.value == pytest.approx(4 / 6)
    assert result.threshold == 0.5
    assert result.num_labels == 6


def test_without_ties_in_the_labels_the_threshold_ties_nothing():
    result = found([1.0, -1.0, 0.5], ["first", "second", "second"])
    assert (result.accuracy.value, result.threshold) == (pytest.approx(2 / 3), -1.0)


def test_all_ties_are_met_by_the_largest_threshold():
    result = found([1.0, -4.0, 0.5], ["tie", "tie", "tie"])
    assert (result.accuracy.value, result.threshold) == (1.0, 4.0)


def test_an_exact_draw_is_a_tie_or_wrong_but_never_a_side():
    assert found([0.0], ["first"]).accuracy.value == 0.0
    assert found([0.0], ["tie"]).accuracy.value == 1.0
    # The draw must be tied with the threshold at 0, which costs nothing here.
    result = found([0.0, 1.0], ["tie", "first"])
    assert (result.accuracy.value, result.threshold) == (1.0, 0.0)


def test_equal_differences_are_tied_together():
    """One threshold cannot split them: 2 of 3 by ties, 1 of 3 without."""
    result = found([1.0, 1.0, -1.0], ["tie", "tie", "second"])
    assert (result.accuracy.value, result.threshold) == (pytest.approx(2 / 3), 1.0)


def test_an_unknown_difference_is_left_out():
    result = found([math.nan, 1.0], ["tie", "first"])
    assert (result.accuracy.value, result.num_labels) == (1.0, 1)
    unknown = found([math.nan], ["tie"])
    assert all(map(math.isnan, (unknown.accuracy.value, unknown.cross_fitted.value)))
    assert (unknown.num_labels, math.isnan(unknown.threshold)) == (0, True)
    with pytest.raises(ValueError, match="1 differences, 2 labels"):
        accuracy_with_ties([1.0], ["tie", "tie"], ["a", "b"])


@given(
    st.lists(st.tuples(st.integers(-6, 6), st.sampled_from([-1, 0, 1])), min_size=1, max_size=25)
)
def test_it_is_the_best_of_all_thresholds(rows):
    d = np.array([row[0] / 2 for row in rows])
    signs = np.array([row[1] for row in rows])

    def share(threshold):
        met = 0
        for gap, sign in zip(d, signs, strict=True):
            if abs(gap) <= threshold:
                met += sign == 0
            else:
                met += gap * sign > 0
        return met / len(d)

    tried = {threshold: share(threshold) for threshold in [-1.0, *sorted(set(np.abs(d)))]}
    value, threshold = best_threshold(d, signs)
    assert value == pytest.approx(max(tried.values()))
    assert tried[threshold] == pytest.approx(value)
    assert all(tried[other] < value - 1e-9 for other in tried if other < threshold)


@pytest.mark.parametrize("chunk", [1, 100, 800])
def test_an_interval_is_the_same_in_any_number_of_chunks(monkeypatch, chunk):
    rng = np.random.default_rng(3)
    d, labels = rng.normal(size=40), [NAMES[s] for s in rng.integers(-1, 2, 40)]
    whole = found(d, labels)
    monkeypatch.setattr(ties, "_CHUNK", chunk)
    assert found(d, labels).cross_fitted == whole.cross_fitted


def test_swapping_the_sides_changes_nothing():
    rng = np.random.default_rng(0)
    d = rng.normal(size=300)
    signs = rng.integers(-1, 2, 300)
    labels, swapped = [NAMES[s] for s in signs], [NAMES[-s] for s in signs]
    assert found(d, labels) == found(-d, swapped)


def test_a_judge_that_knows_nothing_is_flattered_less_by_the_other_halfs_threshold():
    """Few labels, three outcomes alike: the best threshold is fitted to noise."""
    rng = np.random.default_rng(1)
    gains = []
    for _ in range(40):
        labels = [NAMES[s] for s in rng.integers(-1, 2, 60)]
        prompts = [str(i) for i in range(60)]
        result = accuracy_with_ties(rng.normal(size=60), labels, prompts, num_resamples=2)
        gains.append((result.accuracy.value, result.cross_fitted.value))
    flattered, honest = np.mean(gains, axis=0)
    assert flattered > 0.38
    assert abs(honest - 1 / 3) < 0.03


def test_the_interval_covers_the_truth_of_a_known_judge():
    """A tie is said within 0.5; of other labels 80 % are met. The truth is known by size."""
    rng = np.random.default_rng(2)

    def draw(num):
        d = rng.normal(size=num) * 2
        near = np.abs(d) < 0.5
        right = np.where(rng.random(num) < 0.8, np.sign(d), -np.sign(d)).astype(int)
        return d, np.where(near, 0, right)

    truth, threshold = best_threshold(*draw(200_000))
    assert 0.45 < threshold < 0.51
    covered = 0
    for _ in range(100):
        d, signs = draw(200)
        result = found(d, [NAMES[s] for s in signs])
        interval = result.cross_fitted
        covered += interval.low <= truth <= interval.high
        assert math.isnan(result.accuracy.low)
    assert covered >= 88


@pytest.mark.parametrize(("gap", "share"), [(0.5, 1.0), (0.75, 0.0)])
def test_the_other_halfs_threshold_ties_what_lies_on_it_and_no_more(gap, share):
    """Either half alone would tie all that it holds; a larger gap than the other's is a side."""
    halves = {seed_of("half", str(number)) % 2: str(number) for number in range(20)}
    differences = [0.5, -0.5, gap, -gap]
    prompts = [halves[0], halves[0], halves[1], halves[1]]
    result = accuracy_with_ties(differences, ["tie"] * 4, prompts, 50)
    assert math.isnan(found([0.5], ["tie"]).cross_fitted.value)  # one half is empty
    assert result.accuracy.value == 1.0
    assert result.cross_fitted.value == (1.0 + share) / 2
