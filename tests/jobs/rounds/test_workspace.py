"""Names, folders and parents of what rounds make; who is champion; what the rounds have spent."""

from dataclasses import replace
from pathlib import Path

import pytest

from jobs.rounds import limits, workspace
from jobs.rounds.checks import check_cpus, check_generator, check_model, prompts_file
from jobs.rounds.lifecycle import LostRaceError, complete
from jobs.rounds.workspace import InputError, Model, Round
from schemas import manifest, results
from schemas.artifacts import kind_named
from schemas.manifest import Manifest, Parent
from schemas.recipe import Answering, Recipe
from schemas.recipe_file import load
from schemas.results import Decision, Rollback

LAPTOP = "jobs/recipes/laptop.yaml"


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return load(LAPTOP, [f"root={tmp_path}", "num_rounds=3", "seed=5"])


def make(at: Round, kind: str, **figures: float) -> Path:
    """A complete artifact without data."""
    directory = Path(str(at.directory(kind)))
    directory.mkdir(parents=True)
    address = at.address(kind)
    made = Manifest(address, kind, "fp", f"digest-{address}", (), {}, figures=figures)
    complete(directory, made)
    return directory


def decide(at: Round, decision: str) -> None:
    directory = make(at, "evaluation")
    said = Decision(decision, at.address("generator"), "before@0", ())  # type: ignore[arg-type]
    (directory / results.FINDINGS).write_bytes(results.to_bytes(said))


def test_models_have_names_of_their_own_and_data_that_of_its_kind(recipe, tmp_path):
    at = Round(recipe, 2)
    assert [at.name(kind) for kind in ("judge", "generator", "light_judge", "pairs")] == [
        recipe.judge.name,
        recipe.generator.name,
        recipe.distil.name,
        "pairs",
    ]
    assert at.directory("judge") == tmp_path / "models" / f"{recipe.judge.name}@2"
    assert at.directory("pairs") == tmp_path / "data" / "pairs@2"
    assert at.report() == tmp_path / "reports" / "round-2.html"
    bare = Round(recipe.model_copy(update={"distil": None}), 2)
    assert (bare.address("light_judge"), bare.address("local_judge")) == (
        "light_judge@2",
        "local_judge@2",
    )
    assert [one.number for one in Round(recipe, 3).earlier()] == [1, 2]


def test_each_round_draws_afresh(recipe):
    first, second, third = (Round(recipe, number).seed for number in (1, 2, 3))
    assert first == 5
    assert len({first, second, third}) == 3
    assert Round(recipe, 2).seed == second


def test_what_is_needed_is_a_parent_or_the_job_that_makes_it_is_named(recipe):
    at = Round(recipe, 1)
    with pytest.raises(InputError, match=r"pairs@1 is not complete; run `python -m jobs.curate`"):
        at.need("pairs")
    make(at, "pairs")
    assert at.parent("pairs") == Parent("pairs", "pairs@1", "digest-pairs@1")
    assert kind_named("light_judge").job == "distil"


def test_of_two_drivers_one_completes(recipe):
    at = Round(recipe, 1)
    directory = make(at, "pairs")
    again = Manifest("pairs@1", "pairs", "fp", "other", (), {})
    with pytest.raises(LostRaceError, match="completed pairs@1 first; its manifest stands"):
        complete(directory, again)
    assert at.need("pairs").digest == "digest-pairs@1"


def test_a_model_is_a_parent_by_its_manifest_its_files_or_its_name(recipe, tmp_path):
    made = make(Round(recipe, 1), "judge")
    assert Model(str(made), "judge@1").parent("judge") == Parent(
        "judge", "judge@1", f"digest-{recipe.judge.name}@1"
    )
    plain = tmp_path / "given"
    plain.mkdir()
    (plain / "config.json").write_text("{}")
    found = Model(str(plain), "judge@0").parent("judge")
    assert found == Parent("judge", "judge@0", manifest.digest_files(plain))
    assert Model("owner/name", "judge@0").parent("judge").digest == "owner/name"


def test_the_champion_is_the_last_that_was_promoted_or_gone_back_to(recipe, tmp_path):
    name = recipe.generator.name
    assert workspace.champion(Round(recipe, 1)) == Model(recipe.generator.path, f"{name}@0")
    with pytest.raises(InputError, match="evaluation@1 is not complete"):
        workspace.champion(Round(recipe, 2))
    decide(Round(recipe, 1), "promote")
    first = Model(str(tmp_path / "models" / f"{name}@1"), f"{name}@1")
    assert workspace.champion(Round(recipe, 2)) == first
    decide(Round(recipe, 2), "keep")
    assert workspace.champion(Round(recipe, 3)) == first
    back = Rollback(f"{name}@0", f"{name}@1", "worse for people", "2026-01-01T00:00:00Z")
    for number, said in ((1, replace(back, champion=f"{name}@2")), (2, back)):
        file = Path(str(workspace.rollback_file(Round(recipe, 2), number)))
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(results.to_bytes(said))
    assert len(workspace.rollbacks(Round(recipe, 2))) == 2
    assert workspace.rollbacks(Round(recipe, 1)) == []
    assert workspace.champion(Round(recipe, 3)) == Model(recipe.generator.path, f"{name}@0")


@pytest.mark.parametrize("address", ["other@1", "sandbox", "sandbox@", "sandbox@x"])
def test_a_version_of_another_generator_is_refused(recipe, address):
    address = address.replace("sandbox", recipe.generator.name)
    with pytest.raises(InputError, match="is no version of this recipe's generator"):
        workspace.generator(recipe, address)


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("./none", "neither a directory nor a hub name"),
        ("/none/model", "neither a directory nor a hub name"),
        ("~/model", "neither a directory nor a hub name"),
        ("none", "neither a directory nor a hub name"),
        ("a/b/c", "neither a directory nor a hub name"),
        ("owner/name", "HF_HUB_OFFLINE=1 forbids the hub"),
    ],
)
def test_a_path_that_can_be_no_model_is_refused(path, fault):
    with pytest.raises(InputError, match=f"judge.path: .*{fault}"):
        check_model(path, "config.json", "judge.path")


@pytest.mark.parametrize(
    ("model", "task", "fault"),
    [
        ("judge", "image_generation", "is a model that answers questions"),
        ("generator", "image_understanding", "is a diffusers pipeline"),
    ],
)
def test_a_generator_that_can_make_nothing_of_any_prompt_is_refused(recipe, model, task, fault):
    asked = Answering(question="{media} {prompt}") if model == "judge" else None
    path = f"factory/sandbox/weights/{model}"
    spec = recipe.generator.model_copy(update={"path": path, "answering": asked})
    with pytest.raises(InputError, match=rf"generator.path: {path} {fault}.* are of {task}: give"):
        check_generator(spec, recipe, tasks={task})
    check_generator(spec, recipe, tasks={"image_generation", "image_understanding"})


@pytest.mark.parametrize(("oracle", "hint"), [("sandbox", "jobs.sandbox clips"), ("none", "")])
def test_what_the_sandbox_lacks_is_made_by_a_command(recipe, oracle, hint):
    evaluate = recipe.evaluate.model_copy(update={"oracle": oracle})
    spec = recipe.generator.model_copy(update={"path": "./none", "num_frames": 8})
    other = recipe.model_copy(update={"evaluate": evaluate})
    with pytest.raises(InputError) as caught:
        check_generator(spec, other)
    assert str(caught.value).endswith(
        f"are made by `python -m {hint} --out ./none`"
        if hint
        else "neither a directory nor a hub name"
    )
    still = recipe.generator.model_copy(update={"path": "./none", "num_frames": None})
    with pytest.raises(InputError, match=r"neither a directory nor a hub name$"):
        check_generator(still, other)
    with pytest.raises(InputError, match=r"produce.prompts: none.txt: no such prompts file$"):
        prompts_file("none.txt", "produce.prompts", other)


def test_a_directory_is_a_model_by_its_marker(tmp_path):
    with pytest.raises(InputError, match=r"is a directory but no model: it has no config\.json"):
        check_model(str(tmp_path), "config.json", "judge.path")
    (tmp_path / "config.json").write_text("{}")
    check_model(str(tmp_path), "config.json", "judge.path")


def test_a_plan_must_fit_the_cpus_of_a_local_session(recipe):
    local = recipe.model_copy(update={"address": "local", "num_cpus": 4})
    check_cpus(4.0, local, "jobs.produce")
    with pytest.raises(InputError, match=r"jobs\.produce needs 4.5 logical CPUs, .* gives 4;"):
        check_cpus(4.5, local, "jobs.produce")
    check_cpus(4.5, local.model_copy(update={"address": "auto"}), "jobs.produce")


# ---------------------------------------------------------------------------------------- limits


def test_hours_of_all_rounds_add_up_to_a_limit(recipe):
    make(Round(recipe, 1), "labels", seconds=1800.0)
    make(Round(recipe, 1), "judge", seconds=3600.0, gpu_seconds=7200.0)
    make(Round(recipe, 1), "groups")  # of a version that measured no time
    make(Round(recipe, 2), "labels", seconds=5400.0)
    assert limits.spent_in(Round(recipe, 1)) == limits.Spent(1.5, 2.0)
    assert limits.spent(recipe) == limits.Spent(3.0, 2.0)
    assert limits.reached(recipe) is None
    for key, most, said in (
        ("max_hours", 3.01, None),
        ("max_hours", 3.0, "limits.max_hours: 3.00 of 3 hours are spent; raise it to go on"),
        ("max_gpu_hours", 2.5, None),
        ("max_gpu_hours", 1.5, "limits.max_gpu_hours: 2.00 of 1.5 GPU hours are spent"),
    ):
        bounded = recipe.model_copy(update={"limits": recipe.limits.model_copy(update={key: most})})
        found = limits.reached(bounded)
        assert found is None if said is None else found.startswith(said)
