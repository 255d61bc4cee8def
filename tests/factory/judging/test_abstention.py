"""Abstention: the precision asked for is kept, with pairs of one prompt as alike as they like."""

import numpy as np
import pytest
from scipy.stats import binomtest

from factory.judging.abstention import (
    LEVEL,
    fit_abstention,
    intraclass_correlation,
    lower_bound,
)


@pytest.mark.parametrize(("right", "num"), [(0, 10), (7, 10), (29, 29), (95, 100)])
def test_the_bound_is_clopper_and_pearsons(right, num):
    wanted = binomtest(right, num, alternative="greater").proportion_ci(0.95, "exact").low
    assert lower_bound(right, num) == pytest.approx(wanted)


def draw(rng, num_prompts, per_prompt, alike):
    """Confidences, and answers that are right that often, alike within a prompt if asked."""
    confidence = rng.uniform(0.5, 1.0, (num_prompts, per_prompt))
    luck = rng.random((num_prompts, 1)) if alike else rng.random((num_prompts, per_prompt))
    if alike:
        confidence = np.repeat(confidence[:, :1], per_prompt, axis=1)
    right = luck < confidence
    prompts = np.repeat([str(i) for i in range(num_prompts)], per_prompt)
    return confidence.ravel(), np.broadcast_to(right, confidence.shape).ravel(), prompts


@pytest.mark.parametrize("alike", [False, True])
def test_the_precision_is_kept_as_often_as_the_level_says(alike):
    """Of those kept the truth is known: the mean confidence, since the judge is calibrated."""
    rng = np.random.default_rng(0)
    broken = fitted = 0
    for _ in range(300):
        confidence, right, prompts = draw(rng, 120, 4, alike)
        rule = fit_abstention(confidence, right, prompts, 0.85)
        if rule.confidence is None:
            continue
        fitted += 1
        truth = (1 + rule.confidence) / 2  # confidences are uniform
        broken += truth < 0.85
    assert broken <= 300 * (1 - LEVEL)
    assert fitted > (20 if alike else 200)


def test_a_calibrated_judge_is_heard_where_it_is_sure():
    confidence, right, prompts = draw(np.random.default_rng(1), 2000, 1, False)
    rule = fit_abstention(confidence, right, prompts, 0.85)
    assert 0.68 <= rule.confidence <= 0.82  # 0.7 is where the mean above it is 0.85
    assert rule.accepts(0.99)
    assert not rule.accepts(0.55)
    assert rule.precision_low >= 0.85
    assert rule.coverage == pytest.approx((confidence >= rule.confidence).mean())


def test_a_judge_that_guesses_is_never_heard():
    rng = np.random.default_rng(2)
    confidence, right = rng.uniform(0.5, 1, 500), rng.random(500) < 0.5
    rule = fit_abstention(confidence, right, [str(i) for i in range(500)], 0.8)
    assert rule.confidence is None
    assert not rule.accepts(1.0)
    assert (rule.coverage, rule.precision) == (0.0, None)


def test_few_labels_promise_nothing_however_right():
    rule = fit_abstention([0.9] * 20, [True] * 20, [str(i) for i in range(20)], 0.9)
    assert rule.confidence is None
    assert fit_abstention([], [], [], 0.9).confidence is None


def test_copies_of_one_prompt_are_worth_one():
    """Fifty right answers to each of ten prompts are no five hundred answers."""
    prompts = np.repeat([str(i) for i in range(10)], 50)
    rule = fit_abstention(np.full(500, 0.9), np.ones(500, bool), prompts, 0.9)
    assert rule.confidence is None
    single = fit_abstention(
        np.full(500, 0.9), np.ones(500, bool), [str(i) for i in range(500)], 0.9
    )
    assert single.confidence == 0.9
    assert single.num_effective == 500


def test_likeness_within_prompts_is_measured():
    rng = np.random.default_rng(3)
    prompts = np.repeat([str(i) for i in range(400)], 5)
    apart = (rng.random(2000) < 0.7).astype(float)
    together = np.repeat((rng.random(400) < 0.7).astype(float), 5)
    assert intraclass_correlation(apart, prompts) < 0.05
    assert intraclass_correlation(together, prompts) == pytest.approx(1)
    half = np.where(rng.random(2000) < np.sqrt(0.5), together, apart)
    assert intraclass_correlation(half, prompts) == pytest.approx(0.5, abs=0.1)
