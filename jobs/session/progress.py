"""How far a run is. A pipeline: rows, rows a second, time left, share of invalid rows. A training:
steps, loss, time left.

A thread asks the run's tally once a second and passes what it says to the run's log. On a terminal
the figures move in one line; elsewhere a line is printed every half minute, and where a training
turns from one thing to the next.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from actors.tally import Event, StepTally, TallyHandle, TrainingTally
from jobs.session.run_log import note
from schemas.recipe import Training

_POLL_S = 1.0
_LINE_S = 30.0
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class State:
    """Where a pipeline is.

    num_rows: written or about to be, of `total`.
    num_invalid: rows that came to nothing, in any step.
    seconds: since the first piece of work.
    lost: by generator, rows of which it alone made nothing.
    """

    total: int
    num_rows: int = 0
    num_invalid: int = 0
    seconds: float = 0.0
    lost: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, total: int, steps: Mapping[str, StepTally], now: float) -> State:
        if not steps:
            return cls(total)
        last = min(one.num_rows for one in steps.values())
        return cls(
            total,
            min(last, total),
            sum(one.num_failed for one in steps.values()),
            max(now - min(one.began for one in steps.values()), 0.0),
            {name: num for one in steps.values() for name, (num, _) in one.lost.items()},
        )

    @property
    def turn(self) -> str:
        """What it is at: nothing else than its rows."""
        return ""

    @property
    def done(self) -> int:
        """Of the total."""
        return self.num_rows

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
        ) + "".join(f"; {name} made nothing of {num}" for name, num in sorted(self.lost.items()))

    def figures(self) -> dict[str, Any]:
        return {
            "rows": self.num_rows,
            "of": self.total,
            "rows_per_s": round(self.rate, 3),
            "left_s": None if self.left_s is None else round(self.left_s),
            "invalid": self.num_invalid,
            **({"lost": dict(self.lost)} if self.lost else {}),
        }


@dataclass(frozen=True)
class Steps:
    """Where a training is.

    total: its steps, if it does not stop early.
    told: by its first worker.
    """

    total: int
    told: TrainingTally

    @property
    def turn(self) -> str:
        """What it is at: first steps, whose speed is not known, steps, or something else."""
        return self.told.doing or ("first steps" if self.left_s is None else "steps")

    @property
    def done(self) -> int:
        """Of the total."""
        return self.told.step

    @property
    def left_s(self) -> float | None:
        """Seconds until the last step, at the speed so far; None where no step was timed."""
        if not self.told.num_timed:
            return None
        return (self.total - self.done) * self.told.seconds / self.told.num_timed

    def __str__(self) -> str:
        step = f"step {self.done} of {self.total}"
        if self.told.loss is None:
            return self.told.doing or step
        step = f"{step}, loss {self.told.loss:.4g}"
        if self.told.doing:
            return f"{step}; {self.told.doing}"
        return f"{step}, {'?' if self.left_s is None else _clock(self.left_s)} left"

    def figures(self) -> dict[str, Any]:
        return {
            "step": self.done,
            "of": self.total,
            "loss": None if self.told.loss is None else float(f"{self.told.loss:.6g}"),
            "left_s": None if self.left_s is None else round(self.left_s),
            **({"doing": self.told.doing} if self.told.doing else {}),
        }


def sentence(event: Event) -> str | None:
    """What is said of an event beside the figures; None for what only the log keeps."""
    if event["event"] == "training_resumed":
        return f"goes on after step {event['step']}"
    if event["event"] == "early_stopping_look":
        worse = event["num_worse"]
        since = f"{worse} look(s) since the lowest" if worse else "the lowest so far"
        return (
            f"step {event['step']}: loss {event['validation_loss']:.4g} on rows kept out, {since}"
        )
    return None


def _clock(seconds: float) -> str:
    minutes, hours = round(seconds) // 60, round(seconds) // 3600
    if hours:
        return f"{hours} h {minutes % 60:02d} min"
    return f"{minutes} min {round(seconds) % 60:02d} s" if minutes else f"{round(seconds)} s"


@contextmanager
def shown(address: str, total: int, tally: TallyHandle, step: str | None = None) -> Iterator[None]:
    """Show the progress of a pipeline and log its events while the block runs.

    Args:
        address: of what is made.
        total: rows to make.
        tally: of its steps.
        step: whose rows are counted; where None, rows that every step has done.
    """

    def state(steps: Mapping[str, StepTally], training: TrainingTally | None) -> State:
        if step is not None:
            steps = {name: done for name, done in steps.items() if name == step}
        return State.of(total, steps, time.time())

    with _watching(address, total, tally, state, {} if step is None else {"in": step}):
        yield


@contextmanager
def training_shown(address: str, training: Training, tally: TallyHandle) -> Iterator[None]:
    """Show the progress of a training and log its events while the block runs.

    Args:
        address: of the model that is made.
        training: its section of the recipe.
        tally: that its first worker tells.
    """
    start = TrainingTally(f"waiting for {training.num_workers} worker(s)")

    def state(steps: Mapping[str, StepTally], told: TrainingTally | None) -> Steps:
        return Steps(training.num_steps, told or start)

    with _watching(address, training.num_steps, tally, state, {}):
        yield


#: What is shown, from the numbers of the steps and from what a training's worker told.
_Reads = Callable[[Mapping[str, StepTally], TrainingTally | None], State | Steps]


@contextmanager
def _watching(
    address: str, total: int, tally: TallyHandle, reads: _Reads, fields: Mapping[str, Any]
) -> Iterator[None]:
    with _display(address, total) as display:
        watch = _Watch(address, tally, reads, fields, display)
        thread = threading.Thread(target=watch.run, daemon=True, name="progress")
        thread.start()
        try:
            yield
        finally:
            watch.is_over.set()
            thread.join()
            watch.look()  # what came since


class _Watch:
    """Asks a tally, and passes on what it says; `fields` belong to each line of the log."""

    def __init__(
        self,
        address: str,
        tally: TallyHandle,
        reads: _Reads,
        fields: Mapping[str, Any],
        display: _Display,
    ) -> None:
        self.address, self.tally, self.reads = address, tally, reads
        self.fields, self.display = fields, display
        self.is_over = threading.Event()
        self.said, self.turn = time.monotonic(), ""

    def run(self) -> None:
        while not self.is_over.wait(_POLL_S):
            self.look()

    def look(self) -> None:
        try:
            steps, events, training = self.tally.drain(_TIMEOUT_S)
        except Exception:  # progress is no reason to lose a run
            return
        for event in events:
            fields = {key: value for key, value in event.items() if key not in ("event", "time")}
            note(event["event"], at=event["time"], stage=self.address, **fields)
            if (said := sentence(event)) is not None:
                self.display.say(said)
        state = self.reads(steps, training)
        is_time = state.turn != self.turn or time.monotonic() - self.said >= _LINE_S
        if is_time:
            self.said, self.turn = time.monotonic(), state.turn
            note("progress", stage=self.address, **self.fields, **state.figures())
        self.display.show(state, is_time)


class _Display:
    """Lines on the output."""

    def __init__(self, address: str) -> None:
        self.address = address

    def say(self, sentence: str) -> None:
        print(f"{self.address}: {sentence}", flush=True)

    def show(self, state: State | Steps, is_due: bool) -> None:
        if is_due:
            self.say(str(state))


class _Bar(_Display):
    """One line that moves, with sentences above it."""

    def __init__(self, address: str, bar: Any, task: Any) -> None:
        super().__init__(address)
        self.bar, self.task = bar, task

    def say(self, sentence: str) -> None:
        self.bar.console.print(f"{self.address}: {sentence}", markup=False, highlight=False)

    def show(self, state: State | Steps, is_due: bool) -> None:
        self.bar.update(self.task, completed=state.done, text=str(state))


@contextmanager
def _display(address: str, total: int) -> Iterator[_Display]:
    if not sys.stderr.isatty():
        yield _Display(address)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Bar(address, bar, bar.add_task(address, total=total, text="starting"))
