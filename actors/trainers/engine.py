"""Ray Train around the training loop: workers, rows, checkpoints, and the finished model.

    fit (driver) -> TorchTrainer -> each worker: rows of Ray Data, a learner, a DeepSpeed engine
                 -> points of the curves, checkpoints, and the model that the first worker writes

A killed worker resumes from the last checkpoint. So does a killed driver that calls `fit` again
with the same name, storage, task, seed, and identity of the training section. With one worker in
float32 the same seed gives the same weights.

Checkpoints are DeepSpeed's own files, which are pickles: they belong to one unfinished run, are
read by no other, and are deleted when it ends. The model is written by the learner.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
import ray.data
import ray.train
import ray.train.torch
import torch

from actors.tally import TallyHandle
from actors.trainers.batches import Batches, Shard, in_order, split_batch
from actors.trainers.learning import Prepares, TrainTask
from actors.trainers.loop import FitPlan, Point, Progress, train_steps
from actors.trainers.samples import Looks, Samples
from actors.trainers.telling import Teller
from actors.trainers.zero import DTYPES, ZeroEngine, micro_batch_size
from schemas.identity import identity
from schemas.recipe import Training
from schemas.rows import content_id, seed_of

#: The folder of the finished model in the last checkpoint.
_MODEL = "model"
#: What stands before the name of a data set that is not learned from.
_KEPT_OUT = "kept out: "


@dataclass(frozen=True)
class FitResult:
    """A finished training run.

    directory: the model, as the learner saved it.
    points: the curves.
    seconds: spent in steps, without starting up, loading and saving.
    """

    directory: Path
    points: list[Point]
    seconds: float


def fit(
    task: TrainTask,
    training: Training,
    datasets: Mapping[str, ray.data.Dataset],
    *,
    output: Path,
    run_name: str,
    storage_path: str | Path,
    storage_filesystem: Any = None,
    seed: int,
    on_report: Callable[[Point], None] | None = None,
    checkpoint_every: int | None = None,
    max_failures: int = 2,
    samples: Samples | None = None,
    kept_out: Mapping[str, ray.data.Dataset] | None = None,
    tally: TallyHandle | None = None,
) -> FitResult:
    """Train `task` on the running Ray cluster and write the model to `output`.

    Args:
        task: what to train.
        training: how long, how fast, on how many workers.
        datasets: by the names in `task.shares`; each has the column `task.key`.
        output: directory for the model, which the driver writes.
        run_name: names the run within the storage. Only the same task, training section and seed
            continue a run; whether the rows are the same is the caller's to know.
        storage_path: for checkpoints: a directory that all workers share, or a URI.
        storage_filesystem: Arrow's, on which that path lies, where it is not the local one.
        seed: of batches, noise and dropout.
        on_report: called with each point as it comes, in Ray Train's controller process: it must
            pickle, and after a restart it sees some points again.
        checkpoint_every: optimiser steps; three times in a run where not given.
        max_failures: restarts before the run is given up.
        samples: what the policy draws or answers on the way; nothing where not given.
        kept_out: for early stopping, rows of the same names that are not learned from.
        tally: told how far the training is; nobody where not given.

    Raises:
        ValueError: shares and data sets that do not fit together, or a batch that does not divide.
        ray.train.TrainingFailedError: workers failed more often than `max_failures`.
    """
    if set(datasets) != set(task.shares):
        raise ValueError(f"data sets {sorted(datasets)}, but the task reads {sorted(task.shares)}")
    if (training.early_stopping is None) != (not kept_out):
        raise ValueError("early stopping and rows that are kept out for it go together")
    split_batch(micro_batch_size(training), task.shares)  # refuse what workers would refuse
    plan = FitPlan(task, training, seed, checkpoint_every or math.ceil(training.num_steps / 4))
    with _settings():
        result = ray.train.torch.TorchTrainer(
            _work,
            train_loop_config={"plan": plan, "samples": samples, "tally": tally},
            datasets={
                **datasets,
                **{_KEPT_OUT + name: rows for name, rows in (kept_out or {}).items()},
            },
            dataset_config=_data_config(training.num_workers),
            scaling_config=ray.train.ScalingConfig(
                num_workers=training.num_workers,
                use_gpu=training.use_gpu,
                resources_per_worker={"CPU": training.cpus_per_worker}
                | ({"GPU": 1} if training.use_gpu else {}),
            ),
            run_config=ray.train.RunConfig(
                # Ray continues any run of the same name, so the name tells different work apart.
                name=f"{run_name}-{content_id(repr(task), identity(training), seed)}",
                storage_path=storage_path if storage_filesystem else _absolute(storage_path),
                storage_filesystem=storage_filesystem,
                failure_config=ray.train.FailureConfig(max_failures=max_failures),
                checkpoint_config=ray.train.CheckpointConfig(num_to_keep=1),
                callbacks=[_Reporter(on_report)] if on_report else [],
            ),
        ).fit()
    with result.checkpoint.as_directory() as directory:
        progress = Progress.read(Path(directory))
        shutil.copytree(Path(directory) / _MODEL, output, dirs_exist_ok=True)
    result.filesystem.delete_dir(result.path)
    return FitResult(output, progress.points, progress.seconds)


def _absolute(path: str | Path) -> str:
    """Ray takes URIs and absolute paths."""
    return str(path) if "://" in str(path) else str(Path(path).absolute())


class _Reporter(ray.train.UserCallback):
    """Passes the first worker's points on; they are means over all workers already."""

    def __init__(self, on_report: Callable[[Point], None]) -> None:
        self._on_report = on_report

    def after_report(self, run_context: Any, metrics: list[Point], checkpoint: Any) -> None:
        if metrics[0]:  # the report of the model has none
            self._on_report(metrics[0])


@contextmanager
def _settings() -> Iterator[None]:
    """Ray Train's settings that are environment variables; what the user has set stays."""
    wanted = {
        # The controller looks at its workers this often, in seconds. A worker waits for it at each
        # report and at the end, and the default of 2 s is long beside a short run.
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",
        # Workers stay in the driver's directory, so that a recipe's relative paths mean the same.
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
    }
    if len(ray.nodes()) == 1:
        # One more process, which watches for nodes that are about to be taken away.
        wanted["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = "0"
    missing = {key: value for key, value in wanted.items() if key not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for key in missing:
            del os.environ[key]


def _data_config(num_workers: int) -> ray.train.DataConfig:
    """One worker reads everything itself; several are dealt equal shares in a fixed order, and the
    few rows that do not divide are left out.
    """
    if num_workers == 1:
        return ray.train.DataConfig(datasets_to_split=[])
    options = ray.train.DataConfig.default_ingest_options()
    options.preserve_order = True
    return ray.train.DataConfig(execution_options=options)


def _work(config: dict[str, Any]) -> None:
    """The life of one worker."""
    plan: FitPlan = config["plan"]
    samples: Samples | None = config["samples"]
    is_first = ray.train.get_context().get_world_rank() == 0
    teller = Teller(config["tally"] if is_first else None)
    logging.getLogger("ray.train").setLevel(logging.WARNING)  # else a line for each report
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return _train(plan, Progress(), None, samples, teller)
    with checkpoint.as_directory() as directory:
        progress = Progress.read(Path(directory))
        if not progress.is_done:  # else the driver was killed before it took the model home
            _train(plan, progress, Path(directory), samples, teller)


def _train(
    plan: FitPlan,
    progress: Progress,
    checkpoint: Path | None,
    samples: Samples | None,
    teller: Teller,
) -> None:
    task, training, rank = plan.task, plan.training, ray.train.get_context().get_world_rank()
    device = ray.train.torch.get_device()
    if device.type == "cpu":
        torch.set_num_threads(max(1, int(training.cpus_per_worker)))
    teller.doing("loading the model and its rows")
    with ThreadPoolExecutor(1) as pool:  # rows come from other processes while weights load
        shards = pool.submit(_read_shards, plan)
        kept_out = pool.submit(_read_kept_out, plan)
        learner = task.build(device, DTYPES[training.precision])
        engine = ZeroEngine(learner.module, training)
        size = micro_batch_size(training)
        batches = Batches(shards.result(), task.shares, size, seed_of(plan.seed, rank))
        looks: list[dict[str, pa.Table]] = []
        if training.early_stopping is not None:
            looks = Batches(kept_out.result(), task.shares, size, plan.seed).one_epoch()
    if isinstance(learner, Prepares):
        teller.doing("asking the untouched model about its rows")
        rows = (in_order(one.result(), size) for one in (shards, kept_out))
        learner.prepare(engine.model, chain.from_iterable(rows))
    viewer = None
    if samples is not None and (rank == 0 or training.zero_stage == 3):
        teller.doing("asking the untouched model for samples")
        viewer = Looks(samples, learner, is_writer=rank == 0)
    if checkpoint is not None:
        engine.load(checkpoint)
    looked = progress.step
    teller.begin(progress.step)
    # Ray waits until every worker has reported, so every worker makes the same reports.
    for point in train_steps(engine, learner, batches, plan, progress, rank, looks, teller):
        with tempfile.TemporaryDirectory() as directory:
            if plan.is_checkpoint(progress.step):
                engine.save(Path(directory))  # each worker writes its part
                if rank == 0:
                    progress.write(Path(directory))
                ray.train.report(point, ray.train.Checkpoint(directory))
            else:
                ray.train.report(point)
        if viewer is not None:
            viewer.look(looked, progress.step)
            looked = progress.step
    teller.doing("writing the model")
    engine.restore_full_weights(is_saver=rank == 0)
    with tempfile.TemporaryDirectory() as directory:
        if rank == 0:
            learner.save(Path(directory) / _MODEL)
            progress.is_done = True
            progress.write(Path(directory))
        ray.train.report({}, ray.train.Checkpoint(directory) if rank == 0 else None)


def _read_kept_out(plan: FitPlan) -> dict[str, Shard]:
    """This worker's rows that are not learned from; none without early stopping."""
    return {} if plan.training.early_stopping is None else _read_shards(plan, _KEPT_OUT)


def _read_shards(plan: FitPlan, prefix: str = "") -> dict[str, Shard]:
    """This worker's rows, of the data sets whose names have this prefix."""
    return {
        name: Shard(
            ray.train.get_dataset_shard(prefix + name).iter_batches(
                batch_size=None, batch_format="pyarrow"
            ),
            plan.task.key,
        )
        for name in plan.task.shares
    }
