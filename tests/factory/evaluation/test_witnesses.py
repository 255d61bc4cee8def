"""What labels tell of judges: responses, weights, and the power that a plan promises."""

import math

import numpy as np
import pytest

from factory.evaluation.contest import Result
from factory.evaluation.witnesses import (
    Told,
    are_verdicts,
    gain,
    knowledge,
    labels_of,
    pool,
    power,
    response,
    twins_of,
)
from schemas.rows import Duel, Opinion


def opinion(label_id, preference, lead, task="image_generation"):
    p = 1 / (1 + math.exp(-lead))
    duel = Duel("0", "1", "j", p, 1 - p, 0.0)
    duels = (duel, duel.swap())
    return Opinion(label_id, f"prompt of {label_id}", task, {}, "j", preference, None, duels=duels)


def test_labels_are_told_from_the_side_that_people_prefer():
    own = [
        opinion("a", "first", 2.0),
        opinion("b", "second", 1.0),
        opinion("c", "tie", 3.0),
        opinion("d", "first", 1.0, "video_generation"),
    ]
    other = [opinion("e", "second", -4.0), opinion("a", "first", -0.5)]
    found = labels_of({"j": own, "w": other}, ["j", "w", "nobody"], {"image_generation"})
    assert found.prompts == ["prompt of a", "prompt of b", "prompt of e"]
    nan = math.nan
    wanted = [[2.0, -0.5, nan], [-1.0, nan, nan], [nan, 4.0, nan]]
    assert np.allclose(found.leads, wanted, equal_nan=True)


def test_twins_must_be_the_same():
    rows = [Result("p0", "first", 1.0, lead=0.3), Result("p1", None, math.nan)]
    found = twins_of({"judge@1": rows, "oracle@0": rows})
    assert found.leads[0].tolist() == [0.3, 0.3]
    assert np.isnan(found.leads[1]).all()
    with pytest.raises(ValueError, match="judge@1 and o were not asked about the same twins"):
        twins_of({"judge@1": rows, "o": rows[1:]})


def test_who_says_which_and_not_how_much_is_read_by_signs():
    rng = np.random.default_rng(0)
    leads = rng.normal(size=(50, 3))
    leads[:, 1] = np.sign(leads[:, 1]) * 6  # words alone
    leads[:30, 1] = 0  # most of which are ties
    leads[:, 2] = np.nan
    assert are_verdicts(Told(leads[:20], ()), Told(leads[20:], ())).tolist() == [
        False,
        True,
        False,
    ]


def test_response_and_gain_of_verdicts_are_those_of_graded_leads():
    """Of a million pairs with noise of their own, by the closed forms that the module names."""
    rng = np.random.default_rng(1)
    truth = rng.normal(size=1_000_000)
    seen = truth + rng.normal(size=truth.size)  # right on 3/4
    signs = np.array([True])
    by_sign = response(np.array([np.mean(np.sign(seen * truth))]), signs)[0]
    scale = np.std(seen)
    assert by_sign == pytest.approx(
        np.mean(seen * np.sign(truth)) / scale * math.sqrt(2 / math.pi), rel=0.01
    )
    up = np.array([np.mean(np.sign(seen + 0.5))])
    by_sign = gain(up, float(truth.size), signs)[0]
    assert by_sign == pytest.approx(0.5 / scale * math.sqrt(2 / math.pi), rel=0.01)
    assert math.isfinite(gain(np.array([1.0]), 40.0, signs)[0])


def test_a_judge_is_known_by_enough_labels_and_better_than_chance():
    rng = np.random.default_rng(2)
    leads = rng.normal([1.0, 0.0], 1.0, (200, 2))
    prompts = [f"p{at // 2}" for at in range(200)]
    strong, guess = knowledge(Told(leads, prompts), np.zeros(2, bool))
    assert (strong.why_not, strong.num, strong.response.num_clusters) == ("", 200, 100)
    assert strong.accuracy.low < 0.84 < strong.accuracy.high
    assert strong.response.value == pytest.approx(leads[:, 0].mean())
    assert "may be chance" in guess.why_not
    few, _ = knowledge(Told(leads[:16], prompts[:16]), np.zeros(2, bool))
    assert few.why_not == "was held against 16 labels of 8 prompts"


def test_the_pool_tells_the_sides_apart_better_than_any_single_witness():
    rng = np.random.default_rng(3)
    truth = rng.normal(size=(40_000, 1))
    own = rng.normal(size=(40_000, 3)) * [0.7, 1.0, 2.0]
    leads = np.sign(truth) * (truth + own)
    means = leads.mean(axis=0)
    weights = pool(Told(leads, ()), means)
    best = 1 / np.array([0.7, 1.0, 2.0]) ** 2  # of equal responses with independent noise
    assert weights == pytest.approx(best / best.sum(), abs=0.02)
    right = [np.mean(one > 0) for one in (leads @ weights, *leads.T)]
    assert right[0] == max(right)


def test_a_witness_that_copies_a_better_one_adds_nothing():
    rng = np.random.default_rng(4)
    good = rng.normal(1.0, 1.0, 5000)
    leads = np.stack([good, good + rng.normal(0, 2, 5000)], axis=1)
    weights = pool(Told(leads, ()), leads.mean(axis=0))
    assert weights.min() < 0.05
    assert weights.sum() == pytest.approx(1.0)


def test_witnesses_without_labels_in_common_leave_the_best_one():
    leads = np.full((40, 2), np.nan)
    rng = np.random.default_rng(5)
    leads[:20, 0], leads[20:, 1] = rng.normal(1, 2, 20), rng.normal(1, 0.3, 20)
    assert pool(Told(leads, ()), np.nanmean(leads, axis=0)).tolist() == [0.0, 1.0]


def test_power_grows_with_prompts_labels_and_what_is_known():
    few = power(120, 200, 0.8, 0.7, 0.1)
    for more in ((480, 200, 0.8, 0.7), (120, 2000, 0.8, 0.7), (120, 200, 0.8, 0.9)):
        assert power(*more, 0.1) > few + 0.02
    assert power(120, 200, 0.8, 0.7, 0.1, hacked=0.0) < 0.025
    assert power(120, 200, 0.8, 0.7, 0.1, hacked=1.0) > 0.95
