import math

import numpy as np
import pytest

from factory.bias.association import Comparisons, associate
from factory.intervals import Interval

NAMES = ("brightness", "saturation", "contrast", "sharpness")


def comparisons(rng, slopes, num_prompts=60, rows=6, prompt_sd=0.0):
    """Rows with known slopes; `prompt_sd` lets each prompt have slopes of its own."""
    x = rng.standard_normal((num_prompts, rows, len(NAMES)))
    own = np.asarray(slopes) + prompt_sd * rng.standard_normal((num_prompts, 1, len(NAMES)))
    y = (x * own).sum(axis=2) + rng.standard_normal((num_prompts, rows))
    prompts = [f"p{index}" for index in range(num_prompts) for _ in range(rows)]
    return Comparisons("duels", prompts, y.ravel(), x.reshape(-1, len(NAMES)))


def test_a_known_slope_is_found_and_flagged():
    rows = comparisons(np.random.default_rng(0), [0.5, 0.0, 0.0, -0.3])
    found = associate(rows, NAMES, num_resamples=400)
    assert [one.attribute for one in found] == list(NAMES)
    assert [one.is_flagged for one in found] == [True, False, False, True]
    assert found[0].slope.low < 0.5 < found[0].slope.high
    assert found[0].slope.high - found[0].slope.low < 0.35
    assert found[0].correlation.value == pytest.approx(0.5 / math.sqrt(1 + 0.25 + 0.09), abs=0.08)
    assert found[0].num == 360
    assert all(one.p_adjusted >= one.p_value for one in found)


def test_slope_and_correlation_are_those_through_the_origin():
    x = np.array([[1.0], [2.0], [-1.0]])
    y = np.array([1.0, 3.0, 0.5])
    (found,) = associate(Comparisons("scores", ["a", "b", "c"], y, x), ["sharpness"])
    assert found.slope.value == pytest.approx((1 + 6 - 0.5) / 6)
    assert found.correlation.value == pytest.approx(6.5 / math.sqrt(6 * (1 + 9 + 0.25)))


def test_swapping_the_sides_of_a_row_changes_nothing():
    rng = np.random.default_rng(1)
    rows = comparisons(rng, [0.3, 0, 0, 0])
    sign = rng.choice([-1.0, 1.0], len(rows.leads))
    swapped = Comparisons(
        "duels", rows.prompts, rows.leads * sign, rows.differences * sign[:, None]
    )
    for one, other in zip(associate(rows, NAMES), associate(swapped, NAMES), strict=True):
        assert other.slope.value == pytest.approx(one.slope.value)
        assert other.slope.low == pytest.approx(one.slope.low)
        assert other.p_value == pytest.approx(one.p_value)


def test_false_alarms_are_as_rare_as_promised():
    """Without any association a source with a flag is a false discovery: 5 % of the sources.

    Slopes that differ from prompt to prompt are where rows would claim too much.
    """
    rng = np.random.default_rng(2)
    num_runs, num_alarms = 300, 0
    for _ in range(num_runs):
        rows = comparisons(rng, [0.0] * 4, num_prompts=30, prompt_sd=0.6)
        num_alarms += any(one.is_flagged for one in associate(rows, NAMES, num_resamples=2))
    assert num_alarms / num_runs < 0.09


def test_what_cannot_be_told_is_not_flagged():
    constant = Comparisons("duels", ["a", "b"], np.array([1.0, 2.0]), np.zeros((2, 1)))
    one_prompt = Comparisons("duels", ["a", "a"], np.array([1.0, 2.0]), np.ones((2, 1)))
    for rows, slope in ((constant, math.nan), (one_prompt, 1.5)):
        (found,) = associate(rows, ["contrast"])
        assert found.slope.value == pytest.approx(slope, nan_ok=True)
        assert math.isnan(found.slope.low)
        assert math.isnan(found.p_adjusted)
        assert not found.is_flagged
    assert not Interval(math.nan).excludes(0)


def test_a_perfect_fit_is_certain():
    x = np.array([[1.0], [2.0], [3.0]])
    (found,) = associate(Comparisons("duels", list("abc"), 2 * x[:, 0], x), ["contrast"])
    assert (found.p_value, found.is_flagged) == (0.0, True)
    (none,) = associate(Comparisons("duels", list("abc"), 0 * x[:, 0], x), ["contrast"])
    assert (none.p_value, none.is_flagged) == (1.0, False)
