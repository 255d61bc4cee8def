"""Calibration maps: symmetric, true to a known distortion, and equal to another implementation."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from factory.judging.abstention import Abstention
from factory.judging.calibrated import CalibratedJudge
from factory.judging.calibration import (
    FILE,
    MIN_LABELS,
    Calibration,
    CalibrationError,
    Isotonic,
    Line,
    ScoreMap,
    TaskCalibration,
    Temperature,
    fit_pairs,
    fit_scores,
)
from factory.ranking.matchups import matchup
from factory.statistics.metrics import brier, expected_calibration_error
from schemas.rows import Duel, Prompt, Score

TASK = "image_generation"


def labelled(num, factor, seed=0, ties=0.0):
    """Log-odds that are `factor` times too large, and what people say."""
    rng = np.random.default_rng(seed)
    true = rng.normal(size=num) * 2
    outcome = (rng.random(num) < expit(true)).astype(float)
    outcome[rng.random(num) < ties] = 0.5
    return true * factor, outcome


def met(logit, p_tie=0.2):
    """A matchup of an unbiased judge with these log-odds (a tie counting half)."""
    better = float(expit(logit))
    p_tie = min(p_tie, 2 * min(better, 1 - better) * 0.9)
    duel = Duel("0", "1", "j", better - p_tie / 2, 1 - better - p_tie / 2, p_tie)
    return matchup([duel, Duel("1", "0", "j", duel.p_second, duel.p_first, p_tie)], "0", "1")


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_temperature_undoes_a_known_sharpening(factor):
    logits, outcomes = labelled(20_000, factor)
    fitted = fit_pairs(logits, outcomes, "temperature")
    assert fitted.temperature == pytest.approx(factor, rel=0.06)


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_calibration_holds_on_labels_that_it_was_not_fitted_on(method):
    fitted = fit_pairs(*labelled(4000, 3.0, seed=1, ties=0.1), method)
    logits, outcomes = labelled(4000, 3.0, seed=2, ties=0.1)
    before, after = expit(logits), fitted(logits)
    assert expected_calibration_error(before, outcomes) > 0.08
    assert expected_calibration_error(after, outcomes) < 0.03
    assert brier(after, outcomes) < brier(before, outcomes) - 0.01


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
@given(logit=st.floats(-8, 8))
def test_a_map_is_symmetric(method, logit):
    fitted = MAPS[method]
    assert fitted(np.array([logit]))[0] == pytest.approx(1 - fitted(np.array([-logit]))[0])
    assert fitted(np.array([0.0]))[0] == pytest.approx(0.5)


MAPS = {method: fit_pairs(*labelled(300, 2.0), method) for method in ("temperature", "isotonic")}


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_a_map_never_falls_and_never_claims_certainty(method):
    p = MAPS[method](np.linspace(-6, 6, 241))
    assert (np.diff(p) >= -1e-12).all()
    assert p[-1] < 1


def test_swapping_labels_fits_the_same_map():
    logits, outcomes = labelled(300, 2.0, ties=0.2)
    for method in ("temperature", "isotonic"):
        assert fit_pairs(logits, outcomes, method) == fit_pairs(-logits, 1 - outcomes, method)


def test_isotonic_is_the_regression_of_the_doubled_labels():
    """scikit-learn on every pair told from both sides, which is symmetric without being told so."""
    logits, outcomes = labelled(300, 2.0, ties=0.2)
    doubled = np.concatenate([logits, -logits]), np.concatenate([outcomes, 1 - outcomes])
    other = IsotonicRegression(out_of_bounds="clip").fit(*doubled)
    ours = fit_pairs(logits, outcomes, "isotonic")(logits)
    wanted = other.predict(logits)
    inner = (wanted > 0.15) & (wanted < 0.85)  # at the ends we stop short of certainty
    assert inner.mean() > 0.5
    np.testing.assert_allclose(ours[inner], wanted[inner], atol=1e-9)


def test_too_few_or_unreadable_labels_fit_nothing():
    logits, outcomes = labelled(30, 1.0)
    logits[:15] = math.nan
    assert fit_pairs(logits, outcomes, "temperature") is None
    with pytest.raises(ValueError, match="2 judgements but 1 labels"):
        fit_pairs([1.0, 2.0], [1.0], "temperature")


def test_a_judge_that_is_always_right_gets_a_finite_map():
    logits, _ = labelled(200, 1.0)
    for method in ("temperature", "isotonic"):
        p = fit_pairs(logits, (logits > 0).astype(float), method)(np.array([-6.0, 6.0]))
        assert np.isfinite(p).all()
        assert p[1] > 0.97


@pytest.mark.parametrize("fitted", [Temperature(2.5), MAPS["isotonic"]])
def test_a_calibrated_matchup_is_whole_and_symmetric(fitted):
    calibration = Calibration({TASK: TaskCalibration(pairs=fitted)})
    for logit, p_tie in ((-5.0, 0.2), (-0.7, 0.2), (0.0, 0.2), (0.3, 0.2), (4.0, 0.2), (0.1, 0.9)):
        found = met(logit, p_tie)
        mapped = calibration.matchup(TASK, found)
        assert mapped.p_first + mapped.p_second + mapped.p_tie == pytest.approx(1)
        assert min(mapped.p_first, mapped.p_second, mapped.p_tie) >= -1e-12
        assert mapped.p_better == pytest.approx(fitted(np.array([found.logit]))[0], abs=1e-9)
        swapped = calibration.matchup(TASK, found.swap())
        assert swapped.p_first == pytest.approx(mapped.p_second)
        assert swapped.logit == pytest.approx(-mapped.logit)
        assert mapped.is_flipped == found.is_flipped


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_a_tie_keeps_its_probability_as_far_as_there_is_room_for_it(temperature):
    calibration = Calibration({TASK: TaskCalibration(pairs=Temperature(temperature))})
    for logit in (0.15, -0.15):
        mapped = calibration.matchup(TASK, met(logit, 0.8))
        room = 2 * min(mapped.p_better, 1 - mapped.p_better)
        assert mapped.p_tie == pytest.approx(min(0.8, room), abs=1e-3)
        assert min(mapped.p_first, mapped.p_second) >= -1e-12
        assert mapped.p_first + mapped.p_tie / 2 == pytest.approx(mapped.p_better)


@pytest.mark.parametrize("logit", [-2.0, 0.4, 3.0])
def test_duels_mapped_one_by_one_meet_as_the_mapped_matchup(logit):
    """With a temperature, for a judge with a position bias too: the mean of two is mapped."""
    calibration = Calibration({TASK: TaskCalibration(pairs=Temperature(2.0))})
    duels = []
    for ids, shown in ((("0", "1"), logit + 0.8), (("1", "0"), -logit + 0.8)):
        p = float(expit(shown))
        duels.append(Duel(*ids, "j", p, 1 - p, 0.0))
    whole = calibration.matchup(TASK, matchup(duels, "0", "1"))
    parts = matchup([calibration.duel(TASK, one) for one in duels], "0", "1")
    assert parts.logit == pytest.approx(whole.logit)
    assert parts.logit == pytest.approx(logit / 2)
    broken = Duel("0", "1", "j", math.nan, math.nan, math.nan, "broken media")
    assert calibration.duel(TASK, broken) is broken


def test_a_calibrated_judge_keeps_the_protocol():
    class Sure:
        name = "sure@1"

        def sit(self, prompt, candidates):
            return self

        def about(self, prompt):
            return self

        def scores(self):
            return [Score("0", self.name, 5.0, 0.1), Score("1", self.name, math.nan, 0.0, "empty")]

        def duels(self, matches):
            return [Duel("0", "1", self.name, 0.98, 0.02, 0.0) for _ in matches]

    calibration = Calibration(
        {TASK: TaskCalibration(Temperature(4.0), ScoreMap(Line(0.5, 1.0), 3.0))}
    )
    judge = CalibratedJudge(Sure(), calibration)
    sitting = judge.sit(Prompt.of("p"), [])
    assert judge.name == "sure@1"
    assert sitting.scores()[0] == Score("0", "sure@1", 3.5, pytest.approx(0.3))
    assert sitting.scores()[1].error == "empty"
    assert sitting.about(Prompt.of("q")).scores()[0] == sitting.scores()[0]
    (duel,) = sitting.duels([(0, 1)])
    assert duel.p_first == pytest.approx(1 / (1 + 49**-0.25))
    other = judge.sit(Prompt.of("p", "video_generation"), [])
    assert other.duels([(0, 1)])[0].p_first == pytest.approx(0.98)


def test_what_was_not_fitted_stays_as_it_was_claimed():
    calibration = Calibration({})
    found = met(1.0)
    assert calibration.matchup(TASK, found).p_better == pytest.approx(found.p_better)
    score = Score("0", "j", 3.0, 0.5)
    assert calibration.score(TASK, score) == score
    assert calibration.is_confident(TASK, found)


# -------------------------------------------------------------------------------------- scores


def scored(num, seed=0):
    """Scores 1 to 5 that use a third of the scale, and points around twice as wide as claimed."""
    rng = np.random.default_rng(seed)
    quality = rng.uniform(1, 5, num)
    points = quality + rng.normal(size=num) * 0.6
    return 3 + (quality - 3) / 3, np.full(num, 0.3), points


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_scores_become_points_with_their_spread(method):
    fitted = fit_scores(*scored(4000), method)
    assert isinstance(fitted.points, Line if method == "temperature" else Isotonic)
    calibration = Calibration({TASK: TaskCalibration(scores=fitted)})
    score, spread, points = scored(2000, seed=1)
    mapped = [
        calibration.score(TASK, Score("0", "j", a, b)) for a, b in zip(score, spread, strict=True)
    ]
    values = np.array([one.value for one in mapped])
    assert np.abs(values - points).mean() < 0.55  # 0.48 is the least: the noise of the points
    assert np.mean([one.spread for one in mapped]) == pytest.approx(0.6, rel=0.06)
    assert np.polyfit(values, points, 1)[0] == pytest.approx(1, abs=0.05)


def test_scores_that_do_not_rise_are_pooled_and_kept_by_their_ends():
    """Of scores 1 to 6, the first two, and the fourth to the sixth, fall back."""
    means = [2.0, 1.0, 3.0, 5.0, 4.0, 4.5]
    rows = [(at + 1.0, mean + off) for at, mean in enumerate(means) for off in (-0.5, 0.5)]
    x, y = np.array(rows * 10).T
    fitted = fit_scores(x, np.ones(len(x)), y, "isotonic").points
    assert fitted.x == (1.0, 2.0, 3.0, 4.0, 6.0)
    assert fitted.y == pytest.approx((1.5, 1.5, 3.0, 4.5, 4.5))
    asked = np.array([-5.0, 0.0, 1.5, 2.5, 5.0, 9.0])
    assert fitted(asked) == pytest.approx([1.5, 1.5, 1.5, 2.25, 4.5, 4.5])


def test_a_claim_stays_below_certainty_by_how_many_it_rests_on():
    """The rule of succession: of 60 that are all right, 61 of 62; of the best 20, 21 of 22."""
    logits, outcomes = np.array([1.0] * 40 + [2.0] * 20), np.array([0.0, 1.0] * 20 + [1.0] * 20)
    fitted = fit_pairs(logits, outcomes, "isotonic")
    assert (fitted.x, fitted.y) == ((0.0, 1.0, 2.0), pytest.approx((0.5, 0.5, 21 / 22)))
    sure = fit_pairs(logits, np.ones(60), "isotonic")
    assert (sure.x, sure.y) == ((0.0, 1.0, 2.0), pytest.approx((0.5, 61 / 62, 61 / 62)))


def test_scores_without_signal_fit_nothing():
    score, spread, points = scored(200)
    assert fit_scores(score, spread, -points, "temperature") is None
    assert fit_scores(np.full(200, 3.0), spread, points, "temperature") is None
    for num, is_fitted in ((MIN_LABELS - 1, False), (MIN_LABELS, True)):
        few = fit_scores(score[:num], spread[:num], points[:num], "temperature")
        assert (few is not None) == is_fitted
        labels = (points[:num] > 3).astype(float)
        assert (fit_pairs(score[:num] - 3, labels, "temperature") is not None) == is_fitted


def test_a_score_that_could_not_be_read_stays_so():
    fitted = ScoreMap(Line(2.0, -1.0), 1.5)
    calibration = Calibration({TASK: TaskCalibration(scores=fitted)})
    broken = Score("0", "j", math.nan, math.nan, "broken media")
    assert calibration.score(TASK, broken) is broken


# --------------------------------------------------------------------------------------- files


def test_a_calibration_travels_with_the_judge(tmp_path):
    calibration = Calibration(
        {
            TASK: TaskCalibration(
                Temperature(1.7),
                ScoreMap(Line(2.0, -1.0), 1.5),
                Abstention(0.8, 0.9, 0.95, 0.91, 0.6, 100, 80.0),
                100,
                50,
            ),
            "video_generation": TaskCalibration(
                Isotonic((0.0, 1.0), (0.5, 0.9), True),
                ScoreMap(Isotonic((1.0, 5.0), (2.0, 4.0), False), 1.0),
                Abstention(None, 0.9, None, None, 0.0, 30, 0.0),
                30,
            ),
        },
        frozenset({"p2", "p1"}),
    )
    calibration.save(tmp_path)
    loaded = Calibration.load(tmp_path)
    assert loaded == calibration
    json.loads((tmp_path / FILE).read_text(), parse_constant=pytest.fail)


def test_the_least_confidence_is_mapped_with_the_statements():
    calibration = Calibration(
        {
            TASK: TaskCalibration(
                Temperature(2.0), abstention=Abstention(0.9, 0.8, 0.9, 0.8, 0.5, 100, 80.0)
            ),
            "video_generation": TaskCalibration(
                abstention=Abstention(None, 0.9, None, None, 0.0, 30, 0.0)
            ),
            "image_understanding": TaskCalibration(),
        }
    )
    # The odds of 9 to 1 become 3 to 1 at a temperature of 2.
    assert calibration.least_confidence(is_calibrated=False) == {
        TASK: 0.9,
        "video_generation": math.inf,
    }
    assert calibration.least_confidence(is_calibrated=True)[TASK] == pytest.approx(0.75)


def test_a_judge_is_heard_from_its_least_confidence_on_whichever_side_it_is():
    rule = Abstention(0.8, 0.9, 0.95, 0.91, 0.6, 100, 80.0)
    calibration = Calibration({TASK: TaskCalibration(abstention=rule)})
    for better, is_heard in ((0.85, True), (0.75, False), (0.5, False)):
        logit = math.log(better / (1 - better))
        for found in (met(logit), met(-logit)):
            assert calibration.is_confident(TASK, found) is is_heard


def test_no_file_is_no_calibration_and_a_broken_one_an_error(tmp_path):
    assert Calibration.load(tmp_path) is None
    (tmp_path / FILE).write_text('{"tasks": {"smell": {}}}')
    with pytest.raises(CalibrationError, match=r"calibration\.json: not a calibration: .*'smell'"):
        Calibration.load(tmp_path)
