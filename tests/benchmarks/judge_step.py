"""What our judge's training step costs beside a plain PyTorch loop over the same model and batches.

    python -m tests.benchmarks.judge_step [--num 40] [--batch 16]

Fine-tuning of the sandbox's base into a judge of pictures with all its losses; one process,
float32, one thread. Both sides compute the same loss on the same rows. The plain loop is given its
batches as tensors; ours draws rows from Arrow, decodes their pictures, looks up their tokens,
seeds, keeps means, and steps through DeepSpeed. Steps alternate, and the first of each is left out.
Time is CPU time of the process, which a busy machine stretches less than the clock.

figure: CPU time of our steps over that of the plain ones.
loss_gap: largest difference of the two loss curves; the comparison is void unless it is rounding.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import torch

from actors.sandbox import generator
from actors.trainers.batches import Batches, Shard
from actors.trainers.judge import JudgeTask, LossWeights
from actors.trainers.learning import TrainTask
from actors.trainers.loop import FitPlan, Progress, train_steps
from actors.trainers.zero import ZeroEngine, learning_rate
from factory.judging.specification import JudgeSpecification
from factory.media.pictures import encode_png
from factory.sandbox.annotators import Annotator
from factory.sandbox.four_tasks import Side, simulated_labels
from factory.sandbox.imperfect import imperfect
from factory.sandbox.world import caption, sample_scene
from schemas.arrow import labels_to_table
from schemas.recipe import Training
from schemas.rows import Media, Prompt, seed_of
from tests.group_of_one import group_of_one, worker_environment

_SEED = 0
_BASE = "factory/sandbox/weights/base"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--num", type=int, default=40, help="steps of each side")
    parser.add_argument("--batch", type=int, default=16, help="rows of a step")
    given = parser.parse_args()
    torch.set_num_threads(1)
    training = Training(
        num_steps=given.num + 1, batch_size=given.batch, learning_rate=1e-5, log_every=1
    )
    with worker_environment(), group_of_one():
        task, rows = _judge()
        sides = [_ours(task, training, rows), _plain(task, training, rows)]
        seconds = [0.0, 0.0]
        losses: list[list[float]] = [[], []]
        for step in range(training.num_steps):
            for index, side in enumerate(sides):
                began = time.process_time()
                losses[index].append(next(side))
                seconds[index] += (time.process_time() - began) * (step > 0)
    gap = max(abs(one - other) for one, other in zip(*losses, strict=True))
    ours, plain = (1000 * total / given.num for total in seconds)
    print(f"{given.num} steps of {given.batch} rows, ms of CPU a step")
    print(f"  ours   {ours:7.1f}\n  plain  {plain:7.1f}\n  losses differ by at most {gap:.1e}")
    print(json.dumps({"figure": round(ours / plain, 3), "loss_gap": gap}))


Rows = dict[str, pa.Table]


def _ours(task: TrainTask, training: Training, rows: Rows) -> Iterator[float]:
    learner = task.build(torch.device("cpu"), torch.float32)
    engine = ZeroEngine(learner.module, training)
    plan = FitPlan(task, training, _SEED, checkpoint_every=training.num_steps)
    batches = _batches(task, training, rows)
    for number in range(training.num_steps):
        learner.collate(batches[number])  # tokens are made once
    for point in train_steps(engine, learner, batches, plan, Progress(), rank=0):
        yield point["loss"]


def _plain(task: TrainTask, training: Training, rows: Rows) -> Iterator[float]:
    learner = task.build(torch.device("cpu"), torch.float32)
    batches = _batches(task, training, rows)
    prepared = [learner.collate(batches[number]) for number in range(training.num_steps)]
    module = learner.module
    optimizer = torch.optim.AdamW(module.parameters(), weight_decay=0.0)
    for step, batch in enumerate(prepared):
        optimizer.param_groups[0]["lr"] = learning_rate(training, step)
        torch.manual_seed(seed_of("noise", _SEED, 0, step))
        loss, _ = learner.loss(module, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), training.gradient_clipping)
        optimizer.step()
        yield loss.item()


def _batches(task: TrainTask, training: Training, rows: Rows) -> Batches:
    shards = {name: Shard([table], task.key) for name, table in rows.items()}
    return Batches(shards, task.shares, training.batch_size, _SEED)


def _judge() -> tuple[TrainTask, Rows]:
    """Labels of drawn pictures, half of them pairs."""
    rng = random.Random(_SEED)
    annotator = Annotator("ann")
    labels = []
    for _ in range(16):
        scene = sample_scene(rng)
        sides = [
            Side(Media(encode_png(imperfect(scene, rng)), generator.SIDE, generator.SIDE))
            for _ in range(2)
        ]
        prompt = Prompt.of(caption(scene))
        labels += simulated_labels(prompt, sides, [annotator], 2, "train", _SEED)
    weights = LossWeights(verdict=1.0, score=1.0, order=1.0, justification=1.0)
    task = JudgeTask(_BASE, JudgeSpecification.load(Path(_BASE)), 0.5, weights=weights)
    rows = {
        "pairs": labels_to_table([one for one in labels if one.preference is not None]),
        "points": labels_to_table([one for one in labels if one.points is not None]),
    }
    return task, rows


if __name__ == "__main__":
    main()
