"""What the correction takes out of scores, duels and pairs, on candidates it was not fitted on."""

import math
from dataclasses import replace

import numpy as np
import pytest

from factory.bias.corrected import averaged_lean, with_corrected
from factory.bias.correction import Correction, tilt
from factory.bias.estimate import bias_profile
from factory.bias.figure import DUELS, SCORES, Figure, Relevance
from factory.bias.observation import LabelObservation, Observation, observe
from factory.bias.profile import BiasProfile
from factory.bias.seen import as_seen
from factory.bias.slices import calibration_figures
from factory.curation.curator import Curator
from factory.filters import Disagree, ThinMargin
from factory.ranking import Pointwise
from factory.ranking.matchups import log_odds, matchup, matchups
from factory.statistics.intervals import Interval
from schemas.rows import Duel, Group
from tests.factory.bias.test_response import edit_probes
from tests.factory.simulated import SimulatedJudge, constants, duel, score, unreadable

LOOK = {"brightness": 0.1, "saturation": 0.2}  # standard deviations
LIKING = 4.0  # points for a brightness of 1: 0.4 for one standard deviation


def groups(seed, num=80, liking=LIKING, candidates=5):
    """Groups judged with a liking of brightness, their looks, and their true qualities."""
    rng = np.random.default_rng(seed)
    judge = SimulatedJudge(rng, score_sd=0.2, duel_sd=0.2, likings={"brightness": liking})
    found, looks, truth = [], {}, {}
    for number in range(num):
        seen = [
            {name: float(rng.normal(0.5, sd)) for name, sd in LOOK.items()}
            for _ in range(candidates)
        ]
        quality = rng.normal(3.0, 0.7, candidates)
        group = judge.judge(number, quality, seen)
        found.append(group)
        ids = [one.candidate_id for one in group.candidates]
        looks |= dict(zip(ids, seen, strict=True))
        truth |= dict(zip(ids, quality, strict=True))
    return found, looks, truth


def profile_of(seed=0):
    """The profile of a judge that likes brightness, from edits of other pictures."""
    judged, looks, _ = groups(seed, num=30)
    seen = [observe(one, lambda candidate: looks[candidate.candidate_id]) for one in judged]
    probes = edit_probes(np.random.default_rng(seed), {"brightness": 0.4}, num=80)
    sds = {"brightness": 0.1, "saturation": 0.2}
    profile = bias_profile(seen, probes=probes, names=tuple(sds), num_resamples=20)
    return profile, seen, probes


def lean(scores, looks, truth, name="brightness"):
    """Points beyond the truth for one unit of an attribute, within prompts."""
    above = below = 0.0
    for group in scores:
        points = {one.candidate_id: one.value for one in group.scores}
        x = np.array([looks[at][name] for at in points])
        y = np.array([value - truth[at] for at, value in points.items()])
        above += float((x - x.mean()) @ (y - y.mean()))
        below += float((x - x.mean()) @ (x - x.mean()))
    return above / below


def test_the_excess_goes_on_candidates_that_were_not_audited():
    profile, _, _ = profile_of()
    correct = Correction.of(profile)
    assert set(correct.points) == set(correct.logits) == {"brightness"}
    judged, looks, truth = groups(seed=1)
    fair = [correct(one, lambda candidate: looks[candidate.candidate_id]) for one in judged]
    before, after = lean(judged, looks, truth), lean(fair, looks, truth)
    assert before == pytest.approx(LIKING, abs=0.4)
    assert abs(after) < 0.2 * before

    def duel_lean(rows):
        met = [(one, m) for one in rows for m in matchups(one.duels) if abs(m.logit) < 5]
        x = [looks[m.first_id]["brightness"] - looks[m.second_id]["brightness"] for _, m in met]
        y = [m.logit / 2 - truth[m.first_id] + truth[m.second_id] for _, m in met]
        return float(np.dot(x, y) / np.dot(x, x))

    assert abs(duel_lean(fair)) < 0.25 * duel_lean(judged)


def test_an_unbiased_judge_is_left_alone():
    judged, looks, _ = groups(seed=2, num=30, liking=0.0)
    seen = [observe(one, lambda candidate: looks[candidate.candidate_id]) for one in judged]
    probes = edit_probes(np.random.default_rng(2), {}, num=40)
    profile = bias_profile(seen, probes=probes, names=tuple(LOOK), num_resamples=20)
    correct = Correction.of(profile)
    assert not correct.is_needed
    assert correct(judged[0]) is judged[0]


def test_a_recipe_can_leave_the_bias_in():
    profile, _, _ = profile_of()
    assert not Correction.of(profile, attributes=False).is_needed


def test_numbers_and_rows_are_corrected_alike():
    correct = Correction({"brightness": 4.0}, {"brightness": 8.0}, {"style=oil": 0.5})
    (group,), looks, _ = groups(seed=3, num=1)
    group = replace(group, prompt=replace(group.prompt, tags={"style": "oil"}))

    def measure(candidate):
        return looks[candidate.candidate_id]

    as_rows = observe(correct(group, measure), measure)
    seen = as_seen([observe(group, measure)])
    (block,) = map(correct.of_blocks(seen), seen.blocks())
    assert block.scores == pytest.approx(list(as_rows.scores.values()))
    assert np.clip(block.logits, -6.0, 6.0) == pytest.approx(
        [one.logit for one in as_rows.matchups], abs=0.02
    )
    first, second, tie = (
        [getattr(one, p) for one in as_rows.matchups] for p in ("p_first", "p_second", "p_tie")
    )
    assert block.p == pytest.approx(np.stack([first, second, tie], axis=1), abs=0.01)


@pytest.mark.parametrize("p_tie", [0.0, 0.2, 0.7])
@pytest.mark.parametrize("wanted", [-2.0, 0.0, 1.3])
def test_a_duel_is_tilted_to_the_log_odds_that_are_asked_for(p_tie, wanted):
    told = tilt(duel("a", "b", 0.8, p_tie), wanted)
    assert log_odds(told) == pytest.approx(wanted)
    assert told.p_first + told.p_second + told.p_tie == pytest.approx(1.0)
    back = tilt(told, log_odds(duel("a", "b", 0.8, p_tie)))
    assert back.p_first == pytest.approx(duel("a", "b", 0.8, p_tie).p_first)
    other = tilt(duel("a", "b", 0.8, p_tie).swap(), -wanted)
    assert other.p_second == pytest.approx(told.p_first)


def test_a_certain_duel_stays_a_duel():
    told = tilt(Duel("a", "b", "judge@1", 0.0, 1.0, 0.0), 1.0)
    assert log_odds(told) == pytest.approx(1.0)


def test_a_liking_that_one_way_of_asking_shows_is_taken_out_of_both():
    def slope(name, measure, value, *, is_flagged, **more):
        told = Interval(value)
        return Figure(
            "edit", name, measure, "", told, 9, is_flagged=is_flagged, shrunk=told, **more
        )

    figures = (
        slope("brightness", SCORES, 0.4, is_flagged=True),
        slope("brightness", DUELS, 0.6, is_flagged=False),
        slope("saturation", SCORES, 0.1, is_flagged=False),
        slope("length", DUELS, 0.5, is_flagged=True, accuses="above"),
        slope("length", SCORES, -0.2, is_flagged=False, accuses="above"),  # it may be just
    )
    sds = {"brightness": 0.1, "saturation": 0.2, "length": 0.5}
    found = Correction.of(BiasProfile(figures, sds, {}, 1, 0, 1))
    assert found.points == pytest.approx({"brightness": 4.0})
    assert found.logits == pytest.approx({"brightness": 6.0, "length": 1.0})


def test_what_cannot_be_read_or_measured_stays_as_it_is():
    correct = Correction({"brightness": 4.0}, {"brightness": 8.0})
    (group,), _, _ = groups(seed=4, num=1)
    silent = (score("x", math.nan, "broken"),)
    lost = (unreadable("x", "y"),)
    group = replace(group, scores=group.scores + silent, duels=group.duels + lost)
    blind = correct(group, lambda _: {})
    assert blind.scores == group.scores
    assert blind.duels == group.duels


def test_many_groups_are_corrected_to_the_last_digit_as_each_alone():
    judged, looks, _ = groups(seed=4, num=7)
    clipped = replace(judged[1].duels[0], p_first=1.0, p_second=0.0, p_tie=0.0)
    judged[1] = replace(judged[1], duels=(clipped, unreadable("x", "y"), *judged[1].duels[1:]))
    correct = Correction({"brightness": LIKING}, {"brightness": 1.5}, {"x=y": 2.0})

    def measure(one):
        return looks[one.candidate_id]

    assert correct.of_groups(judged, measure) == [correct(one, measure) for one in judged]
    assert correct.of_groups(judged, measure)[1].duels[0].bound == "first"


def test_pairs_that_the_correction_decides_are_kept_and_said_to_be():
    """Two candidates of nearly equal quality: the judge prefers the brighter for its brightness."""
    (group,), _, _ = groups(seed=5, num=1, candidates=2)
    bright, dark = (one.candidate_id for one in group.candidates)
    looks = {bright: {"brightness": 0.9}, dark: {"brightness": 0.3}}
    group = replace(group, scores=(score(bright, 3.5), score(dark, 3.0)), duels=())
    correct = Correction({"brightness": 2.0})
    fair = correct(group, lambda one: looks[one.candidate_id])

    class Measured(Correction):
        def of_groups(self, groups, measure=None) -> list[Group]:
            return [fair]

    curator = Curator(
        Pointwise(constants()),
        (ThinMargin(0.3), Disagree()),
        correction=Measured({"brightness": 2.0}),
    )
    (pair,) = curator(group)
    assert (pair.chosen.candidate_id, pair.margin_before) == (dark, pytest.approx(-0.5))
    assert pair.margin == pytest.approx(0.7)
    # To reject it would be to keep, of the pairs that the bias decides, those that it decided.
    assert pair.verdict == "kept"
    (plain,) = Curator(Pointwise(), ())(group)
    assert (plain.chosen.candidate_id, plain.margin_before) == (bright, None)
    assert plain.verdict == "kept"


# -------------------------------------------------------------------------------- before → after


def test_each_figure_that_is_corrected_says_so():
    profile, seen, probes = profile_of()
    correct = Correction.of(profile)
    after = with_corrected(profile, correct, seen, (), probes, Relevance(), 50)
    told = after.find("association", "brightness", "slope of scores")
    assert told.estimate.value > 0.3
    assert abs(told.corrected.value) < 0.1
    slope = after.find("edit", "brightness", "slope of scores")
    assert slope.corrected.low < 0.05
    assert slope.corrected.high > -0.05
    assert after.find("edit", "saturation", "slope of scores").corrected is None
    assert after.find("position", "first slot", "share above one half").corrected.value == 0.0
    assert [one.is_flagged for one in after.figures] == [one.is_flagged for one in profile.figures]


def test_the_mean_of_both_orders_has_no_first_slot():
    judge = SimulatedJudge(np.random.default_rng(6), position=1.5)
    seen = [observe(judge.judge(at, judge.rng.normal(size=4)), lambda _: {}) for at in range(20)]
    assert averaged_lean(seen, 20, 0).estimate.value == 0.0
    ties = Observation("p", {}, (matchup([duel("a", "b", 0), duel("b", "a", 0)], "a", "b"),), 0, {})
    assert averaged_lean([ties], 20, 0).estimate.value == 0.0


def test_slices_become_equally_sure_of_themselves():
    """The judge is three times too sure of one style, and right of the other."""
    rng = np.random.default_rng(7)
    labels = []
    for number in range(600):
        style = "oil" if number % 2 else "photo"
        truth = float(rng.normal(0, 1.2))
        told = "first" if rng.random() < 1 / (1 + math.exp(-truth)) else "second"
        logit = truth * (3 if style == "oil" else 1)
        met = matchup([duel("0", "1", logit), duel("1", "0", -logit)], "0", "1")
        labels.append(LabelObservation(f"p{number}", told, met, {}, {}, {"style": style}))
    profile = bias_profile([], labels, num_resamples=20)
    correct = Correction.of(profile)
    fair = [correct.label(one) for one in labels]
    ratio = correct.temperatures["style=photo"] / correct.temperatures["style=oil"]
    assert ratio == pytest.approx(3.0, rel=0.3)
    slopes = {
        style: np.std([one.matchup.logit for one in fair if one.tags["style"] == style])
        for style in ("oil", "photo")
    }
    assert slopes["oil"] == pytest.approx(slopes["photo"], rel=0.3)
    assert not Correction.of(profile, slices=False).is_needed


def test_a_label_is_corrected_where_both_of_its_sides_were_measured():
    correct = Correction({}, {"brightness": 2.0}, {"": 0.5})
    met = matchup([duel("0", "1", 1.0), duel("1", "0", -1.0)], "0", "1")
    bright, dark = {"brightness": 0.9}, {"brightness": 0.4}
    for first, second, advantage in (
        (bright, dark, 1.0),
        (dark, bright, -1.0),
        (bright, {}, 0.0),
        ({}, dark, 0.0),
    ):
        seen = LabelObservation("p", "first", met, first, second)
        assert correct.label(seen).matchup.logit == pytest.approx(0.5 * (1.0 - advantage))
    unread = LabelObservation("p", "first", None, bright, dark)
    assert correct.label(unread) == unread


def test_what_temperatures_leave_is_told_by_labels_that_they_were_not_fitted_on():
    """A judge whose log-odds are coins, in many small slices: fitted on its own labels each slice's
    temperature seems to take error away, and on others there is nothing to take.
    """
    rng = np.random.default_rng(5)
    labels = []
    for number in range(240):
        logit = float(rng.normal(0, 2))
        met = matchup([duel("0", "1", logit), duel("1", "0", -logit)], "0", "1")
        told = "first" if rng.random() < 0.5 else "second"
        tags = {"style": str(number % 24)}
        labels.append(LabelObservation(f"p{number}", told, met, {}, {}, tags))
    profile = bias_profile((), labels, num_resamples=10)
    correct = Correction.of(profile)
    assert correct.temperatures
    found = with_corrected(profile, correct, (), labels, (), Relevance(), 10)
    (brier,) = (
        one for one in found.figures if (one.name, one.measure) == ("all prompts", "Brier score")
    )
    own = calibration_figures([correct.label(one) for one in labels], 10)
    flattered = next(one.estimate.value for one in own if one.measure == "Brier score")
    assert brier.corrected.value > flattered
