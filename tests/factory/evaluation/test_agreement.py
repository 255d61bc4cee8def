"""The figures of a judge, counted by hand from opinions."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from factory.evaluation.agreement import FIGURES, heard, macro_accuracy, measure, reliability
from factory.judging.abstention import Abstention
from factory.judging.calibration import Calibration, TaskCalibration, Temperature
from factory.ranking.matchups import is_right, meeting, slices
from schemas.rows import Duel, Opinion, Score


def opinion(n, p_first, preference, p_tie=0.0, scores=(), tags=None, task="image_generation"):
    """A judge without position bias: both orders say the same. None: unreadable."""
    if p_first is None:
        duels = tuple(Duel(a, b, "j", *[math.nan] * 3, "broken media") for a, b in ("01", "10"))
    else:
        ahead = Duel("0", "1", "j", p_first, 1 - p_first - p_tie, p_tie)
        back = Duel("1", "0", "j", ahead.p_second, ahead.p_first, p_tie)
        duels = (ahead, back)
    found = tuple(Score(str(side), "j", value, 0.5) for side, value in enumerate(scores))
    return Opinion(f"l{n}", f"p{n}", task, tags or {}, "j", preference, None, found, duels)


def point(n, score, points, error=None):
    found = (Score("0", "j", score, 0.5, error),)
    return Opinion(f"s{n}", f"p{n}", "image_generation", {}, "j", None, points, found)


def test_pairs_are_counted_and_the_unreadable_stand_beside():
    found = measure(
        [
            opinion(1, 0.9, "first"),
            opinion(2, 0.8, "second"),
            opinion(3, 0.3, "tie", p_tie=0.4),
            opinion(4, None, "first"),
        ]
    )
    assert found.accuracy.without_ties.value == 0.5
    assert found.accuracy.with_ties.value == pytest.approx(2 / 3)
    assert found.accuracy.invalid_rate == 0.25
    assert found.accuracy.num_labels == 4
    assert found.ties.num_labels == 3
    assert found.ties.accuracy.value == pytest.approx(2 / 3)
    assert found.flips.value == 0.0
    # (0.1² + 0.8² + 0²) / 3: where the tie counts half, the third claims one half exactly
    assert found.brier.value == pytest.approx((0.01 + 0.64 + 0.0) / 3, abs=1e-6)


def test_labels_count_by_their_weights_in_one_figure_alone():
    """Two right of three, one of them in doubt; one of no weight counts as 1, and never as 0."""
    rows = [
        replace(opinion(1, 0.9, "first"), weight=0.2),
        replace(opinion(2, 0.9, "second"), weight=0.5),
        opinion(3, 0.1, "second"),
        replace(opinion(4, 0.6, "tie"), weight=0.9),
        replace(opinion(5, None, "first"), weight=1.0),
    ]
    found = measure(rows)
    assert found.weighted_accuracy.value == pytest.approx(1.2 / 1.7)
    assert found.accuracy.without_ties.value == pytest.approx(2 / 3)
    assert math.isnan(measure([opinion(1, 0.9, "first")]).weighted_accuracy.value)


def test_the_calibration_error_is_told_from_the_side_preferred():
    """Ten pairs claimed at 0.8, seven of them right: 0.1 off, in whichever order they stand."""
    rows = [opinion(n, 0.8, "first" if n < 7 else "second") for n in range(10)]
    swapped = [opinion(n, 0.2, "second" if n < 7 else "first") for n in range(10)]
    for case in (rows, swapped, rows[:5] + swapped[5:]):
        assert measure(case).calibration_error.value == pytest.approx(0.1)
    (one,) = reliability(rows)
    assert (one.num, one.share_right.value) == (10, pytest.approx(0.7))
    assert one.confidence == pytest.approx(0.8)
    assert one.share_right.low < 0.7 < one.share_right.high


def test_the_error_by_chance_is_what_a_calibrated_judge_shows():
    rng = np.random.default_rng(5)
    errors, floors = [], []
    for _ in range(60):
        p = rng.uniform(0.5, 1, 150)
        said = np.where(rng.random(150) < p, "first", "second")
        rows = [opinion(n, *row) for n, row in enumerate(zip(p, said.tolist(), strict=True))]
        found = measure(rows, num_resamples=2)
        errors.append(found.calibration_error.value)
        floors.append(found.error_by_chance)
    assert np.mean(floors) == pytest.approx(np.mean(errors), rel=0.1)
    assert np.mean(floors) > 0.04  # with 150 labels, 0.05 is no miscalibration


def test_calibrated_figures_are_those_of_the_mapped_probabilities():
    rows = [opinion(n, 0.9, "first" if n < 7 else "second") for n in range(10)]
    temperature = math.log(9) / math.log(7 / 3)  # sends 0.9 to 0.7
    calibration = Calibration({"image_generation": TaskCalibration(Temperature(temperature))})
    assert measure(rows).calibration_error.value == pytest.approx(0.2)
    assert measure(rows, calibration).calibration_error.value == pytest.approx(0, abs=1e-6)
    assert measure(rows, calibration).brier.value == pytest.approx(0.21)
    assert measure(rows, calibration).accuracy == measure(rows).accuracy


def test_a_judge_that_abstains_is_right_on_what_is_left():
    """Only pairs that could be read count: neither the unreadable one nor the one with points."""
    rows = [
        opinion(1, 0.9, "first"),
        opinion(2, 0.1, "second"),
        opinion(3, 0.8, "second"),
        opinion(4, 0.6, "second"),  # below the least confidence
        opinion(5, None, "first"),
        point(6, 3.0, 4),
    ]
    rule = Abstention(0.75, 0.9, None, None, 0.0, 0, 0.0)
    left = heard(rows, Calibration({"image_generation": TaskCalibration(abstention=rule)}))
    assert left.precision.value == pytest.approx(2 / 3)
    assert (left.coverage.value, left.num) == (0.75, 3)
    whole = heard(rows, Calibration({}))
    assert (whole.precision.value, whole.coverage.value, whole.num) == (0.5, 1.0, 4)


def test_a_side_is_right_only_where_people_prefer_it():
    for p_first, said, right in (
        (0.9, "first", True),
        (0.9, "second", False),
        (0.1, "second", True),
        (0.1, "first", False),
        (0.5, "first", False),
        (0.5, "second", False),
        (0.9, "tie", False),
        (0.1, "tie", False),
    ):
        assert is_right(meeting(opinion(1, p_first, said)), said) is right


def test_numbers_beside_the_figures_say_what_they_rest_on():
    """A tie decides nothing; an unreadable verdict may still have both sides scored."""
    rows = [
        opinion(1, 0.9, "first", scores=(4.0, 2.0)),
        opinion(2, 0.9, "second"),
        opinion(3, 0.9, "tie", scores=(3.0, 3.5)),
        opinion(4, None, "second", scores=(3.0, 2.0)),
    ]
    found = measure(rows)
    assert (found.num_decided, found.num_score_decided) == (2, 2)


def test_equal_scores_are_half_right():
    rows = [
        opinion(1, 0.9, "first", scores=(3.0, 3.0)),
        opinion(2, 0.9, "second", scores=(2.0, 3.0)),
    ]
    assert measure(rows).score_accuracy.value == 0.75


def test_confidence_is_binned_by_tenths_from_one_half():
    rows = [opinion(n, p, "first") for n, p in enumerate([0.5, 0.55, 0.65, 0.72, 0.78, 0.95, 0.08])]
    bars = reliability([*rows, opinion(9, None, "first")])
    assert [one.num for one in bars] == [2, 1, 2, 2]
    assert [one.confidence for one in bars] == pytest.approx([0.525, 0.65, 0.75, 0.935], abs=1e-6)
    # One half prefers no side and is half right.
    assert [one.share_right.value for one in bars] == [0.75, 1.0, 1.0, 0.5]


def test_scores_alone_are_measured_too():
    rows = [
        opinion(1, 0.9, "first", scores=(4.0, 2.0)),
        opinion(2, 0.9, "first", scores=(2.0, 4.0)),
        opinion(3, 0.9, "tie", scores=(3.0, 3.5)),
        opinion(4, 0.9, "second", scores=(3.0, math.nan)),
    ]
    found = measure(rows)
    assert found.score_accuracy.value == 0.5
    assert found.score_ties.num_labels == 3
    assert (found.score_ties.accuracy.value, found.score_ties.threshold) == (
        pytest.approx(2 / 3),
        0.5,
    )


def test_points_are_compared_by_rank():
    scores, points = [1.0, 2.0, 3.0, 2.5, 4.0], [1, 3, 2, 3, 5]
    rows = [point(n, *row) for n, row in enumerate(zip(scores, points, strict=True))]
    found = measure([*rows, point(9, math.nan, 3, "broken media")])
    assert found.correlation.value == pytest.approx(spearmanr(scores, points).statistic)
    assert (found.num_points, found.num_invalid_points) == (6, 1)
    assert math.isnan(measure(rows[:1]).correlation.value)
    aligned = measure([point(n, float(n), n) for n in range(1, 8)]).correlation
    assert (aligned.value, aligned.low, aligned.high) == pytest.approx((1.0, 1.0, 1.0))
    crossed = measure([point(n, float(-n), n) for n in range(1, 8)]).correlation
    assert (crossed.value, crossed.low, crossed.high) == pytest.approx((-1.0, -1.0, -1.0))


def test_macro_is_the_mean_of_slices_and_not_of_labels():
    rows = [opinion(n, 0.9, "first", tags={"category": "a"}) for n in range(8)]
    rows += [opinion(8, 0.9, "second", tags={"category": "b"})]
    rows += [opinion(9, 0.1, "first", tags={"category": "b"})]
    groups = slices(rows, "category")
    assert {name: len(group) for name, group in groups.items()} == {"a": 8, "b": 2}
    assert measure(rows).accuracy.without_ties.value == 0.8
    assert macro_accuracy(groups).value == 0.5
    unread = [point(10, 3.0, 4), opinion(11, None, "first"), opinion(12, 0.9, "tie")]
    assert macro_accuracy({name: [*unread, *each] for name, each in groups.items()}).value == 0.5
    assert list(slices(rows)) == ["image_generation"]


def test_no_opinions_are_no_figures():
    found = measure([])
    assert all(math.isnan(pick(found).value) for pick in FIGURES.values())
    assert reliability([]) == []
    assert math.isnan(macro_accuracy({}).value)


def test_intervals_are_clustered_by_prompt():
    """Ten copies of one prompt's pair are no ten pairs."""
    rng = np.random.default_rng(0)
    said = ["first" if one else "second" for one in rng.random(20) < 0.7]
    once = [opinion(n, 0.8, label) for n, label in enumerate(said)]
    copies = once * 10
    one, ten = measure(once), measure(copies)
    for name, pick in FIGURES.items():
        if pick(one).high > pick(one).low and "cross" not in name:
            wide, same = pick(one), pick(ten)
            assert same.high - same.low > 0.7 * (wide.high - wide.low), name


def test_a_meeting_needs_both_orders():
    whole = opinion(1, 0.9, "first")
    assert meeting(whole) is not None
    half = Opinion("l", "p", "image_generation", {}, "j", "first", None, (), whole.duels[:1])
    assert meeting(half) is None
    assert measure([half]).accuracy.invalid_rate == 1.0
