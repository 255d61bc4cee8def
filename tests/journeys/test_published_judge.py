"""Prompts, a generator and a judge that somebody else trained: groups, audit and pairs, no labels.

First the plans: each combination of sections that a recipe may leave out ends in a plan that tells
what will be done, or in an error that names what is missing. Then the shipped recipe, whole.
"""

import itertools
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from factory.bias.profile import BiasProfile
from factory.evaluation.gates import unlabelled_gates
from factory.judging.specification import JudgeSpecification, find
from jobs import loop
from jobs.datasets.reading import read_groups, read_table
from jobs.pipelines.given_judge import judge_parents
from jobs.pipelines.models import judge_asking, judge_ref, named_judge
from jobs.rounds.course import course, left_out
from jobs.rounds.history import as_text
from jobs.rounds.lineage import as_text as tree
from jobs.rounds.lineage import trace
from jobs.rounds.registry import Registry
from jobs.rounds.tracking import Tracker
from jobs.rounds.workspace import InputError, Round, champion, is_judge_given, judge
from jobs.stages.base import print_plan
from jobs.stages.run import STAGES, run_loop, run_stages
from jobs.tools.rollback import roll_back
from schemas import manifest, results
from schemas.arrow import pairs_from_table
from schemas.columns import PAIRS
from schemas.manifest import Manifest
from schemas.recipe import Gates, Recipe
from schemas.recipe_file import load
from schemas.section import MissingSectionError

SHIPPED = "jobs/recipes/published-judge.yaml"
BASE = Path("factory/sandbox/weights/base")
LABELS = Path(__file__).resolve().parents[1] / "fixtures" / "d5e4ef4" / "inbox" / "given@1"
TRAINED = {"num_steps": 1, "batch_size": 4, "learning_rate": 1e-4}
#: All that a recipe of the loop may leave out.
ALL: dict[str, Any] = {
    "generator": {"path": "factory/sandbox/weights/generator"},
    "judge": {"path": str(BASE)},
    "labels": {"path": str(LABELS)},
    "train_judge": TRAINED,
    "produce": {"prompts": "jobs/recipes/prompts/produce.txt"},
    "align": TRAINED,
    "evaluate": {"prompts": "jobs/recipes/prompts/heldout.txt"},
}
Write = Callable[..., Recipe]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A recipe of some sections, with changes."""

    def recipe(sections: Sequence[str], **changes: Any) -> Recipe:
        given = {key: ALL[key] for key in sections}
        top = {"name": "little", "root": str(tmp_path / "run"), "num_cpus": 8}
        return Recipe.model_validate(top | given | changes)

    return recipe


ALONE = ("generator", "judge", "produce")


# --------------------------------------------------------------------------------------- plans


def test_each_combination_of_sections_is_planned_or_says_what_is_missing(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    for is_there in itertools.product((True, False), repeat=len(ALL)):
        sections = [key for key, one in zip(ALL, is_there, strict=True) if one]
        recipe = write(sections)
        missing = {"generator", "judge", "produce"} - {*sections}
        if "train_judge" in sections:
            missing |= {"labels"} - {*sections}
        stages = {"produce", "audit", "curate"}
        stages |= {"label"} & {"label" for key in ("labels", "train_judge") if key in sections}
        stages |= {key for key in ("train_judge", "align") if key in sections}
        stages |= {"evaluate"} if {"align", "evaluate"} <= {*sections} else set()
        assert {kind.job for kind in course(recipe)} == stages, sections
        if missing:
            with pytest.raises(MissingSectionError) as caught:
                run_loop(recipe, dry_run=True)
            first, *lines = str(caught.value).splitlines()
            assert first.startswith("missing in the recipe for jobs."), sections
            assert {line.split(":")[0].strip() for line in lines} == missing, sections
            assert all("  # " in line for line in lines)
            continue
        run_loop(recipe, dry_run=True)
        said = capsys.readouterr().out.splitlines()
        told = {line.split()[0]: line for line in said if line.startswith("  ") and line[2] != " "}
        assert {*told} == {*STAGES}
        for job in STAGES:
            assert ("left out: no `" in told[job]) == (job not in stages), told[job]
        is_given = "train_judge" not in sections
        by = f"judge@0 as it is ({BASE}, raw verdicts)" if is_given else "judge@1"
        assert f"candidates, judged by {by}; " in told["produce"]
        assert by in told["audit"]
        assert ("no label: there is no `labels`" in told["audit"]) == (
            not {"labels", "train_judge"} & {*sections}
        )


def test_what_is_aligned_and_not_evaluated_is_said_not_to_be_promoted(write: Write) -> None:
    told = left_out(write([*ALONE, "align"]))["evaluate"]
    assert told == (
        "no `evaluate.prompts`: what is aligned is compared with nothing, and a generator whose "
        "gates were not asked is not promoted"
    )
    limited = write([*ALONE, "align"], limits={"max_kept_rounds": 1})
    with pytest.raises(InputError, match=r"limits\.max_kept_rounds: .*add `align` and `evaluate"):
        run_loop(limited, dry_run=True)


@pytest.mark.parametrize("job", ["produce", "audit", "evaluate", "distil"])
def test_a_job_alone_plans_with_the_judge_as_it_is(
    job: str, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write([*ALONE, "evaluate", "labels"], distil=TRAINED)
    print_plan(recipe, [job])
    assert f"  {job} " in capsys.readouterr().out
    lost = write([*ALONE, "evaluate", "labels"], distil=TRAINED, judge={"path": "no/such/judge"})
    with pytest.raises(InputError, match=r"^judge\.path: no model at 'no/such/judge'"):
        print_plan(lost, [job])


@pytest.mark.parametrize("job", ["distil", "localise"])
def test_who_holds_judges_against_labels_asks_for_them(job: str, write: Write) -> None:
    local = {"name": "judge-north", "labels": str(LABELS), **TRAINED}
    recipe = write([*ALONE, "train_judge"], distil=TRAINED, localise=local)
    with pytest.raises(MissingSectionError) as caught:
        print_plan(recipe, [job])
    assert str(caught.value).splitlines() == [
        f"missing in the recipe for jobs.{job}; add",
        "  labels: {path: LABEL_ROWS}  # what people said of pairs",
    ]


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("produce.is_calibrated", {"produce": ALL["produce"] | {"is_calibrated": True}}),
        ("curate.objections.abstain", {"curate": {"objections": {"abstain": True}}}),
    ],
)
def test_what_needs_a_calibration_says_so(
    key: str, changes: dict[str, Any], write: Write, tmp_path: Path
) -> None:
    recipe = write(ALONE, **changes)
    with pytest.raises(InputError) as caught:
        run_loop(recipe, dry_run=True)
    assert str(caught.value).startswith(f"{key}: needs a judge that is calibrated, and {BASE}, ")
    assert "has no calibration.json: train it on people's labels" in str(caught.value)
    own = tmp_path / "calibrated"
    shutil.copytree(BASE, own)
    (own / "calibration.json").write_text('{"tasks": {}, "fitted_on": []}')
    calibrated = write(ALONE, **changes, judge={"path": str(own)})
    run_loop(calibrated, dry_run=True)
    roles = [one.role for one in judge_parents(Round(calibrated, 1))]
    assert roles == ["judge", "specification", "calibration"]


# ----------------------------------------------------------------------------- what is refused


def without(num: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def strip(tensors: dict[str, Any]) -> dict[str, Any]:
        lost = sorted(key for key in tensors if ".layers." in key)[:num]
        return {key: one for key, one in tensors.items() if key not in lost}

    return strip


def with_a_head(tensors: dict[str, Any]) -> dict[str, Any]:
    return {**tensors, "rm_head.weight": np.zeros((1, 128), np.float32)}


def of_another_shape(tensors: dict[str, Any]) -> dict[str, Any]:
    name = next(key for key in sorted(tensors) if key.endswith("mlp.down_proj.weight"))
    return {**tensors, name: np.zeros((4, 4), np.float32)}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (without(13), "13 tensor(s) are missing and would be filled at random ("),
        (
            with_a_head,
            "1 tensor(s) are of no use to its model and would be dropped (rm_head.weight",
        ),
        (of_another_shape, "1 tensor(s) are of another shape than its model's ("),
    ],
)
def test_weights_that_are_not_the_models_are_refused_by_plan_and_worker(
    change: Callable[[dict[str, Any]], dict[str, Any]], fault: str, write: Write, tmp_path: Path
) -> None:
    from actors.judges import TransformersJudge
    from factory.judging.specification import SpecificationError

    path = tmp_path / "judge"
    shutil.copytree(BASE, path)
    file = path / "model.safetensors"
    save_file(change(load_file(file)), file, {"format": "pt"})
    recipe = write([*ALONE, "labels", "train_judge"], judge={"path": str(path)})
    for job in ("produce", "train_judge"):
        with pytest.raises(InputError) as caught:
            print_plan(recipe, [job])
        assert str(caught.value).startswith(f"judge.path: {path}: these weights are not those of ")
        assert fault in str(caught.value)
    with pytest.raises(SpecificationError) as loaded:
        TransformersJudge(str(path), "judge@0")
    assert fault in str(loaded.value)


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"model_type": "blip"}, "a model of type 'blip' is no judge: it writes captions"),
        ({"model_type": "llava_qwen"}, "a judge of model type 'llava_qwen' cannot be read"),
        (
            {"model_type": "llava", "architectures": ["LlavaQwenForCausalLM"]},
            "says that the weights are of LlavaQwenForCausalLM, and a judge of model type 'llava' "
            "is a LlavaForConditionalGeneration",
        ),
        (
            {"model_type": "qwen2_vl", "architectures": ["Qwen2VLRewardModelBT"]},
            "says that the weights are of Qwen2VLRewardModelBT",
        ),
        ([], "its config.json cannot be read"),
        ({}, "its config.json cannot be read: KeyError('model_type')"),
    ],
)
def test_a_model_that_cannot_judge_is_refused_by_its_configuration(
    config: Any, fault: str, write: Write, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError) as caught:
        print_plan(write(ALONE, judge={"path": str(tmp_path)}), ["produce"])
    assert str(caught.value).startswith(f"judge.path: {tmp_path}: ")
    assert fault in str(caught.value)


def test_every_family_with_eyes_is_one_of_the_library() -> None:
    from actors.judges.eyes import FAMILIES
    from actors.judges.kinds import judging_classes

    assert {*FAMILIES} < {*judging_classes()}


def test_an_endpoint_is_measured_by_its_name() -> None:
    spec = "{url: 'http://h/v1', model: big, specification: unifiedreward-qwen2.5-vl}"
    _, model = named_judge("endpoint", Round(load(SHIPPED, [f"evaluate.endpoint={spec}"]), 1))
    assert model.parent("judge") == manifest.Parent("judge", "endpoint@0", "h/v1")


def test_nobody_guesses_how_a_published_judge_is_asked(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "judge"
    shutil.copytree(BASE, path)
    (path / "judge.json").unlink()
    with pytest.raises(InputError) as caught:
        print_plan(write(ALONE, judge={"path": str(path)}), ["produce"])
    assert (
        "judge.json, and a judge that is used as it is must be asked as it was trained to be"
        in str(caught.value)
    )
    assert "unifiedreward-qwen2.5-vl" in str(caught.value)
    spec = {"path": str(path), "specification": str(tmp_path / "none.json")}
    with pytest.raises(InputError, match=r"^judge\.specification: .*none\.json: no such file"):
        print_plan(write(ALONE, judge=spec), ["produce"])
    named = {"path": str(path), "specification": str(BASE / "judge.json")}
    print_plan(write(ALONE, judge=named), ["produce"])


def test_prompts_of_a_task_that_the_judge_has_no_words_for_are_refused(write: Write) -> None:
    clips = {"prompts": "jobs/recipes/prompts/clips_produce.jsonl"}
    drawn = {"path": "factory/sandbox/weights/clips"}
    with pytest.raises(
        InputError, match=r"judge\.specification: .*no specification for 'video_generation'"
    ):
        print_plan(write(ALONE, produce=clips, generator=drawn), ["produce"])


def test_a_strategy_that_asks_what_the_judge_was_not_trained_for_is_refused(
    write: Write, tmp_path: Path
) -> None:
    told = find("factory/sandbox/weights/base").task("image_generation")
    only = JudgeSpecification({"image_generation": replace(told, pointwise="")})
    file = tmp_path / "pairs.json"
    file.write_text(json.dumps(only.to_json()))
    section = {"path": "factory/sandbox/weights/base", "specification": str(file)}
    with pytest.raises(InputError) as caught:
        print_plan(write(ALONE, judge=section), ["produce"])
    assert str(caught.value) == (
        "curate.rank.strategy: bracket: this checkpoint was not trained for pointwise questions of "
        "image_generation, which it asks: choose duels"
    )
    print_plan(write(ALONE, judge=section, curate={"rank": {"strategy": "duels"}}), ["produce"])


# ------------------------------------------------------------------------------- what it is


def test_the_judge_is_known_by_its_weights_and_by_how_it_is_asked(
    write: Write, tmp_path: Path
) -> None:
    at = Round(write(ALONE), 1)
    assert is_judge_given(at)
    assert (judge(at).path, judge(at).address) == (str(BASE), "judge@0")
    weights, asked = judge_parents(at)
    assert (weights.role, weights.address) == ("judge", "judge@0")
    assert (asked.role, asked.address) == ("specification", f"{BASE}/judge.json")

    moved = tmp_path / "elsewhere"
    shutil.copytree(BASE, moved)
    there = Round(write(ALONE, judge={"path": str(moved)}), 1)
    assert [one.digest for one in judge_parents(there)] == [weights.digest, asked.digest]
    words = json.loads((moved / "judge.json").read_text())
    words["tasks"]["image_generation"]["pointwise"] += " said :"
    (tmp_path / "own.json").write_text(json.dumps(words))
    spec = {"path": str(moved), "specification": str(tmp_path / "own.json")}
    other = Round(write(ALONE, judge=spec), 1)
    assert judge_parents(other)[0].digest == weights.digest
    assert judge_parents(other)[1].digest != asked.digest
    ref = judge_ref(other)
    assert ref.specification.tasks["image_generation"].pointwise.endswith(" said :")
    assert ref.weights == judge_ref(at).weights
    assert judge_asking(other) is not None


def test_a_judge_of_the_hub_is_known_by_its_commit(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    commit = "a" * 40
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    snapshot = tmp_path / "hub" / "models--org--judge" / "snapshots" / commit
    shutil.copytree(BASE, snapshot)
    spec = {"path": "org/judge", "revision": commit}
    at = Round(write(ALONE, judge=spec), 1)
    print_plan(at.recipe, ["produce"])
    assert judge_parents(at)[0].digest == f"hub:org/judge@{commit}"
    (snapshot / "config.json").write_text('{"model_type": "llava_qwen"}')
    with pytest.raises(InputError, match=r"^judge\.path: org/judge: a judge of model type"):
        print_plan(at.recipe, ["produce"])


def complete(at: Round, kind: str, *parents: manifest.Parent) -> None:
    directory = at.directory(kind)
    directory.mkdir(parents=True)
    made = Manifest(at.address(kind), kind, "f", f"digest of {kind}", parents, {}, {"kept": 3})
    (directory / manifest.FILE).write_bytes(manifest.to_bytes(made))


def test_a_root_in_which_a_judge_was_trained_goes_on_with_it(write: Write) -> None:
    at = Round(write(ALONE), 1)
    later = Round(at.recipe.model_copy(update={"num_rounds": 2}), 2)
    complete(at, "judge")
    assert not is_judge_given(at)
    assert judge(at).address == "judge@1"
    with pytest.raises(InputError, match=r"judge@2 is not complete"):
        judge_parents(later)


def test_groups_of_another_judge_are_not_audited(write: Write) -> None:
    from jobs.stages.audit import STAGE as AUDIT

    at = Round(write(ALONE), 1)
    complete(at, "groups", *judge_parents(at))
    assert [one.role for one in AUDIT.parents(at)] == ["groups", "judge", "specification"]
    complete(at, "judge")
    complete(at, "labels")
    with pytest.raises(InputError, match=r"groups@1 was judged by judge@0 .* judge is judge@1 "):
        AUDIT.parents(at)


def test_rounds_that_nobody_evaluates_start_from_the_same_champion(write: Write) -> None:
    recipe = write([*ALONE, "align"], num_rounds=2)
    for kind in ("groups", "profile", "pairs", "generator"):
        complete(Round(recipe, 1), kind)
    assert champion(Round(recipe, 2)).address == "generator@0"
    text = as_text(recipe)
    assert "round 1: complete; 3 pairs kept" in text
    assert "nothing promoted: no `evaluate.prompts`: what is aligned is compared with" in text
    with pytest.raises(InputError, match="no round is finished with a decision, so generator@0"):
        roll_back(recipe, "generator@1", "why not")
    with pytest.raises(InputError, match=r"evaluation@1 is not complete"):
        champion(Round(write([*ALONE, "align", "evaluate"], num_rounds=2), 2))


def test_gates_that_need_labels_are_not_passed_without_and_may_be_null() -> None:
    profile = BiasProfile((), {}, {}, 40, 0, 1)
    (found,) = unlabelled_gates(profile, Gates())
    assert (found.gate, found.is_passed, found.value) == ("max_attribute_excess", False, None)
    assert found.message == (
        "the excess over people's own leaning could not be measured: no held-out comparison by "
        "people (see labels); null asks for none"
    )
    assert unlabelled_gates(profile, Gates(max_attribute_excess=None)) == ()
    asked = Gates(max_calibration_error=0.1)
    assert [one.gate for one in unlabelled_gates(profile, asked)] == [
        "max_attribute_excess",
        "max_calibration_error",
    ]
    assert unlabelled_gates(BiasProfile((), {}, {}, 40, 5, 1), asked) == ()


# ------------------------------------------------------------------------------------- the run


def test_the_shipped_recipe_ends_with_pairs_and_says_what_nobody_knows(
    local_ray: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = Path(load(SHIPPED).produce.prompts).read_text().splitlines()[:4]
    (tmp_path / "prompts.txt").write_text("\n".join(prompts))
    small = [
        *(f"root={tmp_path / 'run'}", f"produce.prompts={tmp_path / 'prompts.txt'}"),
        *("num_cpus=4", "generator.num_inference_steps=2", "produce.num_candidates=2"),
        *("audit.num_groups=2", "audit.num_resamples=50", "audit.edits=[brightness]"),
        "curate.objections.min_margin=0",
    ]
    assert loop.main(["--recipe", SHIPPED, *small]) == 0
    said = capsys.readouterr().out
    recipe = load(SHIPPED, small)
    at = Round(recipe, 1)
    assert "  train_judge  left out: no `train_judge`: no judge is trained" in said
    assert "judge@0: not known: whether people lean as the judge does" in said

    groups = read_groups(at.directory("groups"))
    assert len(groups) == 4
    assert {score.judge for group in groups for score in group.scores} == {"judge@0"}
    assert all(score.error is None for group in groups for score in group.scores)
    pairs = pairs_from_table(read_table(at.directory("pairs"), PAIRS))
    assert {pair.judge for pair in pairs} == {"judge@0"}
    assert len(pairs) == 4

    weights, asked = judge_parents(at)
    for kind in ("groups", "profile"):
        assert {weights, asked} <= {*at.need(kind).parents}
    assert not at.directory("judge").exists()
    assert not at.directory("labels").exists()
    assert f"judge: judge@0  {weights.digest} (given)" in tree(trace(at.root, "pairs@1"))

    profile = results.read(at.directory("profile") / results.PROFILE, results.Profile)
    assert profile is not None
    assert len(profile.unknown) == 2
    assert not [one for one in profile.estimates if "people" in one.name or "excess" in one.name]
    shown = json.loads((at.directory("profile") / "bias.json").read_text())
    assert shown["unknown"] == list(profile.unknown)
    page = Path(str(at.report())).read_text()
    for wanted in (
        "Nothing to decide",
        "left out: no `labels`",
        f"judge@0 ({weights.digest}) judged as it was published",
        "Not known of this judge",
        "how often it is right here is not known",
    ):
        assert wanted.lower() in page.lower(), wanted
    assert "Not complete" not in page

    registry = Registry.of(Tracker.of(recipe))
    assert registry.alias(registry.model_name("judge"), "champion") == "judge@0"
    assert loop.main(["--recipe", SHIPPED, *small]) == 0
    assert "pairs@1: complete already" in capsys.readouterr().out
    _label_later(small, tmp_path)


def _label_later(small: list[str], tmp_path: Path) -> None:
    """People's labels come later: the audit of a root with the same groups holds the judge against
    them, and no judge is trained.
    """
    root = tmp_path / "labelled"
    shutil.copytree(tmp_path / "run", root)
    for name in ("profile@1", "pairs@1"):
        shutil.rmtree(root / "data" / name)
    words = [*small, f"root={root}", f"labels={{path: {LABELS}}}"]
    recipe = load(SHIPPED, words)
    run_stages(recipe, 1, ["label", "audit"])
    made = Round(recipe, 1).need("profile")
    assert [one.role for one in made.parents] == ["groups", "judge", "specification", "labels"]
    assert made.counts["labels"] > 0
    directory = Round(recipe, 1).directory("profile")
    agreement = results.read(directory / results.AGREEMENT, results.JudgeReport)
    assert agreement is not None
    assert agreement.judge == "judge@0"
    estimates = {one.name: one for one in agreement.slices[0].estimates}
    assert estimates["accuracy without ties"].value is not None
    profile = results.read(directory / results.PROFILE, results.Profile)
    assert profile is not None
    assert profile.unknown == ()
    assert any("slope of people" in one.name for one in profile.estimates)
