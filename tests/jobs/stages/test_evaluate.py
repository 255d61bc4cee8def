"""What the evaluation says of contests of simulated models, and which parents it accepts."""

import io
import pickle
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from factory.bias.profile import BiasProfile
from factory.evaluation import comparison
from factory.evaluation.comparison import compare, grid, grid_columns, outputs
from factory.evaluation.reference import reference_of
from factory.guarded import GuardedJudge
from factory.media.clips import encode_clip
from factory.media.pictures import encode_png
from jobs.rounds.workspace import InputError, Model, Round
from jobs.stages.evaluate import STAGE, _heldout_judge, _judges, decide
from schemas import manifest, results
from schemas.manifest import Manifest, Parent
from schemas.recipe import Recipe
from schemas.recipe_file import load
from schemas.rows import Candidate, Duel, Group, Media, Opinion, Prompt, Score

OLD, NEW = Model("a", "generator@0"), Model("b", "generator@1")


def contests(gains, num=60, seeds=2, brighter=0):
    """Groups in which each judge, by name, gives the challenger so many points more."""
    rng = np.random.default_rng(0)
    groups = []
    for at in range(num):
        prompt = Prompt.of(f"prompt {at}", tags={"region": "north" if at % 2 else "south"})
        sides = []
        for generator, shift in ((OLD.address, 0), (NEW.address, brighter)):
            for seed in range(seeds):
                pixels = np.clip(rng.normal(120, 30, (8, 8, 3)) + shift, 0, 255).astype(np.uint8)
                media = Media(encode_png(pixels), 8, 8)
                name = f"{at} {generator} {seed}"
                sides.append(Candidate(name, generator, seed, media))
        scores, duels = [], []
        for judge, gain in gains.items():
            for seed in range(seeds):
                one, other = sides[seed], sides[seeds + seed]
                lead = gain + float(rng.normal())
                scores.append(Score(one.candidate_id, judge, 3.0, 0.1))
                scores.append(Score(other.candidate_id, judge, 3.0 + lead, 0.1))
                ids = (other.candidate_id, one.candidate_id)
                duel = (
                    Duel(*ids, judge, 0.9, 0.1, 0.0) if lead > 0 else Duel(*ids, judge, 0.1, 0.9, 0)
                )
                duels += [duel, duel.swap()]
        groups.append(Group(prompt, tuple(sides), tuple(scores), tuple(duels)))
    return groups


@pytest.fixture
def at(recipe: Recipe) -> Round:
    evaluate = recipe.evaluate.model_copy(update={"num_resamples": 200})
    return Round(recipe.model_copy(update={"evaluate": evaluate}), 1)


def opinions(judge, num=80):
    """Of held-out labels, of which a judge gets three in four right."""
    found = []
    for label in range(num):
        p = 0.1 if label % 4 == 0 else 0.9
        duel = Duel("0", "1", judge, p, 1 - p, 0.0)
        found.append(
            Opinion(
                *(f"l{label}", f"p{label}", "image_generation", {}, judge, "first", None),
                duels=(duel, duel.swap()),
            )
        )
    return found


def compared(at, gains, **more):
    names = (OLD.address, NEW.address)
    known = {judge: opinions(judge) for judge in gains}
    groups = contests(gains, **more)
    return compare(groups, list(gains), names, at.recipe, opinions=known)


def gates_of(found, at):
    decision = decide(found, BiasProfile((), {}, {}, 0, 30, 1), OLD, NEW, at, 4.0)
    return decision, [one for one in decision.findings if not one.is_passed]


def test_the_last_judge_decides_and_the_first_is_watched(at):
    found = compared(at, {"judge@1": 1.0, "oracle@0": 1.0})
    assert found.won.by == "oracle@0"
    (whole,) = [one for one in found.claims if one.slice == "all"]
    assert whole.judge.address == "judge@1"
    assert [(one.address, one.weight) for one in whole.witnesses] == [("oracle@0", 1.0)]
    decision, failed = gates_of(found, at)
    assert (decision.decision, failed) == ("promote", [])


def test_a_challenger_that_only_its_judge_likes_is_not_promoted_and_the_reason_says_so(at):
    decision, failed = gates_of(compared(at, {"judge@1": 1.5, "oracle@0": 0.0}), at)
    assert decision.decision == "keep"
    alarms = [one for one in failed if one.gate.startswith("max_unseen_gain")]
    assert alarms
    assert alarms[0].message.startswith("reward hacking: ")
    assert "oracle@0 is right on 0.75 of 80 labels" in alarms[0].message


def test_brightness_beyond_the_limit_is_named(at):
    found = compared(at, {"judge@1": 1.0, "oracle@0": 1.0}, brighter=120)
    _, failed = gates_of(found, at)
    (one,) = [one for one in failed if one.gate == "max_twin_drift:brightness"]
    assert one.low is not None
    assert one.low > 3.0
    assert "standard deviations" in one.message


def test_the_evaluation_has_slices_scores_leads_diversity_and_reads_back(at, tmp_path: Path):
    found = compared(at, {"judge@1": 1.0, "endpoint@0": 0.8, "oracle@0": 0.5}).evaluation
    results.write(tmp_path / "e.json", found)
    assert results.read(tmp_path / "e.json", results.Evaluation) == found
    assert [one.name for one in found.scores] == [
        "score of generator@0",
        "score of generator@1",
    ] * 3
    assert [(one.name, one.by.split()[0]) for one in found.leads] == [
        ("gain that no witness sees", "judge@1"),
        ("accuracy on held-out labels", "judge@1"),
        ("accuracy on held-out labels", "endpoint@0"),
        ("accuracy on held-out labels", "oracle@0"),
    ]
    assert [one.value for one in found.leads[1:]] == [0.75] * 3
    assert [one.note for one in found.leads[1:2]] == ["the judge that made the pairs"]
    assert {(one.name, one.by) for one in found.slices} == {
        (f"win rate, region = {name}", by)
        for name in ("north", "south")
        for by in ("judge@1", "oracle@0")
    }
    assert all(one.num == 60 for one in found.slices)
    assert [one.name for one in found.diversity] == [
        "diversity of generator@0",
        "diversity of generator@1",
        "diversity kept",
    ]


def test_a_cell_of_the_grid_is_empty_where_nothing_can_be_shown():
    assert comparison._cells(None, 4) == [None] * 4
    broken = Candidate("b", "g@0", 0, Media(b"....ftyp....", 8, 8, 4, 2.0))
    assert comparison._cells(broken, 4) == [None] * 4
    assert comparison._cells(Candidate("p", "g@0", 0, Media(b"png", 8, 8)), 3) == [
        b"png",
        None,
        None,
    ]
    assert comparison._cells(Candidate("a", "g@0", 0, answer="two"), 2) == [None, None]


def test_drift_adds_up_over_rounds(at):
    """A little in every round is much since the start: the gate looks at the whole of it."""
    groups = contests({"judge@1": 1.0, "oracle@0": 1.0}, brighter=5)
    start = {prompt: [dark(one) for one in side] for prompt, side in outputs(groups)[0].items()}
    names = ("generator@3", "generator@4")
    found = compare(groups, ["judge@1", "oracle@0"], names, at.recipe, ("generator@0", start))
    assert {one.unit for one in found.evaluation.drift} == {
        "sd of generator@3",
        "sd of generator@0",
    }
    assert {one.neutral for one in found.evaluation.drift} == {0.0}
    by = {(one.name, one.unit): one.value for one in found.evaluation.drift}
    assert found.drift["brightness"].value == by["brightness", "sd of generator@0"]
    assert found.drift["brightness"].value > by["brightness", "sd of generator@3"] + 3
    _, failed = gates_of(found, at)
    assert "max_twin_drift:brightness" in [one.gate for one in failed]


def dark(candidate):
    pixels = np.array(Image.open(io.BytesIO(candidate.media.data))) // 3
    return replace(candidate, media=Media(encode_png(pixels), 8, 8))


def test_the_grid_shows_twins_side_by_side():
    groups = contests({"judge@1": 1.0}, num=2)
    assert grid_columns(groups, ("generator@0", "generator@1")) == ["generator@0", "generator@1"]
    data = grid(groups, ("generator@0", "generator@1"))
    assert data is not None
    assert Image.open(io.BytesIO(data)).size[0] < 700


def test_the_grid_of_clips_shows_some_frames_of_each():
    frames = np.stack([np.full((16, 16, 3), 30 * at, np.uint8) for at in range(8)])
    media = Media(encode_clip(frames, 8.0), 16, 16, 8, 8.0)
    sides = tuple(Candidate(name, name, 0, media) for name in "ab")
    groups = [Group(Prompt.of("it moves", "video_generation"), sides)]
    assert grid_columns(groups, ("a", "b")) == [f"{x} {n}/4" for x in "ab" for n in range(1, 5)]
    data = grid(groups, ("a", "b"))
    assert data is not None
    picture = np.array(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    row = picture[-72, 270:-9:136]  # the middle of each cell
    assert len(row) == 8
    assert (np.diff(row[:4, 0]) > 20).all()


def test_answers_have_no_grid():
    sides = tuple(Candidate(name, name, 0, answer="red") for name in "ab")
    assert grid([Group(Prompt.of("what ?"), sides)], ("a", "b")) is None


def test_the_plan_tells_what_the_alarm_can_find(own):
    _, told = STAGE.plan(own()).notes()
    assert "by 1 prompts, 500 held-out labels" in told
    _, nobody = STAGE.plan(own("evaluate.oracle=none", "evaluate.heldout_judge=null")).notes()
    assert "reward hacking cannot be seen" in nobody


# --------------------------------------------------------------------------- the held-out judge


def model(directory: Path, digest: str, labels: str) -> None:
    directory.mkdir(parents=True)
    parents = (Parent("base", "judge@0", "b"), Parent("labels", "labels@1", labels))
    made = Manifest("judge@1", "judge", "f", digest, parents, {})
    (directory / manifest.FILE).write_bytes(manifest.to_bytes(made))


def heldout(at: Round, path: Path) -> Round:
    recipe = at.recipe.model_dump()
    recipe["evaluate"]["heldout_judge"] = {"path": str(path)}
    return Round(Recipe.model_validate(recipe), 1)


def test_a_witness_must_not_be_the_judge_nor_have_its_labels(at, tmp_path: Path):
    model(Path(str(at.directory("judge"))), "own", "ours")
    for digest, labels, wanted in (
        ("own", "x", "is judge@1"),
        ("y", "ours", "trained on labels@1"),
    ):
        path = tmp_path / f"{digest} {labels}"
        model(path, digest, labels)
        with pytest.raises(InputError, match=wanted):
            _heldout_judge(heldout(at, path))
    other = tmp_path / "other"
    model(other, "another", "theirs")
    (parent,) = _heldout_judge(heldout(at, other))
    assert (parent.role, parent.address, parent.digest) == (
        "heldout judge",
        "heldout-judge@0",
        "another",
    )
    assert _heldout_judge(at) == []


def test_error_rates_are_of_answers_and_by_the_oracle_alone(at):
    judges = {"judge@1": 0.0, "oracle@0": 0.0}
    names, reference = (OLD.address, NEW.address), ("oracle@0", 5.0)
    of_pictures = compare(contests(judges), list(judges), names, at.recipe, reference=reference)
    assert of_pictures.evaluation.errors == ()
    groups = []
    for number, one in enumerate(contests(judges, seeds=1)):
        # The champion is right in one of three, the challenger in two of three.
        value = {"generator@0": 5.0 if number % 3 == 0 else 3.0}
        value["generator@1"] = 5.0 if number % 3 else 3.0
        points = {side.candidate_id: value[side.generator] for side in one.candidates}
        scores = tuple(replace(score, value=points[score.candidate_id]) for score in one.scores)
        prompt = replace(one.prompt, task="image_understanding")
        groups.append(replace(one, prompt=prompt, scores=scores))
    found = compare(groups, list(judges), names, at.recipe, reference=reference)
    before, after, mended = found.evaluation.errors
    assert (before.name, after.name) == ("error rate of generator@0", "error rate of generator@1")
    assert (before.value, after.value) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert mended.value == pytest.approx(0.5)
    assert 0.0 < mended.low < mended.value < mended.high < 1.0
    assert mended.by == "oracle@0"
    assert compare(groups, ["judge@1"], names, at.recipe).evaluation.errors == ()


class Truth:
    """Somebody's own reference: knows cups only, and marks out of ten."""

    name = "truth@2"
    full_marks = 10.0

    def sit(self, prompt, candidates):
        raise RuntimeError("not asked here")

    def check(self, path, prompts):
        for number, prompt in enumerate(prompts, start=1):
            if "cup" not in prompt.text:
                raise ValueError(f"{path}: row {number}: about no cup")

    def how_to_make(self, part, directory, generator):
        return f"ask the potter for {part} in {directory}"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A function of overrides: a round whose recipe names somebody's own reference."""
    module = types.ModuleType("someones_truth")
    module.Truth = Truth
    monkeypatch.setitem(sys.modules, "someones_truth", module)
    (tmp_path / "prompts.txt").write_text("a cup\n")

    def made(*overrides):
        given = [f"root={tmp_path / 'run'}", f"evaluate.prompts={tmp_path / 'prompts.txt'}"]
        given += ["evaluate.oracle=someones_truth:Truth"]
        return Round(load("jobs/recipes/laptop.yaml", [*given, *overrides]), 1)

    return made


def test_somebodys_own_reference_is_asked_last_and_loads_on_a_worker(own):
    at = own()
    assert STAGE.plan(at).rows == "1 held-out prompts x 2 x 1"
    assert STAGE.settings(at).evaluate.oracle == "someones_truth:Truth"
    *_, last = _judges(at, reference_of(at.recipe.evaluate))
    assert (last.address, last.name) == ("truth@2", "truth")
    loaded = pickle.loads(pickle.dumps(last)).load()
    assert isinstance(loaded, GuardedJudge)  # from prompts of which it would leave a part out
    assert isinstance(loaded.judge, Truth)


def test_a_reference_says_before_any_work_what_it_does_not_know(own, tmp_path):
    (tmp_path / "prompts.txt").write_text("a cup\na dog\n")
    with pytest.raises(InputError, match=r"evaluate\.oracle: .*prompts\.txt: row 2: about no cup"):
        STAGE.plan(own())
    with pytest.raises(InputError, match=r"absent\.txt: no such prompts file; ask the potter for"):
        STAGE.plan(own("evaluate.prompts=absent.txt"))


def test_error_rates_are_by_the_marks_of_the_reference(own):
    judges = {"judge@1": 0.0, "truth@2": 0.0}
    groups = []
    for one in contests(judges, num=6, seeds=1):
        value = dict(zip((OLD.address, NEW.address), (9.0, 10.0), strict=True))
        points = {side.candidate_id: value[side.generator] for side in one.candidates}
        scores = tuple(replace(score, value=points[score.candidate_id]) for score in one.scores)
        prompt = replace(one.prompt, task="image_understanding")
        groups.append(replace(one, prompt=prompt, scores=scores))
    reference = ("truth@2", Truth.full_marks)
    names = (OLD.address, NEW.address)
    found = compare(groups, list(judges), names, own().recipe, reference=reference)
    before, after, mended = found.evaluation.errors
    assert (before.value, after.value, mended.value) == (1.0, 0.0, 1.0)
    assert mended.by == "truth@2"
