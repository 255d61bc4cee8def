"""A tally of what the stages of one pipeline have done: rows, failures, busy seconds.

One small actor counts for all workers of a run. Stages tell it without waiting for an answer, so
counting costs them nothing, and the final line of a job can say where the time went.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray


@dataclass
class StageTally:
    """What one stage has done; `busy_s` is the sum of all its actors' working seconds."""

    num_rows: int = 0
    num_failed: int = 0
    busy_s: float = 0.0


class _Tally:
    def __init__(self) -> None:
        self.stages: dict[str, StageTally] = {}

    def add(self, stage: str, num_rows: int, num_failed: int, busy_s: float) -> None:
        tally = self.stages.setdefault(stage, StageTally())
        tally.num_rows += num_rows
        tally.num_failed += num_failed
        tally.busy_s += busy_s

    def read(self) -> dict[str, StageTally]:
        return self.stages


class TallyHandle:
    """A handle that travels to the stages."""

    def __init__(self) -> None:
        self.actor: Any = ray.remote(num_cpus=0)(_Tally).remote()

    @contextmanager
    def busy(self, stage: str) -> Iterator[StageTally]:
        """Time a piece of work; the caller fills in its rows and failures."""
        piece = StageTally()
        began = time.perf_counter()
        yield piece
        piece.busy_s = time.perf_counter() - began
        self.actor.add.remote(stage, piece.num_rows, piece.num_failed, piece.busy_s)

    def read(self) -> dict[str, StageTally]:
        return dict(ray.get(self.actor.read.remote()))
