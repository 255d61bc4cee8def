"""A judge of four tasks in the training loop: precision, sharding, micro-batches, adapters."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from actors.judges import TransformersJudge
from actors.trainers import zero
from actors.trainers.batches import Batches, Shard
from actors.trainers.judge import JudgeTask, LossWeights
from actors.trainers.loop import FitPlan, Progress, train_steps
from factory.judging.specification import JudgeSpecification
from factory.media.pictures import encode_png
from factory.sandbox.annotators import Annotator
from factory.sandbox.four_tasks import Side, drawn_cases, simulated_labels
from factory.sandbox.imperfect import SIDE, imperfect
from factory.sandbox.world import caption, sample_scene
from schemas.arrow import labels_to_table
from schemas.recipe import Lora, Training
from schemas.rows import Candidate, Media, Prompt

BASE = "factory/sandbox/weights/base4"
pytestmark = pytest.mark.usefixtures("process_group")
TASKS = ("image_generation", "video_generation", "image_understanding", "video_understanding")


@pytest.fixture(scope="module")
def shards() -> dict[str, Shard]:
    """Pairs and points of each task."""
    made = {}
    for task in TASKS:
        cases = list(drawn_cases(task, 2, 3, seed=9)) if task != TASKS[0] else []
        if not cases:
            rng = random.Random(9)
            for _ in range(2):
                scene = sample_scene(rng)
                pictures = [encode_png(imperfect(scene, rng)) for _ in range(3)]
                sides = [Side(Media(data, SIDE, SIDE)) for data in pictures]
                cases.append((Prompt.of(caption(scene)), sides))
        labels = [
            label
            for prompt, sides in cases
            for label in simulated_labels(prompt, sides, [Annotator("ann")], 3, "train", 0)
        ]
        for kind, rows in (
            ("pairs", [one for one in labels if one.preference is not None]),
            ("points", [one for one in labels if one.points is not None]),
        ):
            made[f"{task} {kind}"] = Shard([labels_to_table(rows)], "label_id")
    return made


def train(
    shards: dict[str, Shard], lora: Lora | None = None, save_to: Path | None = None, **changes
) -> list[float]:
    """The loss of each step."""
    # At ten times this rate the loss rises, and each step magnifies what was rounded in the last.
    wanted = {"num_steps": 2, "batch_size": 16, "learning_rate": 3e-5, "log_every": 1}
    training = Training.model_validate({**wanted, **changes})
    weights = LossWeights(verdict=0.5, score=1.0, order=0.5, justification=0.3)
    task = JudgeTask(
        BASE,
        JudgeSpecification.load(Path(BASE)),
        0.5,
        weights=weights,
        task_shares=dict.fromkeys(TASKS, 1.0),  # type: ignore[arg-type]
        lora=lora,
    )
    learner = task.build(torch.device("cpu"), zero.DTYPES[training.precision])
    engine = zero.ZeroEngine(learner.module, training)
    batches = Batches(shards, task.shares, zero.micro_batch_size(training), seed=0)
    plan = FitPlan(task, training, 0, checkpoint_every=99)
    points = list(train_steps(engine, learner, batches, plan, Progress(), rank=0))
    assert all(point["loss_justification"] > 0 for point in points)
    engine.restore_full_weights(is_saver=True)
    if save_to is not None:
        learner.save(save_to)
    return [point["loss"] for point in points]


@pytest.mark.slow
def test_four_tasks_are_learned_in_any_precision_and_sharding(
    shards: dict[str, Shard], tmp_path: Path
) -> None:
    exact = train(shards, save_to=tmp_path)
    assert train(shards, zero_stage=3) == pytest.approx(exact, abs=1e-4)
    assert train(shards, zero_stage=2, precision="bf16") == pytest.approx(exact, rel=0.05)
    # micro-batches are other batches, and each mean is over its own rows
    assert train(shards, accumulation_steps=2) == pytest.approx(exact, rel=0.5)
    adapted = train(shards, lora=Lora(rank=4, alpha=8), zero_stage=2, num_steps=1)
    assert adapted == pytest.approx(exact[:1], abs=1e-4)
    judge = TransformersJudge(str(tmp_path), "judge@1", specification=unsure(0.0))
    for task in TASKS[1:]:
        prompt, sides = next(iter(drawn_cases(task, 1, 2, seed=3)))  # type: ignore[arg-type]
        candidates = [
            Candidate(str(at), "c", 0, side.media, side.answer) for at, side in enumerate(sides)
        ]
        sitting = judge.sit(prompt, candidates)
        assert all(score.error is None for score in sitting.scores())
        assert sitting.duels([(0, 1)])[0].error is None
        assert sitting.justify_duel((0, 1), "first").startswith(("video", "answer", "image"))


def unsure(reason_confidence: float) -> JudgeSpecification:
    """The base's own, with reasons from another confidence on."""
    known = JudgeSpecification.load(Path(BASE))
    return replace(
        known,
        tasks={
            name: replace(task, reason_confidence=reason_confidence)
            for name, task in known.tasks.items()
        },
    )


def test_a_reason_that_the_judge_is_not_sure_of_is_not_given() -> None:
    given = []
    for least in (0.0, 0.6, 0.999):
        judge = TransformersJudge(BASE, "judge@1", specification=unsure(least))
        told = 0
        for prompt, sides in drawn_cases("video_generation", 4, 2, seed=3):
            candidates = [Candidate(str(at), "c", 0, side.media) for at, side in enumerate(sides)]
            sitting = judge.sit(prompt, candidates)
            told += bool(sitting.justify_duel((0, 1), "first"))
            told += bool(sitting.justify_score(0, 3.0))
        given.append(told)
    assert given[0] == 8
    assert given[0] > given[1] > given[2]


def test_a_base_on_the_hub_is_fetched_before_it_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def fetch(name: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append(name)
        assert revision is None
        assert not any(one.endswith((".py", ".bin")) for one in allow_patterns)
        return BASE

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    task = JudgeTask("someone/a-base", JudgeSpecification.load(Path(BASE)), 0.5)
    task.build(torch.device("cpu"), torch.float32).save(tmp_path)
    assert asked == ["someone/a-base"]
    assert (tmp_path / "tokenizer.json").is_file()
