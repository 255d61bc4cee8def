"""Fitting on opinions: kept where it pays on other prompts, and left alone where it does not."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from factory.evaluation.agreement import measure
from factory.judging.fitting import MIN_PROMPTS, fit, part
from schemas.rows import Duel, Opinion, Score


def opinions(num, sharpness, seed=0, task="image_generation"):
    """A judge whose log-odds are `sharpness` times those of the labels, one pair a prompt."""
    rng = np.random.default_rng(seed)
    found = []
    for n in range(num):
        true = float(rng.normal()) * 1.5
        said = "first" if rng.random() < expit(true) else "second"
        p = float(expit(true * sharpness))
        duels = (Duel("0", "1", "j", p, 1 - p, 0.0), Duel("1", "0", "j", 1 - p, p, 0.0))
        found.append(Opinion(f"l{n}", f"{seed}-{n}", task, {}, "j", said, None, (), duels))
    return found


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_an_overconfident_judge_is_mapped_and_better_for_it_elsewhere(method):
    calibration = fit(opinions(300, 4.0), method, 0.9)
    assert calibration.tasks["image_generation"].pairs is not None
    fresh = opinions(1000, 4.0, seed=1)
    before, after = measure(fresh, None, 50), measure(fresh, calibration, 50)
    assert before.calibration_error.value > 0.12
    assert after.calibration_error.value < 0.06


def test_a_few_prompts_make_no_map_however_bad_they_look():
    """Many labels, but of prompts that may all be hard ones."""
    rows = opinions(300, 4.0)
    few = [replace(one, prompt_id=f"{n % (MIN_PROMPTS - 1)}") for n, one in enumerate(rows)]
    enough = [replace(one, prompt_id=f"{n % MIN_PROMPTS}") for n, one in enumerate(rows)]
    assert fit(few, "temperature", 0.9).tasks["image_generation"].pairs is None
    assert fit(enough, "temperature", 0.9).tasks["image_generation"].pairs is not None


@pytest.mark.parametrize("num", [30, MIN_PROMPTS, 100])
def test_an_honest_judge_is_nearly_always_left_alone(num):
    """With few labels a fitted temperature would differ from one by chance alone."""
    mapped = [
        fit(opinions(num, 1.0, seed), "temperature", 0.9).tasks["image_generation"].pairs
        is not None
        for seed in range(20)
    ]
    assert sum(mapped) <= 2


def test_abstention_is_fitted_to_the_side_that_the_judge_prefers():
    """Told from the other side, the same judge is to be heard on the same pairs."""
    rows = opinions(300, 1.0)
    turned = [
        replace(
            one,
            preference="second" if one.preference == "first" else "first",
            duels=tuple(replace(d, p_first=d.p_second, p_second=d.p_first) for d in one.duels),
        )
        for one in rows
    ]
    found, other = (
        fit(each, "temperature", 0.6).tasks["image_generation"].abstention
        for each in (rows, turned)
    )
    confidences = [max(one.duels[0].p_first, one.duels[0].p_second) for one in rows]
    heard = [one for one in confidences if found.accepts(one + 1e-9)]
    assert 0.5 <= found.confidence < 1.0
    assert len(heard) == pytest.approx(found.coverage * 300)
    assert 0.6 < found.precision < 1.0
    assert (other.confidence, other.coverage) == pytest.approx((found.confidence, found.coverage))


def test_points_are_fitted_without_those_that_were_not_scored():
    rows = []
    for n in range(60):
        value = float("nan") if n % 3 == 0 else 1.0 + n / 20
        score = Score("0", "j", value, 0.5)
        points = 2 + n // 10
        rows.append(Opinion(f"s{n}", f"p{n}", "image_generation", {}, "j", None, points, (score,)))
    fitted = fit(rows, "temperature", 0.9).tasks["image_generation"]
    assert (fitted.num_points, fitted.num_pairs) == (40, 0)
    # Points rise by one in ten rows, scores by a half.
    assert fitted.scores.points.slope == pytest.approx(2.0, abs=0.1)
    assert fitted.scores.spread < 1.0


def test_tasks_are_fitted_apart():
    rows = opinions(300, 4.0) + opinions(300, 1.0, 5, "video_generation")
    tasks = fit(rows, "temperature", 0.9).tasks
    assert tasks["image_generation"].pairs is not None
    assert tasks["video_generation"].pairs is None
    assert tasks["video_generation"].num_pairs == 300


def test_prompts_are_halved_for_good():
    rows = opinions(2000, 1.0)
    fitted = [part(one, 0.5) == "fit" for one in rows]
    assert 900 < sum(fitted) < 1100
    assert fitted == [part(one, 0.5) == "fit" for one in rows]
    assert not any(part(one, 0.0) == "fit" for one in rows)
    assert fit(rows[:10], "temperature", 0.9).fitted_on == {one.prompt_id for one in rows[:10]}
