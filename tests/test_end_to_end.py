"""The shipped laptop recipe, shrunk, run as a user runs it: whole, killed and run again, and twice.

One run is killed with SIGKILL in the middle of a training and started again by the same command;
another is left alone. Both must end with the same artifacts, byte for byte where bytes matter. What
kills a stage of rows is tried elsewhere (`tests/test_chaos.py`, `tests/s3/test_loop.py`).
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from factory.prompts import read_prompts
from jobs.datasets.reading import read_groups, read_table
from jobs.rounds.registry import Registry
from jobs.rounds.tracking import Tracker
from jobs.rounds.workspace import Round
from schemas import manifest, results
from schemas.arrow import pairs_from_table
from schemas.artifacts import loop_kinds
from schemas.columns import PAIRS
from schemas.recipe import Recipe
from schemas.recipe_file import load

pytestmark = pytest.mark.slow

LAPTOP = "jobs/recipes/laptop.yaml"
MAKERS = {kind.name: kind.job for kind in loop_kinds()}
TIMEOUT_S = 1800  # of a busy machine
#: When to kill: the artifact that must have been started, and how much later, in seconds.
KILLS = (("generator@1: started", 4.0),)
#: The killed run has as many generators as the recipe that is shipped; it must change nothing.
SHIPPED_POOL = "produce.generators={size: 2, num_cpus: 1}"


def shrink(directory: Path) -> list[str]:
    """Overrides that make the laptop recipe small; its models and its stages stay."""
    recipe = load(LAPTOP)
    files = {}
    for name, path, num in (
        ("label", recipe.labels.prompts, 12),
        ("produce", recipe.produce.prompts, 12),
        ("heldout", recipe.evaluate.prompts, 8),
    ):
        assert path is not None
        files[name] = directory / f"{name}.txt"
        files[name].write_text("".join(f"{one.text}\n" for one in read_prompts(path)[:num]))
    return [
        "name=shrunk",
        f"labels.prompts={files['label']}",
        f"produce.prompts={files['produce']}",
        f"evaluate.prompts={files['heldout']}",
        "produce.num_candidates=4",
        "produce.groups_per_block=4",
        "produce.generators={size: 1, num_cpus: 1}",  # each loads its libraries anew
        "generator.num_inference_steps=4",
        "train_judge.num_steps=6",
        "train_judge.batch_size=8",
        "align.num_steps=4",
        "align.batch_size=4",
        # What so small a judge is worth is not the matter here.
        "gates.min_judge_accuracy=0",
        "gates.max_flip_rate=1",
        "curate.objections.min_margin=0",
    ]


def start(overrides: list[str], root: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "jobs.loop", "--recipe", LAPTOP, *overrides, f"root={root}"]
    with log.open("ab") as output:
        return subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )


def finish(process: subprocess.Popen[bytes], log: Path) -> str:
    try:
        code = process.wait(TIMEOUT_S)
    finally:
        kill(process)
    text = log.read_text()
    assert code == 0, text[-6000:]
    return text


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the driver and to the Ray that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(line: str, process: subprocess.Popen[bytes], log: Path) -> None:
    limit = time.monotonic() + TIMEOUT_S
    while line not in log.read_text():
        assert process.poll() is None, log.read_text()[-6000:]
        assert time.monotonic() < limit, log.read_text()[-6000:]
        time.sleep(0.2)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Recipe, str]]:
    """An undisturbed run and one that was killed: the recipe of each and what it printed."""
    directory = tmp_path_factory.mktemp("runs")
    found = {}
    for name, more in (("undisturbed", []), ("killed", [SHIPPED_POOL])):
        overrides = [*shrink(directory), *more]
        root, log = directory / name, directory / f"{name}.log"
        log.touch()
        for line, seconds in KILLS if name == "killed" else ():
            process = start(overrides, root, log)
            wait_for(line, process, log)
            time.sleep(seconds)
            kill(process)
        text = finish(start(overrides, root, log), log)
        found[name] = (load(LAPTOP, [*overrides, f"root={root}"]), text)
    return found


@pytest.fixture(scope="module")
def undisturbed(runs: dict[str, tuple[Recipe, str]]) -> tuple[Round, str]:
    recipe, text = runs["undisturbed"]
    return Round(recipe, 1), text


def test_every_artifact_is_complete_and_named_at_the_end(undisturbed: tuple[Round, str]) -> None:
    at, text = undisturbed
    summary = text[text.rindex("What was made:") :]
    for kind in MAKERS:
        made = manifest.read(at.directory(kind))
        assert made is not None
        assert made.address in summary
    assert summary.rstrip().endswith(at.report().absolute().as_uri())


def test_every_prompt_has_one_group_and_its_pairs_with_verdicts(
    undisturbed: tuple[Round, str],
) -> None:
    at, _ = undisturbed
    wanted = sorted(prompt.prompt_id for prompt in read_prompts(at.recipe.produce.prompts))
    groups = read_groups(at.directory("groups"))
    pairs = pairs_from_table(read_table(at.directory("pairs"), PAIRS))
    assert [group.prompt.prompt_id for group in groups] == wanted
    # four candidates make two pairs, though the recipe asks for three
    assert sorted(pair.prompt.prompt_id for pair in pairs) == sorted(2 * wanted)
    for group in groups:
        assert len(group.candidates) == 4
        assert all(score.error is None for score in group.scores)
    assert all(bool(pair.objections) == (pair.verdict != "kept") for pair in pairs)
    assert "rows/s; busy: generate" in undisturbed[1]


def test_trainings_say_in_log_and_output_how_far_they_are(undisturbed: tuple[Round, str]) -> None:
    at, text = undisturbed
    (log,) = Path(at.recipe.root, "logs").glob("*.jsonl")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    for made, num_steps in (("judge@1", 6), ("generator@1", 4)):
        last = [e for e in events if (e["event"], e.get("stage")) == ("progress", made)][-1]
        assert (last["step"], last["of"], last["left_s"]) == (num_steps, num_steps, 0)
        assert f"{made}: step {num_steps} of {num_steps}, loss {last['loss']:.4g}" in text


def test_models_load_with_no_code_of_ours(undisturbed: tuple[Round, str]) -> None:
    from diffusers import DiffusionPipeline
    from transformers import AutoModelForImageTextToText, AutoProcessor

    at, _ = undisturbed
    DiffusionPipeline.from_pretrained(at.directory("generator"), use_safetensors=True)
    AutoModelForImageTextToText.from_pretrained(at.directory("judge"), use_safetensors=True)
    AutoProcessor.from_pretrained(at.directory("judge"))


def test_from_the_generator_one_walks_back_to_the_very_prompts(
    undisturbed: tuple[Round, str],
) -> None:
    at, _ = undisturbed
    parents = {kind: {parent.role: parent for parent in at.need(kind).parents} for kind in MAKERS}
    assert parents["generator"]["pairs"].digest == at.need("pairs").digest
    assert parents["pairs"]["groups"].digest == at.need("groups").digest
    prompts = parents["groups"]["prompts"]
    assert prompts.digest == manifest.digest_file(Path(prompts.address))


def test_the_report_shows_pairs_and_gains(undisturbed: tuple[Round, str]) -> None:
    at, _ = undisturbed
    page = at.report().read_text()
    for wanted in ("win rate", "flip rate", "brightness", "data:image/png", "simulated"):
        assert wanted in page
    decision = results.read(at.directory("evaluation") / results.FINDINGS, results.Decision)
    assert decision is not None
    assert decision.decision in page


def test_mlflow_has_one_run_for_each_stage_and_the_aliases(
    runs: dict[str, tuple[Recipe, str]],
) -> None:
    for name, (recipe, _) in runs.items():
        tracker = Tracker.of(recipe)
        found = tracker.client.search_runs([tracker.experiment_id])
        stages = sorted(run.data.tags["factory.stage"] for run in found)
        assert stages == sorted([*MAKERS.values(), "round"]), name
        assert {run.info.status for run in found} == {"FINISHED"}, name
        at = Round(recipe, 1)
        decision = results.read(at.directory("evaluation") / results.FINDINGS, results.Decision)
        assert decision is not None
        promoted = decision.decision == "promote"
        registry = Registry.of(tracker)
        generator = registry.model_name("generator")
        champion = decision.challenger if promoted else decision.champion
        assert registry.alias(generator, "champion") == champion
        assert registry.alias(generator, "challenger") == "generator@1"
        assert registry.alias(registry.model_name("judge"), "champion") == "judge@1"


def test_a_killed_run_ends_as_an_undisturbed_one(runs: dict[str, tuple[Recipe, str]]) -> None:
    """The same candidates, labels, judge, verdicts, pairs and generator, by their digests."""
    digests = {
        name: {kind: Round(recipe, 1).need(kind).digest for kind in MAKERS}
        for name, (recipe, _) in runs.items()
    }
    for kind in MAKERS:
        assert digests["killed"][kind] == digests["undisturbed"][kind], kind


def test_finished_stages_are_not_repeated(runs: dict[str, tuple[Recipe, str]]) -> None:
    _, text = runs["killed"]
    assert text.count("labels@1: complete in") == 1
    assert text.count("judge@1: complete in") == 1
    assert text.count("groups@1: complete in") == 1
    assert text.count("labels@1: complete already") == len(KILLS)


def test_another_recipe_under_the_same_root_is_refused(
    runs: dict[str, tuple[Recipe, str]], tmp_path: Path
) -> None:
    recipe, _ = runs["undisturbed"]
    copy = tmp_path / "copy"
    shutil.copytree(recipe.root, copy)
    process = subprocess.run(
        [
            *(sys.executable, "-m", "jobs.curate", "--recipe", LAPTOP),
            *(*shrink(tmp_path), f"root={copy}", "curate.objections.min_margin=0.9"),
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert process.returncode == 2
    assert "pairs@1 was made with another recipe" in process.stderr
    assert "objections.min_margin: 0.0 -> 0.9" in process.stderr
