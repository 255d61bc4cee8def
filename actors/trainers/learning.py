"""What is trained, in two halves: a task that travels and a learner that stays.

A `TrainTask` is a small frozen dataclass: paths and numbers, made on the driver, sent to every
worker, printed into records. `build` loads what it names and gives a `Learner`, which lives and
dies with one worker and holds the weights. The loop in `engine` knows only these two; it knows no
preference theory, and a learner knows no Ray, no DeepSpeed and no other worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa
import torch
from torch import Tensor, nn

#: The module as the loop hands it to `Learner.loss`: call it exactly as you would call the module.
#: It is not the module itself, because gradients are reduced and sharded around the call.
Forward = Callable[..., Any]


class Learner(Protocol):
    """The weights of one worker, and what to do with a batch."""

    @property
    def module(self) -> nn.Module:
        """What is trained: its parameters with `requires_grad`, which are moved and sharded as the
        recipe says. Frozen helpers (a reference, an autoencoder) stay outside of it.
        """

    def collate(self, rows: Mapping[str, pa.Table]) -> Any:
        """The rows of one micro-batch, by the name of their data set, as tensors on the device.

        Called once for each micro-batch; what is worth keeping between epochs, the learner keeps.
        """

    def loss(self, model: Forward, batch: Any) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The scalar loss of a micro-batch, with gradient, and scalars to plot, without.

        Draw random numbers from torch's global generators. The loop seeds them for each
        micro-batch, so noise and dropout depend on seed, step and worker, and a run that was
        killed and resumed draws what an undisturbed run draws.
        """

    def save(self, directory: Path) -> None:
        """Write the trained model in its ecosystem's own format.

        Called once at the end, on one worker, when `module` holds the full weights in float32 on
        the CPU, whatever precision and sharding it was trained in.
        """


@runtime_checkable
class Prepares(Protocol):
    """A learner that wants to ask the untouched model something about its rows."""

    def prepare(self, model: Forward, rows: Iterable[Mapping[str, pa.Table]]) -> None:
        """Called once, with all rows of this worker in micro-batches of one data set each, before
        the first step. A run that goes on from a checkpoint calls it too, before the weights of the
        checkpoint are loaded: it sees the weights that `build` loaded.
        """


class TrainTask(Protocol):
    """A frozen dataclass that says what to train. It must pickle, and its repr must say it all:
    two runs are the same work if their tasks print the same.
    """

    @property
    def shares(self) -> Mapping[str, float]:
        """The data sets, by name, and the share of each in every batch; shares sum to 1."""

    @property
    def key(self) -> str:
        """The column by which rows are put in order before any is drawn: an id, unique in a data
        set. Ray Data promises no order, and equal seeds must mean equal batches.
        """

    def build(self, device: torch.device, dtype: torch.dtype) -> Learner:
        """Load the weights. `dtype` is the precision of the forward pass: the loop casts `module`
        to it, so frozen helpers that share its activations should be loaded in it.
        """
