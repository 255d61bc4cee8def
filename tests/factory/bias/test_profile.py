"""The profile of judges with a bias of known size, and of judges with none."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from factory.bias.estimate import bias_profile
from factory.bias.observation import LabelObservation, Observation
from factory.bias.probes import Probe
from factory.bias.profile import BiasProfile
from factory.ranking.matchups import matchup, matchups
from schemas.columns import FIGURES
from tests.factory.simulated import SimulatedJudge, duel

NAMES = ("brightness", "saturation", "contrast", "sharpness")


def look(rng):
    return {name: float(rng.normal(0.5, 0.1)) for name in NAMES}


def observations(judge, num_prompts=60, num_candidates=5, merit=None):
    """Groups that `judge` judged; `merit` is what an attribute truly adds to the quality."""
    found = []
    for number in range(num_prompts):
        looks = [look(judge.rng) for _ in range(num_candidates)]
        quality = judge.rng.normal(size=num_candidates)
        for name, worth in (merit or {}).items():
            quality = quality + worth * np.array([one[name] for one in looks])
        group = judge.judge(number, quality, looks)
        attributes = dict(zip([one.candidate_id for one in group.candidates], looks, strict=True))
        scores = {one.candidate_id: one.value for one in group.scores}
        met = tuple(matchups(group.duels))
        found.append(Observation(group.prompt.prompt_id, scores, met, 0, attributes))
    return found


def association(profile, attribute, source):
    found = profile.find("association", attribute, f"slope of {source}")
    assert found is not None
    return found


def position(profile):
    """The flip rate, the lean to the first slot, and its log-odds."""
    flips, lean, shift = [one for one in profile.figures if one.kind == "position"]
    return flips, lean, shift


def profile_of(seed, labels=(), num_resamples=200, **judge):
    noisy = SimulatedJudge(np.random.default_rng(seed), score_sd=0.3, duel_sd=0.3, **judge)
    return bias_profile(observations(noisy), labels, names=NAMES, num_resamples=num_resamples)


# -------------------------------------------------------------------------------------- position


def test_an_injected_position_bias_is_found_at_its_size():
    flip_rate, lean, shift = position(profile_of(0, position=1.0))
    assert shift.estimate.value == pytest.approx(1.0, abs=0.08)  # some are clipped
    assert lean.estimate.low > 0
    assert lean.is_flagged
    # A verdict flips where the true log-odds are smaller than the shift.
    flips = np.abs(2 * np.random.default_rng(1).normal(0, math.sqrt(2 + 0.09), 100000)) < 1.0
    assert flip_rate.estimate.low < flips.mean() < flip_rate.estimate.high
    # Each flip gives both verdicts to the first slot.
    assert lean.estimate.value == pytest.approx(flip_rate.estimate.value / 2)
    assert lean.num == 60 * 10


def test_a_bias_for_the_second_slot_has_the_other_sign():
    _, lean, shift = position(profile_of(0, position=-1.0))
    assert lean.estimate.high < 0
    assert lean.is_flagged
    assert shift.estimate.value == pytest.approx(-1.0, abs=0.08)


def test_a_fair_judge_has_no_position_bias():
    flip_rate, lean, shift = position(profile_of(0))
    assert flip_rate.estimate.value == 0
    assert lean.estimate.value == 0
    assert not lean.is_flagged
    assert shift.estimate.value == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("num_flipped", "is_flagged"), [(16, False), (48, True)])
def test_a_lean_accuses_beyond_what_matters(num_flipped, is_flagged):
    """Of 400 matchups some go to whoever is shown first: 0.02 and 0.06 above one half."""
    rows = []
    for number in range(400):
        second = 1.0 if number < num_flipped else -1.0
        duels = [duel("a", "b", 1.0), duel("b", "a", second)]
        rows.append(Observation(str(number), {}, tuple(matchups(duels)), 0, {}))
    flip_rate, lean, _ = position(bias_profile(rows, names=NAMES, num_resamples=50))
    assert flip_rate.estimate.value == pytest.approx(num_flipped / 400)
    assert lean.estimate.value == pytest.approx(num_flipped / 800)
    assert lean.is_flagged is is_flagged


def test_noise_between_the_orders_is_flips_without_a_slot():
    rng = np.random.default_rng(3)
    rows = []
    for number in range(150):
        duels = [duel(a, b, rng.normal()) for a, b in (("a", "b"), ("b", "a"))]
        rows.append(Observation(str(number), {}, tuple(matchups(duels)), 1, {}))
    flip_rate, lean, _ = position(bias_profile(rows, names=NAMES))
    assert flip_rate.estimate.value == pytest.approx(0.5, abs=0.12)
    assert not lean.estimate.excludes(0)
    assert not lean.is_flagged
    assert (lean.num, lean.num_invalid) == (150, 150)


# ------------------------------------------------------------------------------------ attributes


def test_an_injected_liking_is_found_at_its_size():
    # 4 points for a brightness of 1 are 0.4 points for its standard deviation of 0.1.
    profile = profile_of(4, likings={"brightness": 4.0}, position=0.5)
    by_scores = association(profile, "brightness", "scores")
    by_duels = association(profile, "brightness", "duels")
    assert by_scores.estimate.low < 0.4 < by_scores.estimate.high
    assert by_duels.estimate.low < 0.8 < by_duels.estimate.high  # two logits for a point
    assert by_scores.estimate.high - by_scores.estimate.low < 0.4
    flagged = [one.kind for one in profile.flagged()]
    assert flagged == ["position"]  # people may like bright pictures too
    assert profile.sds["brightness"] == pytest.approx(0.1, abs=0.015)


def test_the_unit_is_the_spread_within_a_prompt():
    """Prompts that ask for a white or a black background must not set it."""
    rows = [
        Observation(str(at), {}, (), 0, {i: {"brightness": at + x} for i, x in enumerate((-1, 1))})
        for at in (0.0, 100.0)
    ]
    alone = Observation("alone", {}, (), 0, {"x": {"brightness": 7.0}})  # spreads in nothing
    for seen in (rows, [*rows, alone]):
        (sd,) = bias_profile(seen, names=("brightness",), num_resamples=2).sds.values()
        assert sd == pytest.approx(math.sqrt(2))
    assert bias_profile([alone], names=("brightness",), num_resamples=2).sds == {}


def label_observations(rng, liking, merit, num_prompts=300, per_prompt=3):
    """People prefer by quality, of which brightness truly is a part; the judge adds its liking.

    The judge is calibrated but for that: it sees the log-odds with which people answer.
    """
    found = []
    for number in range(num_prompts):
        for _ in range(per_prompt):
            first, second = look(rng), look(rng)
            ahead = first["brightness"] - second["brightness"]
            truth = rng.normal() + merit * ahead
            preference = "first" if rng.random() < 1 / (1 + math.exp(-truth)) else "second"
            logit = truth + liking * ahead
            met = matchup([duel("0", "1", logit), duel("1", "0", -logit)], "0", "1")
            found.append(LabelObservation(f"p{number}", preference, met, first, second))
    return found


def test_what_people_value_too_is_no_excess():
    labels = label_observations(np.random.default_rng(5), liking=0.0, merit=8.0)
    profile = bias_profile([], labels, names=NAMES, num_resamples=200)
    assert association(profile, "brightness", "people").estimate.low > 0
    assert not association(profile, "brightness", "excess").is_flagged
    assert profile.num_labels == 900


def test_a_liking_beyond_people_s_is_an_excess():
    labels = label_observations(np.random.default_rng(6), liking=8.0, merit=4.0)
    profile = bias_profile([], labels, names=NAMES, num_resamples=200)
    people = association(profile, "brightness", "people")
    excess = association(profile, "brightness", "excess")
    assert excess.is_flagged
    assert excess.estimate.low > 0
    assert people.estimate.value > 0
    assert [one.name for one in profile.flagged()] == ["brightness"]


def test_an_over_confident_judge_has_no_excess_of_what_people_value():
    labels = [
        replace(one, matchup=replace(one.matchup, logit=3 * one.matchup.logit))
        for one in label_observations(np.random.default_rng(10), liking=0.0, merit=6.0)
    ]
    profile = bias_profile([], labels, names=NAMES, num_resamples=50)
    assert profile.temperatures[""] == pytest.approx(1 / 3, rel=0.15)
    assert not profile.flagged()


def test_an_attribute_that_people_value_and_the_judge_overlooks_is_a_negative_excess():
    labels = label_observations(np.random.default_rng(7), liking=-8.0, merit=8.0)
    profile = bias_profile([], labels, names=NAMES, num_resamples=200)
    assert association(profile, "brightness", "excess").estimate.high < 0


def line_through_zero(x, y):
    """(slope, correlation as the note has it)."""
    x, y = np.array(x), np.array(y)
    return x @ y / (x @ x), f"correlation {x @ y / math.sqrt((x @ x) * (y @ y)):.2f}"


def test_a_lean_is_a_slope_in_standard_deviations():
    """Of people over the sides that were measured, of a judge over all pairs of a group."""
    labels = [
        replace(
            one, **{side: {**getattr(one, side), "contrast": 0.5} for side in ("first", "second")}
        )
        for one in label_observations(np.random.default_rng(6), 0.0, 20.0, 80, 1)
    ]
    unmeasured = [replace(labels[0], first={}), replace(labels[1], second={})]
    profile = bias_profile([], [*unmeasured, *labels], names=NAMES, num_resamples=20)
    people = association(profile, "brightness", "people")
    sd = profile.sds["brightness"]
    x = [(one.first["brightness"] - one.second["brightness"]) / sd for one in labels]
    y = [1.0 if one.preference == "first" else -1.0 for one in labels]
    slope, correlation = line_through_zero(x, y)
    assert (people.estimate.value, people.num) == (pytest.approx(slope), 80)
    assert people.note == correlation
    assert math.isnan(association(profile, "contrast", "people").estimate.value)  # it is constant

    judge = SimulatedJudge(np.random.default_rng(7), likings={"brightness": 4.0})
    groups = observations(judge, num_prompts=20)
    profile = bias_profile(groups, names=NAMES, num_resamples=20)
    sd = profile.sds["brightness"]
    x, y = [], []
    for one in groups:
        for first, second in itertools.combinations(one.scores, 2):
            looks = one.attributes[first]["brightness"], one.attributes[second]["brightness"]
            x.append((looks[0] - looks[1]) / sd)
            y.append(one.scores[first] - one.scores[second])
    slope, correlation = line_through_zero(x, y)
    scores = association(profile, "brightness", "scores")
    assert (scores.estimate.value, scores.num) == (pytest.approx(slope), 200)
    assert scores.note == correlation


def test_labels_without_a_judge_have_no_excess():
    labels = [
        LabelObservation(str(i), "tie", None, look(rng), look(rng))
        for i, rng in enumerate(map(np.random.default_rng, range(20)))
    ]
    profile = bias_profile([], labels, names=NAMES, num_resamples=50)
    associations = {one.measure for one in profile.figures if one.kind == "association"}
    assert associations == {"slope of people"}


def test_words_in_few_labelled_pictures_are_told_as_not_measured():
    rng = np.random.default_rng(10)
    labels = [
        replace(one, first={**one.first, "text": float(at < 3)}, second={**one.second, "text": 0.0})
        for at, one in enumerate(label_observations(rng, 1.0, 1.0, num_prompts=40))
    ]
    profile = bias_profile([], labels, names=(*NAMES, "text"), num_resamples=20)
    assert profile.find("association", "text", "slope of excess") is None
    assert association(profile, "brightness", "excess").estimate.low < 1
    (told,) = [one for one in profile.unknown if "differ in text" in one]
    assert told == (
        f"sides of {len({one.prompt_id for one in labels[:3]})} labelled prompt(s) differ in text, "
        "and 10 are needed for the excess along it"
    )


def test_candidates_that_could_not_be_measured_are_left_out():
    judge = SimulatedJudge(np.random.default_rng(8))
    (whole,) = observations(judge, num_prompts=1)
    missing = dict(whole.attributes)
    del missing[next(iter(missing))]
    part = Observation(whole.prompt_id, whole.scores, whole.matchups, 0, missing)
    profile = bias_profile([part], names=NAMES, num_resamples=10)
    assert association(profile, "contrast", "scores").num == 6  # of 4 candidates
    assert position(profile)[0].num == 10


def test_how_often_the_longer_answer_wins():
    """Two of three longer answers win, and one is a tie; pictures have no length."""
    logits = {"p": 2.0, "q": -2.0, "r": 2.0}
    rows = [
        Observation(
            prompt,
            {},
            (matchup([duel("a", "b", logit), duel("b", "a", -logit)], "a", "b"),),
            0,
            {"a": {"length": 2.0 if logit > 0 else 1.0}, "b": {"length": 1.5}},
        )
        for prompt, logit in logits.items()
    ]
    level = matchup([duel("a", "b", 0), duel("b", "a", 0)], "a", "b")
    rows.append(replace(rows[0], prompt_id="s", matchups=(level,)))
    rows[2] = replace(rows[2], attributes={"a": {"length": 1.0}, "b": {"length": 1.5}})
    # Where a side could not be measured, or both are as long, none is the longer one.
    for at, looks in enumerate(({"a": {}}, {"b": {}}, {"a": {"length": 1.5}})):
        attributes = {**rows[0].attributes, **looks}
        rows.append(replace(rows[0], prompt_id=f"t{at}", attributes=attributes))
    profile = bias_profile(rows, names=("length",), num_resamples=20)
    found = profile.find("association", "length", "longer answer wins")
    assert found.estimate.value == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert (found.neutral, found.num) == (0.5, 4)
    plain = bias_profile(observations(SimulatedJudge(np.random.default_rng(0))), num_resamples=2)
    assert plain.find("association", "length", "longer answer wins") is None


# ----------------------------------------------------------------------------------------- forms


def test_a_profile_travels_as_json():
    labels = label_observations(np.random.default_rng(9), 1.0, 1.0, num_prompts=10)
    profile = profile_of(9, labels, num_resamples=20, position=0.3)
    text = json.dumps(profile.to_dict(), allow_nan=False)
    again = BiasProfile.from_dict(json.loads(text))
    assert again.to_dict() == profile.to_dict()
    assert again.flagged() == profile.flagged()
    assert again.figures[0].estimate == profile.figures[0].estimate


def test_what_no_figure_can_say_is_said_in_words():
    rng = np.random.default_rng(9)
    labels = label_observations(rng, 1.0, 1.0, num_prompts=10)
    judged = observations(SimulatedJudge(rng, score_sd=0.3, duel_sd=0.3))
    tagged = [
        replace(one, tags={"region": "north" if at % 2 else "south"})
        for at, one in enumerate(judged)
    ]
    probe = Probe(judged[0].prompt_id, "c", "edit", "brightness", 1.0, 0.0, 0.0)

    def told(*given):
        profile = bias_profile(*given, names=NAMES, num_resamples=2)
        return [sentence.partition(":")[0] for sentence in profile.unknown]

    people = [
        "whether people lean as the judge does",
        "whether the judge is as sure as it should be",
    ]
    (probing,) = told(judged, labels)
    assert probing.startswith("what the judge gives for edits, for damage, ")
    assert told(judged) == [*people, probing]
    assert told(tagged, labels, (), [probe]) == ["whether a slice deserves what it gets"]
    assert told(judged, labels, (), [probe]) == []


def test_a_profile_of_nothing_travels_too():
    profile = bias_profile([], names=NAMES)
    plain = json.loads(json.dumps(profile.to_dict(), allow_nan=False))
    assert plain["figures"][0]["estimate"] == {"value": None, "low": None, "high": None}
    again = BiasProfile.from_dict(plain)
    assert math.isnan(again.figures[0].estimate.value)
    assert not again.flagged()
    assert again.to_dict() == plain
    assert again.rows()[0]["value"] is None


def test_a_profile_is_one_table():
    profile = profile_of(4, position=1.0)
    table = pa.Table.from_pylist(profile.rows(), schema=FIGURES)
    assert table.num_rows == 3 + 2 * len(NAMES)
    row = table.slice(1, 1).to_pylist()[0]
    assert (row["kind"], row["name"], row["is_flagged"]) == ("position", "first slot", True)
    assert row["low"] < row["value"] < row["high"]
    assert row["corrected_value"] is None
    assert set(profile.rows()[0]) == set(FIGURES.names)
