"""What alignment costs: a step beside a plain loop's, workers beside one, adapters beside a copy.

    python -m tests.benchmarks.align_cost [--steps 16] [--batch 16] [--memory-steps 3]

ratio: CPU time of a step over that of a plain PyTorch loop (`align_step`, a process of its own).

samples_per_s: pairs a second of the sandbox's (untrained) pipeline, through Ray Data, Ray Train,
    DeepSpeed and gloo, by the clock of the first worker's steps: start-up, loading and saving are
    left out, encoding each pair once is not. Two workers share the batch of one. Runs alternate,
    and the faster of two counts. Where there are no more cores than workers, Ray and everything
    else wants them too: cores and load stand beside the figures, and their ratio says nothing about
    workers that have a machine each.

mb_whole, mb_adapters: peak resident memory (ru_maxrss) of a process that trains a UNet of 146
    million random weights on batches of one pair, in float32 and without activation checkpointing:
    all weights beside a frozen second copy, or adapters (rank 8) whose reference is the model with
    them off. mb_before is what the process had taken before it loaded the model: Python and its
    libraries, in both.

figure: peak memory of adapters over that of two whole copies.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# Nothing heavy here: a process's peak memory begins with that of the one that started it.

_MB = 1e6
_LARGE = {"block_out_channels": (192, 384, 768), "attention_head_dim": 8}
_REPEATS = 2


def main() -> None:
    """Run the benchmark, or one part of it in a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=16, help="optimiser steps of a run")
    parser.add_argument("--batch", type=int, default=16, help="pairs of a step")
    parser.add_argument("--memory-steps", type=int, default=3)
    parser.add_argument("--part", choices=("save", "whole", "adapters"), help=argparse.SUPPRESS)
    parser.add_argument("--policy", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part is not None:
        print(json.dumps(_part(given.part, Path(given.policy), given.memory_steps)))
        return
    memory = _memory(given.memory_steps)
    step = _run("align_step", "--num", str(given.steps), "--batch", str(given.batch))
    speeds = _speeds(given.steps, given.batch)

    share = memory["adapters"]["mb"] / memory["whole"]["mb"]
    print(f"a step: {step['figure']:.3f} [{step['low']:.3f}, {step['high']:.3f}] of a plain loop's")
    for num, found in speeds.items():
        runs = ", ".join(f"{one:.1f}" for one in found)
        print(f"{num} worker(s): {runs} pairs a second")
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    print(f"  on {cores} cores, load {load:.1f}")
    print(f"peak memory with {memory['whole']['num_weights'] / 1e6:.0f} million weights, MB")
    for name, found in memory.items():
        print(f"  {name:<9} {found['mb']:7.0f}, of which {found['mb_before']:.0f} before loading")
    figures = {
        "figure": share,
        "ratio": step["figure"],
        "ratio_low": step["low"],
        "ratio_high": step["high"],
        **{f"samples_per_s_{num}": max(found) for num, found in speeds.items()},
        "cores": cores,
        "load": load,
        **{f"mb_{name}": found["mb"] for name, found in memory.items()},
        "mb_before": memory["whole"]["mb_before"],
    }
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def _run(module: str, *arguments: str) -> dict[str, Any]:
    """Run a module of this folder; its last line."""
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{module} {' '.join(arguments)} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# ----------------------------------------------------------------------------------------- workers


def _speeds(num_steps: int, batch: int) -> dict[int, list[float]]:
    """Pairs a second of each run, by the number of workers."""
    import ray.data

    from actors.trainers.diffusion import DiffusionDPO
    from actors.trainers.engine import fit
    from factory.alignment.losses import Objective
    from jobs import cli
    from jobs.session.ray_session import ray_session
    from schemas.recipe import Training
    from schemas.recipe_file import load
    from tests.benchmarks.align_step import save_pipeline, some_pairs

    found: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as scratch, ray_session(load(cli.LAPTOP, [])):
        save_pipeline(Path(scratch) / "policy")
        task = DiffusionDPO(str(Path(scratch) / "policy"), Objective(1000.0))
        for repeat in range(_REPEATS):
            for num, speeds in found.items():
                training = Training(
                    num_steps=num_steps, batch_size=batch, learning_rate=1e-5, num_workers=num
                )
                result = fit(
                    task,
                    training,
                    {"pairs": ray.data.from_arrow(some_pairs("image_generation"))},
                    output=Path(scratch) / f"{num}-{repeat}",
                    run_name=f"cost-{num}-{repeat}",
                    storage_path=Path(scratch) / "storage",
                    seed=0,
                    checkpoint_every=num_steps,
                )
                speeds.append(num_steps * batch / result.seconds)
    return found


# ------------------------------------------------------------------------------------------ memory


def _memory(num_steps: int) -> dict[str, dict[str, float]]:
    """What processes that train took at most, by what they train."""
    with tempfile.TemporaryDirectory() as scratch:
        common = ("--policy", scratch, "--memory-steps", str(num_steps))
        _run("align_cost", "--part", "save", *common)
        return {name: _run("align_cost", "--part", name, *common) for name in ("whole", "adapters")}


def _part(name: str, policy: Path, num_steps: int) -> dict[str, float]:
    """Save the policy, or train it and say what that took."""
    from tests.benchmarks.align_step import save_pipeline

    if name == "save":
        save_pipeline(policy, **_LARGE)
        return {}
    return _trained(policy, num_steps, is_adapted=name == "adapters")


def _trained(policy: Path, num_steps: int, *, is_adapted: bool) -> dict[str, float]:
    import torch

    from actors.trainers.batches import Batches, Shard
    from actors.trainers.diffusion import DiffusionDPO
    from actors.trainers.loop import FitPlan, Progress, train_steps
    from actors.trainers.zero import ZeroEngine
    from factory.alignment.losses import Objective
    from schemas.recipe import Lora, Training
    from tests.benchmarks.align_step import some_pairs
    from tests.group_of_one import group_of_one, worker_environment

    torch.set_num_threads(1)
    training = Training(num_steps=num_steps, batch_size=1, learning_rate=1e-5)
    lora = Lora(rank=8) if is_adapted else None
    task = DiffusionDPO(str(policy), Objective(1000.0), lora=lora)
    shards = {"pairs": Shard([some_pairs("image_generation")], "pair_id")}
    batches = Batches(shards, task.shares, training.batch_size, 0)
    plan = FitPlan(task, training, 0, checkpoint_every=num_steps)
    with worker_environment(), group_of_one():
        before = _peak()
        learner = task.build(torch.device("cpu"), torch.float32)
        engine = ZeroEngine(learner.module, training)
        for _ in train_steps(engine, learner, batches, plan, Progress(), rank=0):
            pass
    num_weights = sum(one.numel() for one in learner.module.parameters())
    return {"mb": _peak(), "mb_before": before, "num_weights": num_weights}


def _peak() -> float:
    """The most resident memory that this process ever had, in MB; Linux counts in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _MB


if __name__ == "__main__":
    main()
