"""What a training's first worker tells the run's tally: what it does, its step, its loss.

Nothing is waited for, and a step costs a look at the clock: once a second, and at a point of the
curves, the loss is read from the device and a message is sent. Whatever goes wrong here is left
untold, since it must not cost the training.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from actors.tally import TallyHandle, TrainingTally

_EVERY_S = 1.0


class Teller:
    """Tells about the training of one worker; nothing, where there is no tally."""

    def __init__(self, tally: TallyHandle | None) -> None:
        self._tally = tally
        self._training = TrainingTally()
        #: The first step made here, which compiles and fills caches, and when it ended.
        self._first: tuple[int, float] | None = None
        self._told = -math.inf
        if tally is not None:
            with suppress(Exception):
                tally.actor.begin_training.remote()

    def doing(self, what: str) -> None:
        """Say what is done beside steps."""
        self._tell(replace(self._training, doing=what))

    def begin(self, step: int) -> None:
        """Say that steps begin; where the training goes on, after `step` of them."""
        self._tell(
            replace(self._training, doing="", step=step), "training_resumed" if step else None
        )

    def step(self, step: int, loss: Callable[[], float]) -> None:
        """Say that a step was made, where it is time to; only then is `loss` called."""
        now = time.monotonic()
        if self._first is None:
            self._first = (step, now)
        if self._tally is not None and now - self._told >= _EVERY_S:
            self._reach(step, loss(), now)

    def point(self, point: Mapping[str, float], num_worse: int) -> None:
        """Say that a step was made after which the curves have a point.

        Args:
            point: of the curves; with "validation_loss" where the rows kept out were looked at.
            num_worse: looks since the best.
        """
        step, loss, now = int(point["step"]), point["loss"], time.monotonic()
        if "validation_loss" in point:
            look = {"validation_loss": point["validation_loss"], "num_worse": num_worse}
            self._reach(step, loss, now, "early_stopping_look", **look)
        else:
            self._reach(step, loss, now)

    def _reach(
        self, step: int, loss: float, now: float, event: str | None = None, **more: object
    ) -> None:
        first, began = self._first or (step, now)
        self._tell(TrainingTally("", step, loss, step - first, now - began), event, **more)

    def _tell(self, training: TrainingTally, event: str | None = None, **more: object) -> None:
        self._training, self._told = training, time.monotonic()
        if self._tally is not None:
            with suppress(Exception):
                self._tally.actor.tell.remote(training, event, **more)
