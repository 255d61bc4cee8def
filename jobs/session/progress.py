"""How far a pipeline is: rows, rows a second, time left, share of invalid rows.

A thread asks the run's tally once a second and passes what it says to the run's log. On a terminal
the figures move in one line; elsewhere a line is printed every half minute.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from actors.tally import StageTally, TallyHandle
from jobs.session.run_log import note

_POLL_S = 1.0
_LINE_S = 30.0
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class State:
    """Where a pipeline is.

    num_rows: written or about to be, of `total`.
    num_invalid: rows that came to nothing, in any stage.
    seconds: since the first piece of work.
    """

    total: int
    num_rows: int = 0
    num_invalid: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, total: int, stages: Mapping[str, StageTally], now: float) -> State:
        if not stages:
            return cls(total)
        last = min(one.num_rows for one in stages.values())
        return cls(
            total,
            min(last, total),
            sum(one.num_failed for one in stages.values()),
            max(now - min(one.began for one in stages.values()), 0.0),
        )

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.num_rows / self.seconds if self.seconds else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds until all rows are done, at this rate; None where nothing is done yet."""
        return (self.total - self.num_rows) / self.rate if self.rate else None

    def __str__(self) -> str:
        share = self.num_invalid / self.num_rows if self.num_rows else 0.0
        left = "?" if self.left_s is None else _clock(self.left_s)
        return (
            f"{self.num_rows} of {self.total} rows, {self.rate:.2f} rows/s, {left} left, "
            f"{share:.1%} invalid"
        )

    def figures(self) -> dict[str, Any]:
        return {
            "rows": self.num_rows,
            "of": self.total,
            "rows_per_s": round(self.rate, 3),
            "left_s": None if self.left_s is None else round(self.left_s),
            "invalid": self.num_invalid,
        }


def _clock(seconds: float) -> str:
    minutes, hours = round(seconds) // 60, round(seconds) // 3600
    if hours:
        return f"{hours} h {minutes % 60:02d} min"
    return f"{minutes} min {round(seconds) % 60:02d} s" if minutes else f"{round(seconds)} s"


@contextmanager
def shown(address: str, total: int, tally: TallyHandle, stage: str | None = None) -> Iterator[None]:
    """Show the progress of a pipeline and log its events while the block runs.

    Args:
        address: of what is made.
        total: rows to make.
        tally: of its stages.
        stage: whose rows are counted; where None, rows that every stage has done.
    """
    with _display(address, total) as show:
        watch = _Watch(address, total, tally, show, stage)
        thread = threading.Thread(target=watch.run, daemon=True, name="progress")
        thread.start()
        try:
            yield
        finally:
            watch.is_over.set()
            thread.join()
            watch.look()  # what came since


class _Watch:
    def __init__(
        self, address: str, total: int, tally: TallyHandle, show: Any, stage: str | None
    ) -> None:
        self.address, self.total, self.tally, self.show = address, total, tally, show
        self.stage = stage
        self.is_over = threading.Event()
        self.said = time.monotonic()

    def run(self) -> None:
        while not self.is_over.wait(_POLL_S):
            self.look()

    def look(self) -> None:
        try:
            stages, events = self.tally.drain(_TIMEOUT_S)
        except Exception:  # progress is no reason to lose a run
            return
        for event in events:
            fields = {key: value for key, value in event.items() if key not in ("event", "time")}
            note(event["event"], at=event["time"], stage=self.address, **fields)
        if self.stage is not None:
            stages = {name: one for name, one in stages.items() if name == self.stage}
        state = State.of(self.total, stages, time.time())
        is_time = time.monotonic() - self.said >= _LINE_S
        if is_time:
            self.said = time.monotonic()
            step: dict[str, Any] = {} if self.stage is None else {"in": self.stage}
            note("progress", stage=self.address, **step, **state.figures())
        self.show(state, is_time)


@contextmanager
def _display(address: str, total: int) -> Iterator[Any]:
    """Gives a function of (state, whether a line is due)."""
    if not sys.stderr.isatty():

        def say(state: State, is_due: bool) -> None:
            if is_due:
                print(f"{address}: {state}", flush=True)

        yield say
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(address, total=total, text="starting")

        def move(state: State, is_due: bool) -> None:
            bar.update(task, completed=state.num_rows, text=str(state))

        yield move
