import math
from dataclasses import replace

import numpy as np
import pytest

from factory.bias.association import MIN_DIFFERING, Comparisons, associate
from factory.bias.figure import flag

NAMES = ("brightness", "saturation", "contrast", "sharpness")


def compared(rng, slopes, num_prompts=60, rows=6, prompt_sd=0.0):
    """Rows with known slopes; `prompt_sd` lets each prompt have slopes of its own."""
    x = rng.standard_normal((num_prompts, rows, len(NAMES)))
    own = np.asarray(slopes) + prompt_sd * rng.standard_normal((num_prompts, 1, len(NAMES)))
    y = (x * own).sum(axis=2) + rng.standard_normal((num_prompts, rows))
    prompts = [f"p{index}" for index in range(num_prompts) for _ in range(rows)]
    return prompts, y.ravel(), x.reshape(-1, len(NAMES))


def comparisons(rng, slopes, **how):
    return Comparisons.of("excess", *compared(rng, slopes, **how))


def flagged(figures):
    return [one.is_flagged for one in flag(figures, 0.05)]


def test_a_known_slope_is_found_and_flagged():
    rows = comparisons(np.random.default_rng(0), [0.5, 0.0, 0.0, -0.3])
    found = associate(rows, NAMES, num_resamples=400)
    assert [one.name for one in found] == list(NAMES)
    assert flagged(found) == [True, False, False, True]
    slope = found[0].estimate
    assert slope.low < 0.5 < slope.high
    assert slope.high - slope.low < 0.35
    correlation = float(found[0].note.removeprefix("correlation "))
    assert correlation == pytest.approx(0.5 / math.sqrt(1 + 0.25 + 0.09), abs=0.08)
    assert found[0].num == 360
    assert all(one.p_adjusted >= one.p_value for one in flag(found, 0.05))


def test_an_association_alone_accuses_nobody():
    rows = replace(comparisons(np.random.default_rng(0), [0.5] * 4), source="scores")
    assert not any(flagged(associate(rows, NAMES, num_resamples=2)))


def test_a_slope_within_the_margin_does_not_matter():
    rows = comparisons(np.random.default_rng(0), [0.5, 0.0, 0.0, -0.3])
    assert flagged(associate(rows, NAMES, margin=0.7, num_resamples=2)) == [False] * 4
    assert flagged(associate(rows, NAMES, margin=0.2, num_resamples=2))[0]


def test_slope_and_correlation_are_those_through_the_origin():
    x = np.array([[1.0], [2.0], [-1.0]])
    y = np.array([1.0, 3.0, 0.5])
    (found,) = associate(Comparisons.of("scores", ["a", "b", "c"], y, x), ["sharpness"])
    assert found.estimate.value == pytest.approx((1 + 6 - 0.5) / 6)
    assert found.note == f"correlation {6.5 / math.sqrt(6 * (1 + 9 + 0.25)):.2f}"


def test_swapping_the_sides_of_a_row_changes_nothing():
    rng = np.random.default_rng(1)
    prompts, leads, differences = compared(rng, [0.3, 0, 0, 0])
    rows = Comparisons.of("excess", prompts, leads, differences)
    sign = rng.choice([-1.0, 1.0], len(leads))
    swapped = Comparisons.of("excess", prompts, leads * sign, differences * sign[:, None])
    for one, other in zip(associate(rows, NAMES), associate(swapped, NAMES), strict=True):
        assert other.estimate.value == pytest.approx(one.estimate.value)
        assert other.estimate.low == pytest.approx(one.estimate.low)
        assert other.p_value == pytest.approx(one.p_value)


def test_false_alarms_are_as_rare_as_promised():
    """Without any association a source with a flag is a false discovery: 5 % of the sources.

    Slopes that differ from prompt to prompt are where rows would claim too much.
    """
    rng = np.random.default_rng(2)
    num_runs, num_alarms = 300, 0
    for _ in range(num_runs):
        rows = comparisons(rng, [0.0] * 4, num_prompts=30, prompt_sd=0.6)
        num_alarms += any(flagged(associate(rows, NAMES, num_resamples=2)))
    assert num_alarms / num_runs < 0.05


def test_what_cannot_be_told_is_not_flagged():
    constant = Comparisons.of("excess", ["a", "b"], np.array([1.0, 2.0]), np.zeros((2, 1)))
    one_prompt = Comparisons.of("excess", ["a", "a"], np.array([1.0, 2.0]), np.ones((2, 1)))
    for rows in (constant, one_prompt):
        (found,) = flag(associate(rows, ["contrast"]), 0.05)
        assert math.isnan(found.estimate.value)
        assert math.isnan(found.p_adjusted)
        assert not found.is_flagged
    (told,) = associate(replace(one_prompt, source="people"), ["contrast"])
    assert (told.estimate.value, math.isnan(told.estimate.low)) == (1.5, True)


def few(rng, num, num_prompts=200):
    """Labels of a judge without bias, of which so many differ in an attribute."""
    logits, x = rng.normal(0, 2, num_prompts), np.zeros((num_prompts, 1))
    x[:num, 0] = rng.normal(0, 3, num)
    p = 1 / (1 + np.exp(-logits))
    leads = 2 * p - 1 - np.where(rng.random(num_prompts) < p, 1.0, -1.0)
    return Comparisons.of("excess", [f"p{at}" for at in range(num_prompts)], leads, x)


@pytest.mark.parametrize("num", [1, 2, MIN_DIFFERING - 1])
def test_few_labels_that_differ_do_not_accuse(num):
    """Of 200 labels two differ in brightness: a slope told from these would be next to nothing's,
    and a gate on it would block a quarter of all judges without a bias.
    """
    rng = np.random.default_rng(4)
    for _ in range(20):
        (found,) = associate(few(rng, num), ["brightness"], 0.03, num_resamples=20)
        assert math.isnan(found.estimate.value)
        assert math.isnan(found.p_value)
        assert found.note.startswith(f"sides of {num} labelled prompt(s) differ in brightness, ")
        # Most pictures have no words: that nothing was measured speaks against no judge.
        assert associate(few(rng, num), ["text"], 0.03, num_resamples=20) == []
    (told,) = associate(few(rng, MIN_DIFFERING), ["text"], num_resamples=20)
    assert told.estimate.low < told.estimate.high


def test_prompts_that_say_nothing_are_no_evidence():
    rows = few(np.random.default_rng(5), 12)
    (found,) = associate(rows, ["text"], num_resamples=20)
    (alone,) = associate(replace(rows, sums=rows.sums[rows.sums[:, 0, 1] > 0]), ["text"])
    assert found.p_value == pytest.approx(alone.p_value)


def test_a_perfect_fit_is_certain():
    x, prompts = np.arange(1.0, MIN_DIFFERING + 1)[:, None], [f"p{n}" for n in range(MIN_DIFFERING)]
    (found,) = associate(Comparisons.of("excess", prompts, 2 * x[:, 0], x), ["contrast"])
    assert found.p_value == 0.0
    (none,) = associate(Comparisons.of("excess", prompts, 0 * x[:, 0], x), ["contrast"])
    assert none.p_value == 1.0
