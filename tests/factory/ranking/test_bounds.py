"""Log-odds that were clipped are "at least" so much, whatever is done to them afterwards."""

import math
from dataclasses import replace

import pytest

from factory.bias.correction import Correction
from factory.judging.calibration import Calibration, Isotonic, Line, ScoreMap, TaskCalibration
from factory.judging.calibration import Temperature as Mapped
from factory.judging.panel import TaskWeights, fused_duel
from factory.ranking import Noise
from factory.ranking.matchups import matchup
from schemas.arrow import groups_from_table, groups_to_table
from schemas.rows import Duel, Group, Prompt
from tests.factory.simulated import candidates_of, duel, score

TASK = "image_generation"
PROMPT = Prompt.of("a red circle", tags={"slice": "all"})
CANDIDATES = candidates_of(PROMPT, 2)
A, B = (one.candidate_id for one in CANDIDATES)
CLIPPED = (duel(A, B, 9.0), duel(B, A, -9.0))


def between(duels: tuple[Duel, ...]) -> tuple[float, float]:
    met = matchup(duels, A, B)
    assert met is not None
    return met.between()


def test_a_slice_factor_leaves_a_bound() -> None:
    group = Group(PROMPT, CANDIDATES, (score(A, 3.0), score(B, 3.0)), CLIPPED)
    told = Correction(temperatures={"slice=all": 0.9})(group)
    low, high = between(told.duels)
    assert (low, high) == (pytest.approx(5.4, abs=1e-3), math.inf)
    turned = matchup(told.duels, B, A)
    assert turned is not None
    assert turned.between() == (-math.inf, pytest.approx(-5.4, abs=1e-3))
    (again,) = groups_from_table(groups_to_table([told]))
    assert again.duels == told.duels
    assert [one.bound for one in again.duels] == ["first", "second"]
    assert again.duels[0].swap().bound == "second"


def test_an_attribute_that_is_taken_out_leaves_a_bound() -> None:
    group = Group(PROMPT, CANDIDATES, (score(A, 3.0), score(B, 3.0)), CLIPPED)
    looks = {A: {"brightness": 1.0}, B: {"brightness": 0.0}}
    told = Correction(logits={"brightness": 7.0})(group, lambda one: looks[one.candidate_id])
    assert between(told.duels) == (pytest.approx(-1.0, abs=1e-3), math.inf)


def test_a_temperature_leaves_a_bound_and_divides_the_logits_of_a_share() -> None:
    calibration = Calibration({TASK: TaskCalibration(Mapped(2.0))})
    told = tuple(calibration.duel(TASK, one) for one in CLIPPED)
    assert between(told) == (pytest.approx(3.0, abs=1e-3), math.inf)
    found = matchup(CLIPPED, A, B)
    assert found is not None
    assert calibration.matchup(TASK, found).bounds == ("first", "first")
    measured = matchup((duel(A, B, 4.0), duel(B, A, -4.0)), A, B)
    assert measured is not None
    sharper = Calibration({TASK: TaskCalibration(Mapped(0.5))})
    assert sharper.matchup(TASK, measured).bounds == ("first", "first")
    noise = calibration.noise(TASK, Noise())
    assert noise == replace(Noise(), logits_per_share=Noise().logits_per_share / 2, position_sd=0.5)
    lined = Calibration({TASK: TaskCalibration(None, ScoreMap(Line(0.5, 1.0), 1.0))})
    half = lined.noise(TASK, Noise())
    assert half is not None
    assert (half.score_sd, half.logits_per_share) == (0.08, 20.0)
    steps = Isotonic((0.0, 1.0), (0.5, 0.9), is_symmetric=True)
    assert Calibration({TASK: TaskCalibration(steps)}).noise(TASK, Noise()) is None


def test_a_panel_of_which_one_is_clipped_is_a_bound() -> None:
    alike = TaskWeights.alike(2)
    sure = fused_duel([duel(A, B, 9.0), duel(A, B, 1.0)], "panel@1", alike)
    assert sure.bound == "first"
    assert fused_duel([duel(A, B, 2.0), duel(A, B, 1.0)], "panel@1", alike).bound is None
    assert fused_duel([duel(A, B, 9.0), duel(A, B, -9.0)], "panel@1", alike).bound is None
    unheard = replace(alike, weights=(0.0, 1.0))
    assert fused_duel([duel(A, B, 9.0), duel(A, B, 1.0)], "panel@1", unheard).bound is None
