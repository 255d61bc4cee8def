"""The steps of a training run, the same on every worker.

Everything here is a pure function of seed and step: which rows a micro-batch holds, which noise it
draws, the learning rate. So a run that goes on from a checkpoint goes on as if it had never
stopped. This file knows neither Ray nor where checkpoints are kept; see `engine`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import torch
from torch import Tensor

from actors.trainers.batches import Batches
from actors.trainers.learning import Learner, TrainTask
from actors.trainers.zero import ZeroEngine, learning_rate
from schemas.recipe import Training
from schemas.rows import seed_of

if TYPE_CHECKING:
    from actors.trainers.telling import Teller  # sends by Ray

#: One point of the curves: "step" (optimiser steps done), "loss", "learning_rate", "grad_norm"
#: (before clipping) and the learner's own scalars: means over the steps since the point before and
#: over all workers.
Point = dict[str, float]

_FILE = "progress.json"


@dataclass(frozen=True)
class FitPlan:
    """What every worker is told."""

    task: TrainTask
    training: Training
    seed: int
    checkpoint_every: int  # optimiser steps

    def closes_window(self, step: int) -> bool:
        """Whether a point of the curves follows this step. It does at a checkpoint, so that the
        means of a resumed run are those of an undisturbed one.
        """
        is_last = step == self.training.num_steps
        is_due = step % self.training.log_every == 0
        return is_last or is_due or self.is_checkpoint(step) or self.is_look(step)

    def is_look(self, step: int) -> bool:
        """Whether the rows kept out are looked at after this step."""
        stopping = self.training.early_stopping
        return stopping is not None and (
            step == self.training.num_steps or step % stopping.every == 0
        )

    def is_checkpoint(self, step: int) -> bool:
        """Whether a checkpoint follows this step; after the last one comes the model itself."""
        return step % self.checkpoint_every == 0 and step < self.training.num_steps


@dataclass
class Progress:
    """How far a run is; stored in every checkpoint.

    seconds: spent in steps, over all attempts.
    is_done: whether the model is written.
    best_loss: the lowest on the rows kept out; None before the first look.
    num_worse: looks since then.
    """

    step: int = 0
    points: list[Point] = field(default_factory=list)
    seconds: float = 0.0
    is_done: bool = False
    best_loss: float | None = None
    num_worse: int = 0

    @classmethod
    def read(cls, directory: Path) -> Progress:
        return cls(**json.loads((directory / _FILE).read_text()))

    def write(self, directory: Path) -> None:
        (directory / _FILE).write_text(json.dumps(asdict(self)))


def train_steps(
    engine: ZeroEngine,
    learner: Learner,
    batches: Batches,
    plan: FitPlan,
    progress: Progress,
    rank: int,
    kept_out: Sequence[Mapping[str, pa.Table]] = (),
    teller: Teller | None = None,
) -> Iterator[Point]:
    """Train from `progress.step` to the end; yields each new point, which is then in `progress`.

    The end is the last step, or with early stopping the look at which patience ends. Points of
    looks have "validation_loss", the mean loss of a micro-batch of `kept_out`. The teller hears of
    each step.

    Raises:
        FloatingPointError: the loss or the gradient is not a finite number.
    """
    training = plan.training
    window = _Window()
    began = time.monotonic()
    while progress.step < training.num_steps and not _is_out_of_patience(progress, training):
        rate = learning_rate(training, progress.step)
        for part in range(training.accumulation_steps):
            micro_batch = progress.step * training.accumulation_steps + part
            torch.manual_seed(seed_of("noise", plan.seed, rank, micro_batch))
            loss, scalars = learner.loss(engine.model, learner.collate(batches[micro_batch]))
            engine.backward(loss)
            window.add({"loss": loss, **scalars})
        window.add({"grad_norm": engine.step(rate)})
        progress.step += 1
        if teller is not None:
            teller.step(progress.step, window.mean_loss)
        if plan.closes_window(progress.step):
            point = {"step": float(progress.step), **window.close(), "learning_rate": rate}
            if plan.is_look(progress.step):
                point["validation_loss"] = _look(engine, learner, kept_out, plan.seed, rank)
                _note(engine, progress, point["validation_loss"])
            if not math.isfinite(point["loss"] + point["grad_norm"]):
                raise FloatingPointError(f"training diverged: {point}")
            if teller is not None:
                teller.point(point, progress.num_worse)
            progress.points.append(point)
            progress.seconds += time.monotonic() - began
            yield point
            began = time.monotonic()


def _is_out_of_patience(progress: Progress, training: Training) -> bool:
    stopping = training.early_stopping
    return stopping is not None and progress.num_worse >= stopping.patience


def _look(
    engine: ZeroEngine,
    learner: Learner,
    kept_out: Sequence[Mapping[str, pa.Table]],
    seed: int,
    rank: int,
) -> float:
    """The mean loss over the micro-batches kept out, of all workers; with the same noise each time.

    Each data set counts as in a batch of training, since each micro-batch here has all of them.
    """
    losses = _Window()
    with engine.looking():
        for part, rows in enumerate(kept_out):
            torch.manual_seed(seed_of("look", seed, rank, part))
            loss, _ = learner.loss(engine.model, learner.collate(rows))
            losses.add({"loss": loss})
    return losses.close()["loss"]


def _note(engine: ZeroEngine, progress: Progress, loss: float) -> None:
    """Take down whether this look was the best, and keep the weights if it was."""
    if progress.best_loss is None or loss < progress.best_loss:
        progress.best_loss, progress.num_worse = loss, 0
        engine.keep_best()
    else:
        progress.num_worse += 1


class _Window:
    """Means of scalars; they stay on the device until the window closes, so no step waits."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, scalars: Mapping[str, Tensor | float]) -> None:
        for name, value in scalars.items():
            value = torch.as_tensor(value).detach().float()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def mean_loss(self) -> float:
        """Of this worker, so far; waits for the device."""
        return float(self._sums["loss"] / self._counts["loss"])

    def close(self) -> Point:
        """The means over the window and over all workers, which must all have the same names."""
        device = self._sums["loss"].device
        means = torch.stack(
            [self._sums[name].to(device) / self._counts[name] for name in self._sums]
        )
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(means)
            means /= torch.distributed.get_world_size()
        point = dict(zip(self._sums, means.tolist(), strict=True))
        self._sums, self._counts = {}, {}
        return point
