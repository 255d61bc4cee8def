"""Numbers to places on the page: plots worked out by hand."""

import pytest

from jobs.pages import plots
from jobs.pages.plots import CURVE_HEIGHT, CURVE_WIDTH, FOREST_WIDTH, RELIABILITY_SIDE, Span
from schemas.results import Estimate, ReliabilityBin


def estimate(value, low=None, high=None, neutral=0.0, unit="share", corrected=None):
    return Estimate("it", value, low, high, neutral, unit, corrected=corrected)


def test_a_forest_reaches_from_end_to_end_with_a_little_room():
    # From 0 to 1 with 4 % more on either side, on 300 less 10 on either side.
    (forest,) = plots.forests([estimate(0.5, 0.25, 1.0)])
    scale = (FOREST_WIDTH - 20) / 1.08
    places = [round(10 + (value + 0.04) * scale, 1) for value in (0.0, 0.25, 0.5, 1.0)]
    assert forest.neutral == places[0]
    assert forest.rows[0].span == Span(*places[1:])
    assert [one.value for one in forest.ticks] == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert forest.ticks[2].x == places[2]


def test_an_estimate_without_an_interval_is_a_point_and_without_a_value_is_nothing():
    (forest,) = plots.forests([estimate(1.0), estimate(None), estimate(0.0, 0.0, 1.0)])
    point, nothing, whole = (one.span for one in forest.rows)
    assert point.low == point.value == point.high == whole.high
    assert nothing is None
    assert (whole.low, whole.value) == (forest.neutral, forest.neutral)
    (flat,) = plots.forests([estimate(0.0)])
    assert flat.neutral == flat.rows[0].span.value == FOREST_WIDTH / 2


def test_what_the_correction_leaves_is_drawn_on_the_same_axis():
    (forest,) = plots.forests([estimate(0.5, 0.4, 0.6, corrected=estimate(-0.5, -1.0, 0.0))])
    (row,) = forest.rows
    assert row.corrected.low < row.corrected.value < row.corrected.high == forest.neutral
    assert forest.neutral < row.span.low


def test_each_unit_and_neutral_value_has_an_axis_of_its_own():
    found = plots.forests(
        [
            estimate(0.5, neutral=0.5),
            estimate(0.2, unit="points"),
            estimate(0.7, neutral=0.5),
            estimate(0.1, neutral=None),
        ]
    )
    drawn = [(one.unit, len(one.rows)) for one in found]
    assert drawn == [("share", 2), ("points", 1), ("share", 1)]
    assert found[0].neutral is not None
    assert found[2].neutral is None  # but read against zero
    assert found[2].rows[0].span.value > FOREST_WIDTH / 2


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 5.0, [0, 1, 2, 3, 4, 5]),
        (-0.3, 0.7, [-0.2, 0, 0.2, 0.4, 0.6]),
        (0.0, 12.0, [0, 2.5, 5, 7.5, 10]),
        (0.0, 25.0, [0, 5, 10, 15, 20, 25]),
        (0.0, 30.0, [0, 10, 20, 30]),
        (95.0, 145.0, [100, 110, 120, 130, 140]),
    ],
)
def test_ticks_are_round_and_lie_between_the_ends(low, high, ticks):
    assert plots.nice_ticks(low, high) == pytest.approx(ticks)


def test_a_curve_fills_its_box_whatever_the_order_of_its_points():
    found = plots.line([(20, 1.0), (10, 3.0), (30, 2.0)])
    middle, right = CURVE_WIDTH / 2, CURVE_WIDTH - 10
    assert found.points == f"10.0,10.0 {middle},{CURVE_HEIGHT - 10.0} {right:.1f},55.0"
    assert (found.bottom, found.top) == (1.0, 3.0)
    assert (found.first_step, found.last_step, found.last) == (10, 30, 2.0)
    assert (found.last_x, found.last_y) == (right, 55.0)
    assert not found.is_averaged


def test_places_have_one_decimal():
    found = plots.line([(0, 0.0), (1, 0.123), (3, 1.0)])
    x, y = 10 + (CURVE_WIDTH - 20) / 3, CURVE_HEIGHT - 10 - 0.123 * (CURVE_HEIGHT - 20)
    assert found.points.split()[1] == f"{x:.1f},{y:.1f}"


def test_a_single_point_and_a_flat_curve_can_be_drawn():
    assert plots.line([(5, 2.0)]).points == f"10.0,{CURVE_HEIGHT - 10.0}"
    assert plots.line([(0, 2.0), (9, 2.0)]).points.endswith(f",{CURVE_HEIGHT - 10.0}")


@pytest.mark.parametrize(("num", "num_drawn"), [(300, 300), (301, 151), (600, 300), (601, 201)])
def test_a_long_curve_is_drawn_as_averages(num, num_drawn):
    found = plots.line([(step, float(step)) for step in range(num)])
    assert len(found.points.split()) == num_drawn
    assert found.is_averaged == (num > 300)
    assert (found.last_step, found.last) == (num - 1, num - 1.0)


def test_averages_are_of_equal_runs():
    found = plots.line([(step, float(step % 2)) for step in range(600)])
    assert (found.bottom, found.top) == (0.5, 0.5)


def test_a_calibrated_judge_lies_on_the_diagonal():
    side = RELIABILITY_SIDE
    bins = [
        ReliabilityBin(confidence=0.5, share_right=0.5, low=None, high=None, num=1),
        ReliabilityBin(confidence=1.0, share_right=1.0, low=0.0, high=1.0, num=4),
    ]
    left, right = plots.reliability(bins)
    assert (left.x, left.y, left.y_low, left.y_high) == (10.0, side / 2, side / 2, side / 2)
    assert (right.x, right.y) == (side - 10.0, 10.0)
    assert (right.y_low, right.y_high) == (side - 10.0, 10.0)
    assert (left.radius, right.radius) == (4.0, 6.0)  # half the radius that grows, a quarter of 4
    assert right.bin is bins[1]
    assert plots.reliability([]) == []


def test_zero_has_no_sign():
    assert [str(one) for one in plots.nice_ticks(-1.0, 1.0)] == [
        "-1.0",
        "-0.5",
        "0.0",
        "0.5",
        "1.0",
    ]
