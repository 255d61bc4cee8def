"""Slices, calibration and self-preference: planted gaps of known size, and none."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from factory.bias.calibration import temperature, temperature_of
from factory.bias.figure import Relevance, flag
from factory.bias.observation import LabelObservation, Observation, PointObservation
from factory.bias.slices import (
    calibration_figures,
    self_preference_figures,
    slice_figures,
    slices_of,
)
from factory.ranking.matchups import matchup
from factory.statistics.metrics import brier, expected_calibration_error
from tests.factory.simulated import duel


def observations(rng, gap, num=60):
    """Two regions, half of the prompts each; the south gets `gap` more points."""
    found = []
    for number in range(num):
        region = "south" if number % 2 else "north"
        points = rng.normal(3.0 + gap * (region == "south"), 0.5, 4)
        scores = {f"{number} {at}": float(value) for at, value in enumerate(points)}
        found.append(Observation(f"p{number}", scores, (), 0, {}, {"region": region}))
    return found


def points(rng, gap, num=200):
    """People give the south one point less than the north; the judge gives `gap` beyond that."""
    found = []
    for number in range(num):
        region = "south" if number % 2 else "north"
        given = rng.normal(3.5 - (region == "south"), 0.5)
        score = given + gap * (region == "south") + 0.4 * rng.normal()
        found.append(PointObservation(f"p{number}", given, score, {"region": region}))
    return found


def test_slices_are_large_and_not_alone():
    tags = [{"region": "north", "style": "oil"}] * 10 + [{"region": "south"}] * 10
    tags += [{"region": "west"}] * 9
    assert slices_of(tags) == [("region", "north"), ("region", "south")]


def test_a_gap_and_a_ratio_are_found_at_their_size():
    found = slice_figures(observations(np.random.default_rng(0), 0.6), (), Relevance(), 100)
    gap = next(one for one in found if (one.name, one.measure[:9]) == ("region=south", "score gap"))
    assert gap.estimate.low < 0.6 < gap.estimate.high
    (ratio,) = (one for one in found if one.measure == "selection ratio")
    assert ratio.neutral == 1.0
    assert ratio.name == "region=north"
    assert ratio.estimate.high < 0.8
    assert not any(one.is_flagged for one in flag(found, 0.05))  # the south may be easier


@pytest.mark.parametrize(("gap", "is_flagged"), [(0.5, True), (0.0, False)])
def test_only_a_gap_beyond_people_s_accuses(gap, is_flagged):
    found = flag(slice_figures([], points(np.random.default_rng(1), gap), Relevance(), 100), 0.05)
    south = next(one for one in found if one.name == "region=south")
    assert south.estimate.low < gap < south.estimate.high
    assert south.is_flagged == is_flagged


def test_points_that_the_judge_could_not_read_are_counted_and_not_read():
    rows = points(np.random.default_rng(1), 0.5)
    unread = [replace(one, score=math.nan) for one in rows[1:7:2]]  # all of the south
    found, whole = (slice_figures([], each, Relevance(), 20) for each in (unread + rows, rows))
    assert [(one.name, one.num, one.num_invalid) for one in found] == [
        ("region=north", 100, 0),
        ("region=south", 100, 3),
    ]
    assert [one.estimate.value for one in found] == [one.estimate.value for one in whole]


def test_calibration_is_that_of_the_metrics():
    rng = np.random.default_rng(2)
    labels = []
    for number in range(200):
        logit = float(rng.normal(0, 2))
        told = "first" if rng.random() < 1 / (1 + np.exp(-logit / 2)) else "second"
        met = matchup([duel("0", "1", logit), duel("1", "0", -logit)], "0", "1")
        labels.append(LabelObservation(f"p{number}", told, met, {}, {}))
    error, score = calibration_figures(labels, 50)
    p = [one.matchup.p_better for one in labels]
    outcomes = [float(one.preference == "first") for one in labels]
    assert error.estimate.value == pytest.approx(expected_calibration_error(p, outcomes))
    assert score.estimate.value == pytest.approx(brier(p, outcomes))
    assert score.estimate.low < score.estimate.value < score.estimate.high


def test_a_temperature_undoes_over_confidence():
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 1.5, 5000)
    outcomes = rng.random(5000) < 1 / (1 + np.exp(-logits))
    assert temperature(4 * logits, outcomes) == pytest.approx(0.25, rel=0.1)
    assert temperature(logits, outcomes) == pytest.approx(1.0, rel=0.1)


def test_few_labels_stay_with_their_prior():
    few = np.array([2.0, -2.0, 1.5]), np.array([1.0, 0.0, 1.0])
    assert temperature(*few, centre=0.5, weight=50) == pytest.approx(0.5, rel=0.2)
    assert temperature(*few) < 20.0  # a judge that is always right is not made infinitely sure
    assert temperature([], []) == 1.0


@pytest.mark.parametrize(("centre", "weight"), [(1.0, 1.0), (0.5, 30.0), (2.0, 8.0)])
def test_a_temperature_is_where_a_general_optimiser_finds_it(centre, weight):
    rng = np.random.default_rng(3)
    logits = rng.normal(0.5, 2.0, 40)
    outcomes = rng.choice([0.0, 0.5, 1.0], 40)
    mean_square = np.mean(logits**2)

    def loss(log_t):
        """The likelihood, and what `weight` labels that fit `centre` add near it."""
        z = np.exp(log_t) * logits
        off = log_t - np.log(centre)
        fit = np.logaddexp(0, z) - outcomes * z
        return fit.sum() + weight * mean_square * centre**2 * off**2 / 8

    wanted = np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x)
    assert temperature(logits, outcomes, centre, weight) == pytest.approx(wanted, rel=1e-3)
    assert temperature(np.zeros(5), np.ones(5), centre, weight) == centre


def test_a_prompt_has_the_temperature_of_its_slices():
    found = {"": 0.5, "a=1": 2.0, "b=2": 8.0}
    assert temperature_of({"a": "1"}, found) == pytest.approx(2.0)
    assert temperature_of({"a": "1", "b": "2"}, found) == pytest.approx(4.0)
    assert temperature_of({"a": "7"}, found) == 0.5
    assert temperature_of({"a": "7"}, {}) == 1.0


def contest(rng, liking, num=60):
    """Two generators before two judges; the first judge likes its own family by `liking`."""
    found = []
    for number in range(num):
        quality = rng.normal(0, 1, 4)
        makers = ("kin@1", "other@1") * 2
        by = {
            "kin-judge@1": quality + liking * np.array([1, 0, 1, 0]) + 0.3 * rng.normal(size=4),
            "judge@1": 3 * (quality + 0.3 * rng.normal(size=4)),  # another scale
        }
        ids = [f"{number} {at}" for at in range(4)]
        scores = {
            judge: dict(zip(ids, map(float, told), strict=True)) for judge, told in by.items()
        }
        generators = dict(zip(ids, makers, strict=True))
        found.append(Observation(f"p{number}", {}, (), 0, {}, {}, generators, scores))
    return found


@pytest.mark.parametrize(("liking", "is_flagged"), [(0.8, True), (0.0, False)])
def test_self_preference_is_what_other_judges_do_not_share(liking, is_flagged):
    found = flag(self_preference_figures(contest(np.random.default_rng(4), liking), 50), 0.05)
    assert len(found) == 4
    own = next(one for one in found if (one.name, "kin-judge" in one.measure) == ("kin@1", True))
    assert own.is_flagged == is_flagged
    if is_flagged:
        assert own.estimate.low > 0
        assert own.note.startswith("standardised residual ")


def test_one_judge_alone_has_no_measure_of_self_preference():
    alone = [
        Observation(one.prompt_id, {}, (), 0, {}, {}, one.generators, {"a@1": dict(scores)})
        for one in contest(np.random.default_rng(5), 0.8, num=3)
        for scores in [one.scores_by["judge@1"]]
    ]
    assert self_preference_figures(alone) == []
