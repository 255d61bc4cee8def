"""A judge continued on a few labels of simulated annotators with a taste of their own."""

import random
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from actors.storage import local_model
from factory.judging.specification import find
from factory.media.pictures import encode_png
from factory.sandbox.annotators import Annotator
from factory.sandbox.drawing import CONTENT_DEFECTS, draw, spoil_scene
from factory.sandbox.world import caption, sample_scene
from jobs.rounds.lifecycle import complete
from jobs.rounds.workspace import InputError, Round
from jobs.stages.base import run_stage
from jobs.stages.localise import STAGE
from schemas import manifest, results
from schemas.arrow import labels_to_table
from schemas.manifest import Manifest
from schemas.recipe import Recipe
from schemas.recipe_file import load
from schemas.rows import Label, Media, Prompt
from schemas.section import MissingSectionError
from tests.jobs.stages.test_run import Books

BASE = "factory/sandbox/weights/base"


def labels(annotator: Annotator, num: int, seed: int, **tags: str) -> list[Label]:
    """Pairs and points for drawn pictures; every second prompt is held out."""
    rng = random.Random(seed)
    made = []
    for at in range(num):
        scene = sample_scene(rng)
        prompt = Prompt.of(caption(scene), tags=tags)
        shown = (scene, spoil_scene(scene, rng.choice(CONTENT_DEFECTS), rng))
        pngs = [encode_png(draw(one, rng)) for one in shown]
        sides = [Media(png, 32, 32) for png in pngs]
        split = "heldout" if at % 2 else "train"
        said, _ = annotator.label_pair(*pngs, prompt.text, str(at))
        points, _ = annotator.label_point(pngs[0], prompt.text, str(at))
        common = (prompt, annotator.full_name)
        made.append(Label(f"{annotator.name} {at}", *common, *sides, said, split=split))
        made.append(
            Label(f"{annotator.name} {at} points", *common, sides[0], points=points, split=split)
        )
    return made


def localised(tmp_path: Path, **more) -> Recipe:
    section = {
        "name": "judge-north",
        "labels": str(tmp_path / "north.parquet"),
        "parent": BASE,
        "num_steps": 2,
        "batch_size": 8,
        "learning_rate": 1e-4,
        "lora": {"rank": 2},
        **more,
    }
    return load("jobs/recipes/laptop.yaml", [f"root={tmp_path / 'run'}", f"localise={section}"])


@pytest.mark.slow
def test_a_line_of_its_own_is_made_compared_and_registered(
    local_ray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = Round(localised(tmp_path), 1)
    taste = Annotator("north", biases={"brightness": 0.3}, seed=1)
    north = labels(taste, 12, 1, region="north")
    pq.write_table(labels_to_table(north), tmp_path / "north.parquet")
    directory = Path(str(at.directory("labels")))
    directory.mkdir(parents=True)
    pq.write_table(labels_to_table(labels(Annotator("ann"), 16, 2)), directory / "labels.parquet")
    made = Manifest("labels@1", "labels", "f", "dd", (), {}, {}, files=("labels.parquet",))
    complete(directory, made)

    monkeypatch.setattr("jobs.rounds.registry.Registry.of", lambda books: books)
    books = Books()
    line = run_stage(STAGE, at, books)  # type: ignore[arg-type]
    assert line.address == "judge-north@1"
    assert at.directory("local_judge").name == "judge-north@1"
    assert [one.role for one in line.parents] == ["parent", "slice", "labels"]
    decision = results.read(at.directory("local_judge") / results.FINDINGS, results.Decision)
    found = results.read(at.directory("local_judge") / results.LOCALISATION, results.Localisation)
    assert decision is not None
    assert found is not None
    # Two steps teach nothing that so few labels could show.
    assert decision.decision == "keep"
    assert [one.gate for one in decision.findings] == ["min_slice_gain", "max_overall_loss"]
    assert books.aliases == {("judge-north", "challenger"): "judge-north@1"}
    by_name = {(one.name, one.by): one for one in found.estimates}
    before = by_name["accuracy on the slice", "judge@given"].value
    after = by_name["accuracy on the slice", "judge-north@1"].value
    change = by_name["change of accuracy on the slice", "judge-north@1"]
    assert before is not None
    assert after is not None
    assert change.value == pytest.approx(after - before)
    assert change.num is not None
    assert change.num <= 6
    # It is a judge like any other, adapters merged, and asked as its parent.
    asked = find(local_model(str(at.directory("local_judge"))), None)
    assert asked.task("image_generation").scale == find(BASE, None).task("image_generation").scale
    assert not list(Path(str(at.directory("local_judge"))).glob("adapter*"))


def test_a_slice_that_teaches_prompts_held_out_of_its_parent_is_refused(tmp_path: Path) -> None:
    at = Round(localised(tmp_path), 1)
    general = labels(Annotator("ann"), 6, 2)
    directory = Path(str(at.directory("labels")))
    directory.mkdir(parents=True)
    pq.write_table(labels_to_table(general), directory / "labels.parquet")
    made = Manifest("labels@1", "labels", "f", "dd", (), {}, {}, files=("labels.parquet",))
    complete(directory, made)
    held_out = next(one for one in general if one.split == "heldout")
    leaking = replace(held_out, label_id="of the north", split="train")
    pq.write_table(labels_to_table([general[0], leaking]), tmp_path / "north.parquet")
    with pytest.raises(InputError, match=rf"1 prompt\(s\) .* {leaking.prompt.prompt_id}; .*split"):
        STAGE.plan(at)
    pq.write_table(labels_to_table([general[0], held_out]), tmp_path / "north.parquet")
    assert STAGE.plan(at).rows.startswith("labels of")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    at = Round(localised(tmp_path), 1)
    with pytest.raises(InputError, match=r"north\.parquet: no such file"):
        STAGE.plan(at)
    without = Round(load("jobs/recipes/laptop.yaml", [f"root={tmp_path}"]), 1)
    with pytest.raises(MissingSectionError, match=r"missing in the recipe; add\n  localise: "):
        STAGE.plan(without)
    with pytest.raises(ValueError, match=r"is judge\.name too"):
        localised(tmp_path, name="judge")
    assert manifest.read(at.directory("local_judge")) is None
