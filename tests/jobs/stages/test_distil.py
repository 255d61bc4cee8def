"""The stage that distils a judge: what it asks for, what it makes, and what it says of it."""

import random
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from factory.judging import by_scores
from factory.media.pictures import encode_png
from factory.sandbox.annotators import Annotator
from factory.sandbox.imperfect import imperfect
from factory.sandbox.oracle_judge import OracleJudge
from factory.sandbox.world import caption, sample_scene
from jobs.pipelines.models import named_judge
from jobs.rounds.lifecycle import complete
from jobs.rounds.workspace import InputError, Round
from jobs.stages.base import run_stage
from jobs.stages.distil import STAGE, verdict_rules
from schemas import results
from schemas.arrow import groups_to_table, labels_to_table
from schemas.manifest import Manifest
from schemas.recipe import Recipe
from schemas.recipe_file import load
from schemas.rows import Candidate, Group, Media, Prompt
from schemas.section import MissingSectionError, RecipeError
from tests.jobs.stages.test_localise import labels
from tests.jobs.stages.test_run import Books

BASE = "factory/sandbox/weights/base"


def groups(num: int) -> list[Group]:
    """Groups of three pictures as the oracle judges them: it stands for a teacher here."""
    rng, judge, made = random.Random(5), OracleJudge(), []
    for at in range(num):
        scene = sample_scene(rng)
        prompt = Prompt.of(caption(scene))
        candidates = tuple(
            Candidate(f"{at}-{n}", "g@0", n, Media(encode_png(imperfect(scene, rng)), 32, 32))
            for n in range(3)
        )
        sitting = judge.sit(prompt, candidates)
        duels = sitting.duels([(a, b) for a in range(3) for b in range(3) if a != b])
        made.append(Group(prompt, candidates, tuple(sitting.scores()), tuple(duels)))
    return made


def recipe(tmp_path: Path, **more) -> Recipe:
    section = {"num_steps": 2, "batch_size": 2, "learning_rate": 1e-4, "text_layers": 2, **more}
    return load("jobs/recipes/laptop.yaml", [f"root={tmp_path / 'run'}", f"distil={section}"])


def lay_down(at: Round, some: list[Group]) -> None:
    """A judge (the base itself), held-out labels, and groups."""
    where = {kind: Path(str(at.directory(kind))) for kind in ("judge", "labels", "groups")}
    for kind in ("labels", "groups"):
        where[kind].mkdir(parents=True)
    shutil.copytree(BASE, where["judge"])
    pq.write_table(labels_to_table(labels(Annotator("ann"), 12, 2)), where["labels"] / "l.parquet")
    pq.write_table(groups_to_table(some), where["groups"] / "g.parquet")
    files = {"judge": None, "labels": ("l.parquet",), "groups": ("g.parquet",)}
    for kind, named in files.items():
        made = Manifest(at.address(kind), kind, "f", f"d {kind}", (), {}, {}, files=named)
        complete(at.directory(kind), made)


def test_rules_come_from_matchups_of_scored_candidates(tmp_path: Path) -> None:
    at = Round(recipe(tmp_path), 1)
    lay_down(at, groups(6))
    rules, num_groups, num_duels = verdict_rules(at.directory("groups"))
    assert list(rules) == ["image_generation"]
    assert rules["image_generation"].slope > 0
    assert (num_groups, num_duels) == (6, 18)


def test_groups_without_duels_teach_nothing(tmp_path: Path) -> None:
    at = Round(recipe(tmp_path), 1)
    alone = [Group(one.prompt, one.candidates, one.scores) for one in groups(2)]
    lay_down(at, alone)
    with pytest.raises(InputError, match="no duel in both orders"):
        run_stage(STAGE, at, Books())  # type: ignore[arg-type]


def test_without_held_out_pairs_nothing_is_trained(tmp_path: Path) -> None:
    at = Round(recipe(tmp_path), 1)
    lay_down(at, groups(2))
    learned = [replace(one, split="train") for one in labels(Annotator("ann"), 3, 2)]
    pq.write_table(labels_to_table(learned), str(at.directory("labels") / "l.parquet"))
    with pytest.raises(InputError, match=r"labels@1 has no held-out pair .*split 'heldout'"):
        run_stage(STAGE, at, Books())  # type: ignore[arg-type]
    assert not list(Path(str(at.directory("light_judge"))).glob("*.safetensors"))


def test_the_recipe_says_how(tmp_path: Path) -> None:
    bare = Round(load("jobs/recipes/laptop.yaml", [f"root={tmp_path}", "distil=null"]), 1)
    with pytest.raises(MissingSectionError, match=r"missing in the recipe; add\n  distil: "):
        STAGE.plan(bare)
    with pytest.raises(RecipeError, match="nothing would be learned"):
        recipe(tmp_path, score_weight=0, verdict_weight=0)
    with pytest.raises(RecipeError, match=r"distil\.name: 'judge' is judge\.name too"):
        recipe(tmp_path, name="judge")


@pytest.mark.slow
def test_a_light_judge_is_made_compared_and_registered(
    local_ray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    at = Round(recipe(tmp_path, is_exported=True, min_accuracy_kept=0.0), 1)
    lay_down(at, groups(8))
    monkeypatch.setattr("jobs.rounds.registry.Registry.of", lambda books: books)
    books = Books()
    made = run_stage(STAGE, at, books)  # type: ignore[arg-type]
    assert made.address == "judge-light@1"
    assert [one.role for one in made.parents] == ["judge", "groups", "labels"]
    assert made.counts == {"groups": 8, "duels": 24}
    directory = at.directory("light_judge")
    assert by_scores.load(Path(str(directory))) is not None
    found = results.read(directory / results.DISTILLATION, results.Distillation)
    assert found is not None
    by = {(one.name, one.by) for one in found.estimates}
    for form in ("judge-light@1", "judge-light@1/judge.onnx", "judge-light@1/judge.int8.onnx"):
        for name in ("accuracy", "accuracy kept", "speed", "speed gained"):
            assert (name, form) in by
    speeds = [one.value for one in found.estimates if one.name == "speed"]
    assert all(speed is not None and speed > 0 for speed in speeds)
    decision = results.read(directory / results.FINDINGS, results.Decision)
    assert decision is not None
    alias = "champion" if decision.decision == "promote" else "challenger"
    assert books.aliases == {("judge-light", alias): "judge-light@1"}
    # What was exported is asked by its file's name.
    ref, model = named_judge(str(directory / "judge.onnx"), at)
    assert model.address.endswith("judge.onnx")
    sample = groups(1)[0]
    scores = ref.load().sit(sample.prompt, sample.candidates).scores()
    assert all(one.error is None for one in scores)
