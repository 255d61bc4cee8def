"""A tally of what the stages of one pipeline have done: rows, failures, and where the time went.

One small actor counts for all workers of a run. It also decides when too many rows have failed to
go on: a run that cannot work should not pay for all its rows to find out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import ray

#: Rows of a stage before its share of failures is looked at.
MIN_ROWS = 32
_NUM_EXAMPLES = 5


class TooManyFailuresError(ValueError):
    """More rows have failed than the recipe allows; the message says how many and why."""


@dataclass
class StageTally:
    """What one stage has done.

    busy_s: working seconds, summed over its actors.
    model_s: those of them spent in the models themselves.
    began, ended: of the first and last piece of work, in seconds of the clock.
    examples: (row id, error) of the first failures.
    """

    num_rows: int = 0
    num_failed: int = 0
    busy_s: float = 0.0
    model_s: float = 0.0
    began: float = 0.0
    ended: float = 0.0
    examples: list[tuple[str, str]] = field(default_factory=list)

    @contextmanager
    def model(self) -> Iterator[None]:
        """Time what a model does."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.model_s += time.perf_counter() - began

    def fail(self, row: str, error: str) -> None:
        """Count a row that came to nothing."""
        self.num_failed += 1
        if len(self.examples) < _NUM_EXAMPLES:
            self.examples.append((row, error))


class _Tally:
    def __init__(self, max_failed_share: float) -> None:
        self.max_failed_share = max_failed_share
        self.stages: dict[str, StageTally] = {}
        self.stopped: str | None = None

    def add(self, stage: str, piece: StageTally) -> None:
        at = self.stages.setdefault(stage, StageTally(began=piece.began))
        at.num_rows += piece.num_rows
        at.num_failed += piece.num_failed
        at.busy_s += piece.busy_s
        at.model_s += piece.model_s
        at.began = min(at.began, piece.began)
        at.ended = max(at.ended, piece.ended)
        at.examples = (at.examples + piece.examples)[:_NUM_EXAMPLES]
        if at.num_rows >= MIN_ROWS and at.num_failed > self.max_failed_share * at.num_rows:
            causes = "; ".join(f"row {row}: {error}" for row, error in at.examples[:3])
            self.stopped = (
                f"{at.num_failed} of {at.num_rows} rows failed in stage {stage!r}, more than "
                f"produce.max_failed_share: {self.max_failed_share:g} allows. {causes}"
            )

    def read(self) -> tuple[dict[str, StageTally], str | None]:
        return self.stages, self.stopped


class TallyHandle:
    """A handle that travels to the stages."""

    def __init__(self, max_failed_share: float = 1.0) -> None:
        self.actor: Any = ray.remote(num_cpus=0)(_Tally).remote(max_failed_share)

    @contextmanager
    def busy(self, stage: str) -> Iterator[StageTally]:
        """Time a piece of work; the caller fills in its rows and failures.

        Raises:
            TooManyFailuresError: earlier pieces failed too often. Asked before the work, so that
                rows that were paid for are still written.
        """
        stopped = self.read_stopped()
        if stopped is not None:
            raise TooManyFailuresError(stopped)
        piece = StageTally(began=time.time())
        start = time.perf_counter()
        yield piece
        piece.busy_s = time.perf_counter() - start
        piece.ended = time.time()
        self.actor.add.remote(stage, piece)

    def read(self) -> dict[str, StageTally]:
        return dict(ray.get(self.actor.read.remote())[0])

    def read_stopped(self) -> str | None:
        """Why the run is to stop, where it is."""
        stopped: str | None = ray.get(self.actor.read.remote())[1]
        return stopped
