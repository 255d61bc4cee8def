"""The profile of judges with a bias of known size, and of judges with none."""

import json
import math

import numpy as np
import pytest

from factory.bias.estimate import bias_profile
from factory.bias.observation import LabelObservation, Observation
from factory.bias.profile import BiasProfile
from factory.matchups import matchup, matchups
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
    return next(
        one for one in profile.associations if (one.attribute, one.source) == (attribute, source)
    )


def profile_of(seed, labels=(), num_resamples=200, **judge):
    noisy = SimulatedJudge(np.random.default_rng(seed), score_sd=0.3, duel_sd=0.3, **judge)
    return bias_profile(observations(noisy), labels, NAMES, num_resamples)


# -------------------------------------------------------------------------------------- position


def test_an_injected_position_bias_is_found_at_its_size():
    position = profile_of(0, position=1.0).position
    assert position.logit_shift.value == pytest.approx(1.0, abs=0.08)  # some are clipped
    assert position.first_slot_excess.low > 0
    # A verdict flips where the true log-odds are smaller than the shift.
    flips = np.abs(2 * np.random.default_rng(1).normal(0, math.sqrt(2 + 0.09), 100000)) < 1.0
    assert position.flip_rate.low < flips.mean() < position.flip_rate.high
    # Each flip gives both verdicts to the first slot.
    assert position.first_slot_excess.value == pytest.approx(position.flip_rate.value / 2)
    assert position.num_matchups == 60 * 10


def test_a_bias_for_the_second_slot_has_the_other_sign():
    position = profile_of(0, position=-1.0).position
    assert position.first_slot_excess.high < 0
    assert position.logit_shift.value == pytest.approx(-1.0, abs=0.08)


def test_a_fair_judge_has_no_position_bias():
    position = profile_of(0).position
    assert position.flip_rate.value == 0
    assert position.first_slot_excess.value == 0
    assert position.logit_shift.value == pytest.approx(0, abs=1e-9)


def test_noise_between_the_orders_is_flips_without_a_slot():
    rng = np.random.default_rng(3)
    rows = []
    for number in range(150):
        duels = [duel(a, b, rng.normal()) for a, b in (("a", "b"), ("b", "a"))]
        rows.append(Observation(str(number), {}, tuple(matchups(duels)), 1, {}))
    position = bias_profile(rows, names=NAMES).position
    assert position.flip_rate.value == pytest.approx(0.5, abs=0.12)
    assert not position.first_slot_excess.excludes(0)
    assert (position.num_matchups, position.num_unreadable) == (150, 150)


# ------------------------------------------------------------------------------------ attributes


def test_an_injected_liking_is_found_at_its_size():
    # 4 points for a brightness of 1 are 0.4 points for its standard deviation of 0.1.
    profile = profile_of(4, likings={"brightness": 4.0}, position=0.5)
    by_scores = association(profile, "brightness", "scores")
    by_duels = association(profile, "brightness", "duels")
    assert by_scores.slope.low < 0.4 < by_scores.slope.high
    assert by_duels.slope.low < 0.8 < by_duels.slope.high  # two logits for a point
    assert by_scores.slope.high - by_scores.slope.low < 0.4
    assert by_scores.is_flagged
    assert by_duels.is_flagged
    assert profile.sds["brightness"] == pytest.approx(0.1, abs=0.01)


def test_clean_judges_are_seldom_accused():
    num_runs = 40
    alarms = {"duels": 0, "scores": 0}
    for seed in range(num_runs):
        profile = profile_of(100 + seed, num_resamples=2)
        for source in alarms:
            alarms[source] += any(
                one.is_flagged for one in profile.associations if one.source == source
            )
    # 2 of 40 are expected; 7 or more happen once in three hundred times.
    assert max(alarms.values()) < 7


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
    profile = bias_profile([], labels, NAMES, num_resamples=200)
    assert association(profile, "brightness", "people").is_flagged
    assert not association(profile, "brightness", "excess").is_flagged
    assert profile.num_labels == 900


def test_a_liking_beyond_people_s_is_an_excess():
    labels = label_observations(np.random.default_rng(6), liking=8.0, merit=4.0)
    profile = bias_profile([], labels, NAMES, num_resamples=200)
    people = association(profile, "brightness", "people")
    excess = association(profile, "brightness", "excess")
    assert excess.is_flagged
    assert excess.slope.low > 0
    assert people.slope.value > 0
    flagged = [one.attribute for one in profile.associations if one.is_flagged]
    assert flagged == ["brightness", "brightness"]


def test_a_judge_that_says_what_people_say_has_no_excess():
    dark, bright = dict.fromkeys(NAMES, 0.2), dict.fromkeys(NAMES, 0.8)
    sure = matchup([duel("0", "1", 9), duel("1", "0", -9)], "0", "1")
    labels = [
        LabelObservation("p", "first", sure, bright, dark),
        LabelObservation("q", "first", sure, bright, dark),
    ]
    profile = bias_profile([], labels, NAMES, num_resamples=10)
    assert association(profile, "brightness", "people").slope.value == pytest.approx(0.5)
    excess = association(profile, "brightness", "excess").slope.value
    assert excess == pytest.approx(0, abs=0.01)  # the judge's log-odds are clipped


def test_an_attribute_that_people_value_and_the_judge_overlooks_is_a_negative_excess():
    labels = label_observations(np.random.default_rng(7), liking=-8.0, merit=8.0)
    profile = bias_profile([], labels, NAMES, num_resamples=200)
    assert association(profile, "brightness", "excess").slope.high < 0


def test_labels_without_a_judge_have_no_excess():
    labels = [
        LabelObservation(str(i), "tie", None, look(rng), look(rng))
        for i, rng in enumerate(map(np.random.default_rng, range(20)))
    ]
    profile = bias_profile([], labels, NAMES, num_resamples=50)
    assert {one.source for one in profile.associations} == {"people"}


def test_candidates_that_could_not_be_measured_are_left_out():
    judge = SimulatedJudge(np.random.default_rng(8))
    (whole,) = observations(judge, num_prompts=1)
    missing = dict(whole.attributes)
    del missing[next(iter(missing))]
    part = Observation(whole.prompt_id, whole.scores, whole.matchups, 0, missing)
    profile = bias_profile([part], names=NAMES, num_resamples=10)
    assert association(profile, "contrast", "scores").num == 6  # of 4 candidates
    assert profile.position.num_matchups == 10


# ----------------------------------------------------------------------------------------- forms


def test_a_profile_travels_as_json():
    labels = label_observations(np.random.default_rng(9), 1.0, 1.0, num_prompts=10)
    profile = profile_of(9, labels, num_resamples=20, position=0.3)
    text = json.dumps(profile.to_dict(), allow_nan=False)
    assert BiasProfile.from_dict(json.loads(text)) == profile


def test_a_profile_of_nothing_travels_too():
    profile = bias_profile([], names=NAMES)
    plain = json.loads(json.dumps(profile.to_dict(), allow_nan=False))
    assert plain["position"]["flip_rate"] == {"value": None, "low": None, "high": None}
    again = BiasProfile.from_dict(plain)
    assert math.isnan(again.position.flip_rate.value)
    assert again.to_dict() == plain
    assert again.describe()[0]["value"] is None


def test_the_rows_of_a_report():
    rows = profile_of(4, likings={"brightness": 4.0}).describe()
    assert [row["name"] for row in rows[:4]] == [
        "flip rate",
        "first slot",
        "first slot, log-odds",
        "brightness, duels",
    ]
    assert len(rows) == 3 + 2 * len(NAMES)
    assert rows[3]["note"].startswith("flagged: correlation 0.")
    assert rows[3]["unit"] == "log-odds per sd"
    assert rows[3]["low"] < rows[3]["value"] < rows[3]["high"]
    assert set(rows[0]) == {
        "name",
        "value",
        "low",
        "high",
        "neutral",
        "unit",
        "num",
        "num_invalid",
        "note",
    }
