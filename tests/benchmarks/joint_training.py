"""Does a judge of one task gain by learning others too? The paper's joint-training table, repeated.

    python -m tests.benchmarks.joint_training [--target image_understanding] [--steps 100]
        [--prompts 160] [--heldout 80] [--seeds 3]

From the same base, with the recipe `four_tasks.yaml` and equally many steps of equally many rows,
judges are trained on labels of: the target task alone; the target and the other task of its
modality; the target and the same task of the other modality; all four. A judge of more tasks so
sees fewer labels of the target. Each arm is trained with several seeds, of batches and of labels'
order; the figures are the judges' agreement with the oracle on held-out prompts of the target,
pairs that the oracle calls ties left out, with intervals clustered by prompt over all seeds.

gain: accuracy of the arm minus that of the target alone, paired by pair and seed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc
import torch

from actors.trainers.batches import Batches, Shard
from actors.trainers.loop import FitPlan, Progress, train_steps
from actors.trainers.zero import ZeroEngine
from factory.statistics.intervals import clustered_bootstrap
from jobs.datasets.files import read_columns
from jobs.pipelines.judge_training import judge_task
from schemas.recipe import Recipe
from schemas.recipe_file import load
from schemas.rows import Task, seed_of
from tests.benchmarks.four_tasks import (
    RECIPE,
    TASKS,
    Case,
    heldout_cases,
    judge_pairs,
    make_labels,
)
from tests.group_of_one import group_of_one, worker_environment

_MODALITY = {"image": "video", "video": "image"}
_KIND = {"generation": "understanding", "understanding": "generation"}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", choices=TASKS, default="image_understanding")
    parser.add_argument("--root", default="runs/joint-training")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--prompts", type=int, default=160, help="label prompts of each task")
    parser.add_argument("--heldout", type=int, default=80, help="held-out prompts of the target")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args()
    torch.set_num_threads(1)
    labels = make_labels(Path(given.root) / f"labels-{given.prompts}.parquet", given.prompts)
    cases = list(heldout_cases(given.target, given.heldout))
    hits: dict[str, list[float]] = {}
    clusters: list[str] = []
    with tempfile.TemporaryDirectory() as scratch, worker_environment(), group_of_one():
        for name, tasks in arms(given.target).items():
            for seed in range(given.seeds):
                shares = [f"train_judge.task_shares={json.dumps(dict.fromkeys(tasks, 1.0))}"]
                steps = [f"train_judge.num_steps={given.steps}", f"seed={seed}"]
                recipe = load(RECIPE, [*shares, *steps, *given.overrides])
                directory = Path(scratch) / f"{name}-{seed}".replace(" ", "-")
                _train(recipe, labels, directory)
                found, prompts = _agreement(directory, cases)
                hits.setdefault(name, []).extend(found)
                if name == "alone":
                    clusters += prompts
    figures: dict[str, float] = {}
    alone = hits["alone"]
    print(f"{given.target}: {given.steps} steps, {given.seeds} seeds, {len(alone)} judgements")
    for name, found in hits.items():
        accuracy = clustered_bootstrap(found, clusters)
        differences = [one - other for one, other in zip(found, alone, strict=True)]
        gain = clustered_bootstrap(differences, clusters)
        print(
            f"  {name:<16} {accuracy.value:.3f} [{accuracy.low:.3f}, {accuracy.high:.3f}]  "
            f"gain {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
        )
        key = name.replace(" ", "_")
        figures |= {f"{key}.accuracy": accuracy.value, f"{key}.gain": gain.value}
        figures |= {f"{key}.gain_low": gain.low, f"{key}.gain_high": gain.high}
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


def arms(target: Task) -> dict[str, list[str]]:
    """The tasks that each judge learns."""
    modality, kind = target.split("_")
    return {
        "alone": [target],
        "other task": [target, f"{modality}_{_KIND[kind]}"],
        "other modality": [target, f"{_MODALITY[modality]}_{kind}"],
        "all four": list(TASKS),
    }


def _train(recipe: Recipe, labels: Path, directory: Path) -> None:
    """The stage's task in the trainer's own loop, without a cluster around it."""
    table = read_columns(labels)
    table = table.filter(pc.equal(table["split"], "train"))
    task = judge_task(recipe)
    shards = {}
    for name in task.shares:
        of, kind = name.split()
        column = "preference" if kind == "pairs" else "points"
        rows = table.filter(pc.and_(pc.equal(table["task"], of), pc.is_valid(table[column])))
        shards[name] = Shard([rows], task.key)
    section = recipe.train_judge
    learner = task.build(torch.device("cpu"), torch.float32)
    engine = ZeroEngine(learner.module, section)
    plan = FitPlan(task, section, recipe.seed, checkpoint_every=section.num_steps)
    batches = Batches(shards, task.shares, section.batch_size, seed_of(recipe.seed, 0))
    for _ in train_steps(engine, learner, batches, plan, Progress(), rank=0):
        pass
    directory.mkdir()
    learner.save(directory)
    print(f"{directory.name}: trained", flush=True)


def _agreement(directory: Path, cases: Sequence[Case]) -> tuple[list[float], list[str]]:
    """1 where judge and oracle agree on a pair, 0 where not (or where the judge cannot say)."""
    from actors.judges import TransformersJudge

    judge = TransformersJudge(str(directory), "judge@1")
    hits, prompts = [], []
    for prompt, sides in cases:
        for one in judge_pairs(judge, prompt, sides)[0]:
            if one.truth != "tie":
                right = one.met is not None and (one.met.logit > 0) == (one.truth == "first")
                hits.append(float(right))
                prompts.append(prompt.prompt_id)
    return hits, prompts


if __name__ == "__main__":
    main()
