"""The audit's outputs, the balance of a set of pairs, and a promotion that a bias stops."""

import io
import json
import math
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from factory.bias.correction import Correction
from factory.bias.figure import Figure
from factory.bias.observation import LabelObservation
from factory.bias.probes import Probe
from factory.bias.profile import BiasProfile
from factory.evaluation.comparison import Comparison
from factory.evaluation.contest import Result, failures
from factory.filters.across import Raised
from factory.ids import numbers_of
from factory.judging.abstention import Abstention
from factory.judging.calibration import Calibration, TaskCalibration, Temperature
from factory.media.measures import measure
from factory.ranking.matchups import is_right, matchup
from factory.statistics.intervals import Interval
from jobs.pages.report import BIAS_KINDS
from jobs.pipelines import bias
from jobs.pipelines.abstaining import least_confidence
from jobs.pipelines.curation import Balance
from jobs.rounds.workspace import InputError, Model, Round
from jobs.stages import audit, curate, evaluate
from schemas import manifest
from schemas.arrow import pairs_from_table, pairs_to_table
from schemas.columns import FIGURES, PROBES
from schemas.manifest import Manifest
from schemas.results import Decision, Estimate, Evaluation
from schemas.rows import Candidate, Media, Pair, Prompt
from tests.factory.simulated import duel
from tests.stubs import Untallied

BIASED = Figure(
    "edit",
    "brightness",
    "slope of scores",
    "points per sd",
    Interval(0.8, 0.7, 0.9),
    96,
    p_value=1e-9,
    p_adjusted=1e-8,
    is_flagged=True,
)
PROFILE = BiasProfile((BIASED,), {"brightness": 0.1}, {"": 1.0}, 40, 30, 1)
PROBE = Probe("p", "c", "edit", "brightness", 1.0, 0.4, math.nan, None, {"brightness": 0.1})


def write_profile(at: Round, profile: BiasProfile = PROFILE) -> None:
    directory = at.directory("profile")
    directory.mkdir(parents=True, exist_ok=True)
    audit._write(profile, [PROBE], directory)


@pytest.fixture
def at(recipe) -> Round:
    return Round(recipe, 1)


def test_a_profile_is_read_back_and_gives_the_correction(at):
    write_profile(at)
    assert bias.read_profile(at).flagged() == (BIASED,)
    assert bias.correction_of(at) == Correction({"brightness": pytest.approx(8.0)}, {}, {})
    table = pq.read_table(at.directory("profile") / "bias.parquet")
    assert table.schema.equals(FIGURES)
    assert table.column("value").to_pylist() == [0.8]
    probes = pq.read_table(at.directory("profile") / "_probes.parquet")
    assert probes.schema.equals(PROBES)
    assert probes.column("is_flipped").to_pylist() == [None]


def test_a_recipe_that_corrects_nothing_needs_no_profile(at):
    plain = at.recipe.model_copy(
        update={
            "curate": at.recipe.curate.model_copy(
                update={
                    "correct": at.recipe.curate.correct.model_copy(
                        update={"attributes": False, "slices": False}
                    )
                }
            )
        }
    )
    assert bias.correction_of(Round(plain, 1)) == Correction()


def test_a_plan_says_what_an_audit_of_its_size_finds(recipe):
    def notes(**knobs):
        asked = recipe.model_copy(update={"audit": recipe.audit.model_copy(update=knobs)})
        return audit.power_of(Round(asked, 1))

    first, *_, last = notes(num_groups=12, num_candidates=1, edits=["brightness", "overlay text"])
    assert "with 12 prompts x 1 candidate(s)" in first
    assert "brightness" in first
    assert "by default, since nobody has fitted it yet" in last
    assert notes(num_groups=0) == []


def test_a_plan_promises_nothing_of_prompts_that_are_not_there(recipe, tmp_path):
    (tmp_path / "few.txt").write_text("a red kite\na blue boat\n")
    few = recipe.produce.model_copy(update={"prompts": str(tmp_path / "few.txt")})
    asked = recipe.audit.model_copy(update={"num_groups": 96})
    at = Round(recipe.model_copy(update={"produce": few, "audit": asked}), 1)
    assert "with 2 prompts x" in audit.power_of(at)[0]
    made = Manifest("groups@1", "groups", "f", "d", (), {}, counts={"groups": 5})
    at.directory("groups").mkdir(parents=True)
    (at.directory("groups") / manifest.FILE).write_bytes(manifest.to_bytes(made))
    assert "with 5 prompts x" in audit.power_of(at)[0]


def test_a_later_plan_rests_on_the_audit_before(recipe):
    judge = recipe.judge.model_copy(update={"path": "factory/sandbox/weights/base"})
    recipe = recipe.model_copy(update={"judge": judge})
    first = Round(recipe, 1)
    write_profile(first, replace(PROFILE, score_sd=1.0))
    settings = {"num_groups": 40, "num_candidates": 2}
    made = Manifest("profile@1", "profile", "f", "d", (), settings)
    (first.directory("profile") / manifest.FILE).write_bytes(manifest.to_bytes(made))
    told, rests = audit.power_of(Round(recipe, 2))
    assert "brightness 100%" in told
    assert rests == "this rests on the errors of profile@1, of 40 prompts"
    write_profile(first)  # as one of before, that kept no spread of scores
    assert "by default" in audit.power_of(Round(recipe, 2))[-1]


def test_what_edits_move_is_measured_whatever_else_is(recipe):
    audited = recipe.audit.model_copy(update={"edits": ["overlay text", "low motion"]})
    asked = audited.model_copy(update={"attributes": ["brightness"]})
    assert bias.attributes_measured(asked) == ["brightness", "text", "motion"]


def test_a_broken_profile_says_what_to_do(at):
    write_profile(at)
    (at.directory("profile") / "bias.json").write_text(json.dumps({"position": {}}))
    with pytest.raises(InputError, match=r"bias\.json: not a bias profile .* jobs\.audit"):
        bias.read_profile(at)


def test_the_report_knows_every_kind_and_says_what_is_flagged():
    (shown,) = audit.estimates(PROFILE, "judge@1")
    assert shown.kind in [kind for kind, _, _ in BIAS_KINDS]
    assert shown.name == "brightness: slope of scores"
    assert shown.note == "flagged: adjusted p 1e-08"
    assert shown.is_flagged


def better(at: Round, profile: BiasProfile) -> Decision:
    """The decision on a generator that wins, after a judge with this profile."""
    won = Estimate("win rate", 0.8, 0.7, 0.9, 0.5)
    told = tuple(Result(f"prompt {n}", "second" if n % 5 == 0 else "first", 1.0) for n in range(50))
    shown = Evaluation("generator@1", "generator@0", (won,))
    found = Comparison(won, told, failures(told), {}, None, (), shown)
    return evaluate.decide(
        found, profile, Model("x", "generator@0"), Model("y", "generator@1"), at, 4.0
    )


def test_a_breached_bias_gate_stops_a_promotion(at):
    decided = better(at, PROFILE)
    assert decided.decision == "keep"
    (breach,) = (one for one in decided.findings if not one.is_passed)
    assert (breach.gate, breach.subject) == ("max_attribute_slope:brightness", "judge@1")
    assert "is beyond 0.3 by at least 0.4" in breach.message
    clean = BiasProfile((), {}, {}, 40, 30, 1)
    assert better(at, clean).decision == "promote"


def test_a_judge_that_was_not_probed_promotes_nothing(at):
    decided = better(at, BiasProfile((), {}, {}, 40, 30, 0))
    assert decided.decision == "keep"
    missing = [one for one in decided.findings if not one.is_passed]
    assert [one.gate for one in missing] == [
        "max_attribute_slope",
        "max_duel_slope",
        "max_damage_gain",
        "min_media_drop",
    ]
    assert all("not probed (see audit.num_groups)" in one.message for one in missing)


def abstaining(at: Round, is_calibrated: bool = False, corrects: bool = False) -> Round:
    correct = at.recipe.curate.correct.model_copy(
        update={"attributes": corrects, "slices": corrects, "max_lean": None}
    )
    objections = at.recipe.curate.objections.model_copy(update={"abstain": True})
    curating = at.recipe.curate.model_copy(update={"objections": objections, "correct": correct})
    produce = at.recipe.produce.model_copy(update={"is_calibrated": is_calibrated})
    return Round(at.recipe.model_copy(update={"curate": curating, "produce": produce}), 1)


def test_abstention_is_read_from_the_judge(at, monkeypatch):
    assert curate._least_confidence(at) == {}
    directory = at.directory("judge")
    directory.mkdir(parents=True)
    with pytest.raises(InputError, match=r"judge@1 has no calibration .*fit_share"):
        curate._least_confidence(abstaining(at))
    Calibration({"image_generation": TaskCalibration(Temperature(2.0))}).save(directory)
    with pytest.raises(InputError, match=r"judge@1 has no abstention"):
        curate._least_confidence(abstaining(at))
    rule = Abstention(0.9, 0.8, 0.9, 0.8, 0.5, 100, 80.0)
    fitted = TaskCalibration(Temperature(2.0), abstention=rule)
    Calibration({"image_generation": fitted}).save(directory)
    assert curate._least_confidence(abstaining(at)) == {"image_generation": 0.9}
    assert curate._least_confidence(abstaining(at, is_calibrated=True)) == {
        "image_generation": pytest.approx(0.75)
    }
    write_profile(at)
    monkeypatch.setattr("jobs.pipelines.abstaining.heldout_opinions", lambda _: [])
    with pytest.raises(InputError, match=r"no confidence is known for corrected duels"):
        curate._least_confidence(abstaining(at, corrects=True))


@pytest.mark.parametrize("is_calibrated", [False, True])
def test_abstention_is_found_again_for_duels_that_are_corrected(is_calibrated):
    """A judge whose log-odds hold a liking that is larger than what it knows. Below a threshold of
    the raw duels a good part of the wrong ones is left; one for corrected duels keeps the target.
    """
    rng = np.random.default_rng(3)
    labels = []
    for number in range(2000):
        knows, bright = rng.normal(), float(rng.normal())
        told = "first" if rng.random() < 1 / (1 + np.exp(-3 * knows)) else "second"
        logit = knows + 1.5 * bright
        met = matchup([duel("0", "1", logit), duel("1", "0", -logit)], "0", "1")
        sides = {"brightness": bright}, {"brightness": 0.0}
        labels.append(LabelObservation(f"p{number}", told, met, *sides))
    correction = Correction(logits={"brightness": 1.5})
    tasks = dict.fromkeys((one.prompt_id for one in labels), "image_generation")
    raw = Abstention(None, 0.95, None, None, 0.0, 1000, 1000.0)  # its duels never keep so much
    of_task = TaskCalibration(Temperature(2.0), abstention=raw)
    calibration = Calibration({"image_generation": of_task})
    none = least_confidence(
        labels[:1000], tasks, calibration, Correction(), is_calibrated=is_calibrated
    )
    assert none["image_generation"] == math.inf
    found = least_confidence(
        labels[:1000], tasks, calibration, correction, is_calibrated=is_calibrated
    )
    if is_calibrated:  # the liking is taken out at its full size of log-odds that were halved
        assert found["image_generation"] == math.inf
        return
    told = [correction.label(one) for one in labels[1000:]]
    kept = [
        is_right(one.matchup, one.preference)
        for one in told
        if max(one.matchup.p_better, 1 - one.matchup.p_better) >= found["image_generation"]
    ]
    assert len(kept) > 200
    assert np.mean(kept) >= 0.94


# --------------------------------------------------------------------------------------- balance


def picture(level: int) -> Media:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (level,) * 3).save(buffer, "PNG")
    return Media(buffer.getvalue(), 8, 8)


def pair(number: int, chosen: int, rejected: int, verdict: str = "kept") -> Pair:
    looks = [(level, picture(level)) for level in (chosen, rejected)]
    sides = [
        Candidate(f"{number} {level}", "g@1", 0, shown, measures=measure(shown))
        for level, shown in looks
    ]
    return Pair(
        *(f"{number:016x}", Prompt.of(f"prompt {number}"), *sides, "judge@1"),
        *(1.0, 0.2, 1.0, 0.7, False),
        verdict=verdict,
    )


def test_pairs_are_rejected_until_the_set_is_balanced(tmp_path):
    bright, dark = 200, 60
    pairs = [pair(n, bright, dark) for n in range(12)] + [pair(n, dark, bright) for n in (20, 21)]
    pairs += [pair(30, bright, dark, "rejected"), pair(31, 100, 100)]
    for part, rows in enumerate((pairs[:9], pairs[9:])):
        pq.write_table(pairs_to_table(rows), tmp_path / f"{part}.parquet")
    balance = Balance({"brightness": 0.1, "flat": 0.0}, 0.5)
    already = Raised.of(numbers_of([pairs[12].pair_id]), ["near-duplicate of another pair"])
    amend = balance(tmp_path, already, Untallied())
    first, gone = amend.raised
    assert first is already
    reasons = gone.about(gone.ids)
    assert all(reason.startswith("imbalance: the chosen side leads") for reason in reasons)
    # Leads of 5.5 sd: 1 bright side against the 1 dark one that is left is level, 2 would not be.
    assert len(gone) == 11
    assert set(gone.ids.tolist()) < set(range(12))  # never one that is rejected already
    amended = pairs_from_table(amend(pairs_to_table(pairs)))
    assert [one.verdict for one in amended].count("rejected") == 13
    assert amended[12].objections == ("near-duplicate of another pair",)


NONE = Raised.of(numbers_of([]), [])


def test_a_pair_that_nobody_measured_is_named(tmp_path):
    whole = pair(1, 200, 60)
    rows = [replace(whole, chosen=replace(whole.chosen, measures=None))]
    pq.write_table(pairs_to_table(rows), tmp_path / "0.parquet")
    with pytest.raises(ValueError, match="pair 0000000000000001: a side was not measured"):
        Balance({"brightness": 0.1}, 0.5)(tmp_path, NONE, Untallied())


def test_pairs_are_weighed_until_the_set_is_balanced(tmp_path):
    bright, dark = 200, 60
    pairs = [pair(n, bright, dark) for n in range(9)] + [pair(n, dark, bright) for n in (20, 21)]
    pairs += [pair(30, bright, dark, "rejected")]
    pq.write_table(pairs_to_table(pairs), tmp_path / "0.parquet")
    weighing = Balance({"brightness": 0.1}, 0.5, is_weighting=True)
    amend = weighing(tmp_path, NONE, Untallied())
    # Nine times w against two: (9 w - 2) lead = 0.5 (9 w + 2).
    assert not any(map(len, amend.raised))
    assert amend.weighed.tolist() == list(range(9))
    lead = 140 / 255 / 0.1
    wanted = 2 * (lead + 0.5) / 9 / (lead - 0.5)
    assert amend.weights.tolist() == [pytest.approx(wanted, rel=1e-5)] * 9
    table = amend(pairs_to_table(pairs))
    assert table.column("weight").to_pylist()[8:] == [pytest.approx(wanted, rel=1e-5), 1, 1, 1]
    assert table.column("verdict").to_pylist()[:11] == ["kept"] * 11
    # Without any pair that leads the other way there is no balance.
    pq.write_table(pairs_to_table(pairs[:9]), tmp_path / "0.parquet")
    amend = weighing(tmp_path, NONE, Untallied())
    assert (len(amend.raised[1]), len(amend.weights)) == (9, 0)
