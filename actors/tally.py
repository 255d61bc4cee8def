"""A tally of what the steps of one pipeline have done: rows, failures, and where the time went;
and of where a training is.

One small actor counts for all workers of a run. It also decides what no worker can: when too many
rows have failed to go on, and which row is the one that its worker dies of. A worker that is killed
or hangs comes back and does its block again; were a row the cause, it would do so for ever. So a
block that is taken up again is watched row by row, and a row at which workers died repeatedly, or
one at which a model took longer than the recipe's limit, is given up: it is written as invalid. A
model that does not come to the end of loading is tried once more, and then the run ends.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.watch import time_limit

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows of a step before its share of failures is looked at.
MIN_ROWS = 32
#: Workers that die at one row, after one that died somewhere in its block, before it is given up.
MAX_DEATHS = 2
#: Times that a model may hang while it loads before the run ends.
MAX_HUNG_LOADS = 2
#: What the steps of a training are called in events.
TRAIN = "train"
#: The steps that draw and judge.
GENERATE, JUDGE = "generate", "judge"
_NUM_EXAMPLES = 5
_REPORT_S = 30.0  # for the message of a worker that is about to end itself


class TooManyFailuresError(ValueError):
    """More rows have failed than the recipe allows, or a model or a plug-in does not load; the
    message says how many and why.
    """


class GivenUpError(ValueError):
    """A row that is not tried again in this run."""


@dataclass
class StepTally:
    """What one step has done.

    busy_s: working seconds, summed over its actors.
    model_s: those of them spent in the models themselves.
    began, ended: of the first and last piece of work, in seconds of the clock.
    num_made, num_taken: candidates drawn and taken from earlier runs, or replies asked and taken.
    examples: (row id, error) of the first failures.
    lost: by model, how many rows it alone made nothing of, and why for the first of them.
    workers: (began, ended) of each worker process, by its name.
    """

    num_rows: int = 0
    num_failed: int = 0
    num_made: int = 0
    num_taken: int = 0
    busy_s: float = 0.0
    model_s: float = 0.0
    began: float = 0.0
    ended: float = 0.0
    examples: list[tuple[str, str]] = field(default_factory=list)
    lost: dict[str, tuple[int, str]] = field(default_factory=dict)
    workers: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def num_workers(self) -> int:
        """The most workers that there were at one time; a replacement is not one more."""
        edges = sorted(
            edge for began, ended in self.workers.values() for edge in ((began, 1), (ended, -1))
        )
        most = now = 0
        for _, step in edges:
            now += step
            most = max(most, now)
        return most


@dataclass(frozen=True)
class TrainingTally:
    """Where a training is, as its first worker tells it.

    doing: what it does beside its steps: loads, prepares, writes; empty while it makes them.
    step: optimiser steps done.
    loss: the mean since the last point of the curves; None before the first step.
    num_timed, seconds: steps of this worker after its first one, and what they took.
    """

    doing: str = ""
    step: int = 0
    loss: float | None = None
    num_timed: int = 0
    seconds: float = 0.0


#: What became known of a row or a worker, for the run's log: plain values by name.
Event = Mapping[str, Any]
#: Numbers of the steps, events, and where the training is, if it is one.
Drained = tuple[dict[str, StepTally], list[Event], TrainingTally | None]
#: Why the run is to begin no more rows, where it is not, and how many rows are drawn, or about to
#: be, and have not come through the last step.
_State = tuple[str | None, int]
_Key = tuple[str, str]  # step, first row of a block
_Call = tuple[str, str, str]  # step, row, model


@dataclass(frozen=True)
class _Orders:
    """What a worker is told when it takes up a block.

    given_up: why, by (row, model), for those that are not to be tried.
    is_watched: whether an earlier worker died of this block, so that each row must be announced.
    is_calm: whether no block was ever taken up twice and no row given up.
    """

    given_up: Mapping[tuple[str, str], str] = field(default_factory=dict)
    is_watched: bool = False
    is_calm: bool = True


class _Tally:
    """The actor; its methods are called one at a time."""

    def __init__(self, max_failed_share: float) -> None:
        self.max_failed_share = max_failed_share
        self.steps: dict[str, StepTally] = {}
        self.training: TrainingTally | None = None
        self.stopped: str | None = None
        self.events: list[Event] = []
        self.starts: Counter[_Key] = Counter()
        self.now_at: dict[_Key, _Call] = {}
        self.deaths: Counter[_Call] = Counter()
        self.given_up: dict[_Call, str] = {}
        self.is_calm = True
        self.hung_loads: Counter[tuple[str, str]] = Counter()  # by (step, model)
        #: Rows that are drawn, or about to be, and not judged; as ids, since a block whose worker
        #: was lost is drawn again and must not count twice.
        self.waiting: set[str] = set()

    def begin(self, step: str, rows: Sequence[str]) -> _Orders:
        if step == GENERATE:
            self.waiting.update(rows)
        key = (step, rows[0]) if rows else (step, "")
        self.starts[key] += 1
        if self.starts[key] > 1:
            self.is_calm = False
            self._note("worker_lost", step, key[1], times=self.starts[key] - 1)
        call = self.now_at.pop(key, None)
        if call is not None:
            self.deaths[call] += 1
            if self.deaths[call] >= MAX_DEATHS and call not in self.given_up:
                num = self.deaths[call]
                self.give_up(*call, f"its worker died {num + 1} times, {num} of them at this row")
        wanted = set(rows)
        given_up = {
            (row, model): why
            for (at, row, model), why in self.given_up.items()
            if at == step and row in wanted
        }
        return _Orders(given_up, self.starts[key] > 1, self.is_calm)

    def enter(self, step: str, first: str, row: str | None, model: str) -> None:
        """A worker is about to call a model; without a row, it has come back."""
        if row is None:
            self.now_at.pop((step, first), None)
        else:
            self.now_at[step, first] = (step, row, model)

    def give_up(self, step: str, row: str, model: str, why: str) -> None:
        self.given_up[step, row, model] = why
        self.is_calm = False
        self._note("row_given_up", step, row, model=model, error=why)

    def begin_load(self, step: str, model: str) -> str | None:
        """Why a model is not to be loaded, where it hung before."""
        return self.stopped if self.hung_loads[step, model] >= MAX_HUNG_LOADS else None

    def load_hung(self, step: str, model: str, limit_s: float) -> None:
        self.hung_loads[step, model] += 1
        num = self.hung_loads[step, model]
        why = f"{model} was not loaded within produce.load_timeout_s: {limit_s:g} s"
        self._note("load_hung", step, None, model=model, error=why, times=num)
        if num >= MAX_HUNG_LOADS:
            self.stopped = f"{why}, {num} times; does the storage that it lies on answer?"

    def stop(self, why: str) -> None:
        """The run is to end: nothing that is left of it can come about."""
        self.stopped = self.stopped or why

    def state(self) -> _State:
        return self.stopped, len(self.waiting)

    def add(self, step: str, first: str, piece: StepTally, rows: Sequence[str] = ()) -> _State:
        """Count a block that is done; tells how the run stands then."""
        self.waiting.difference_update(rows)
        for record in (self.starts, self.now_at):
            record.pop((step, first), None)
        at = self.steps.setdefault(step, StepTally(began=piece.began))
        at.num_rows += piece.num_rows
        at.num_failed += piece.num_failed
        at.num_made += piece.num_made
        at.num_taken += piece.num_taken
        at.busy_s += piece.busy_s
        at.model_s += piece.model_s
        at.began = min(at.began, piece.began)
        at.ended = max(at.ended, piece.ended)
        for row, error in piece.examples:
            self._note("row_invalid", step, row, error=error)
        at.examples = (at.examples + piece.examples)[:_NUM_EXAMPLES]
        for model, (num, why) in piece.lost.items():
            before, first = at.lost.get(model, (0, why))
            at.lost[model] = before + num, first
        for name, (began, ended) in piece.workers.items():
            at.workers[name] = (min(at.workers.get(name, (began, 0))[0], began), ended)
        if at.num_rows >= MIN_ROWS and at.num_failed > self.max_failed_share * at.num_rows:
            causes = "; ".join(f"row {row}: {error}" for row, error in at.examples[:3])
            self.stopped = (
                f"{at.num_failed} of {at.num_rows} rows failed in step {step!r}, more than "
                f"produce.max_failed_share: {self.max_failed_share:g} allows. {causes}"
            )
        self._stop_where_a_model_is_lost(step, at)
        return self.state()

    def _stop_where_a_model_is_lost(self, step: str, at: StepTally) -> None:
        """Of several generators one may fail for ever while no row does."""
        for model, (num, why) in at.lost.items():
            if at.num_rows >= MIN_ROWS and num > self.max_failed_share * at.num_rows:
                self.stopped = self.stopped or (
                    f"{model} made nothing of {num} of {at.num_rows} rows in step {step!r}, more "
                    f"than produce.max_failed_share: {self.max_failed_share:g} allows. {why}"
                )

    def begin_training(self) -> None:
        """A first worker has come up; where there was one before, that one is lost."""
        key = (TRAIN, "")
        self.starts[key] += 1
        if self.starts[key] > 1:
            self._note("worker_lost", TRAIN, None, times=self.starts[key] - 1)

    def tell(self, training: TrainingTally, event: str | None = None, **more: object) -> None:
        """Where the training is, and what happened there."""
        self.training = training
        if event is not None:
            self._note(event, TRAIN, None, step=training.step, **more)

    def _note(self, event: str, where: str, row: str | None, **more: object) -> None:
        of = {} if row is None else {"row": row}
        self.events.append({"event": event, "in": where, **of, "time": time.time(), **more})

    def read(self) -> tuple[str | None, dict[str, StepTally]]:
        return self.stopped, self.steps

    def drain(self) -> Drained:
        """The numbers so far, without names of workers, and the events since the last call."""
        events, self.events = self.events, []
        steps = {name: replace(one, workers={}) for name, one in self.steps.items()}
        return steps, events, self.training


class Piece:
    """One block before a step: its numbers, and the watch over its rows, where there is a tally
    to report to.
    """

    def __init__(
        self,
        step: str,
        first: str = "",
        handle: TallyHandle | None = None,
        orders: Callable[[], _Orders] = _Orders,
    ) -> None:
        """Begin.

        Args:
            step: its name.
            first: id of the block's first row.
            handle: of the tally; None where there is none.
            orders: what the tally has told about the block by now.
        """
        self.numbers = StepTally(began=time.time())
        self._step = step
        self._first = first
        self._handle = handle
        self._orders = orders
        self._spent: defaultdict[tuple[str, str], float] = defaultdict(float)  # by row and model

    @contextmanager
    def model(self, row: str, name: str) -> Iterator[None]:
        """As `watched`; all of it is the model's time."""
        began = time.perf_counter()
        try:
            with self.watched(row, name):
                yield
        finally:
            self.took(time.perf_counter() - began)

    @contextmanager
    def watched(self, row: str, name: str) -> Iterator[None]:
        """End this worker where a model does not come back with a row: after the recipe's limit,
        which is one for all that it is called for about that row.

        Raises:
            GivenUpError: it did not come back before, or its worker died.
        """
        orders = self._orders()
        why = orders.given_up.get((row, name))
        if why is not None:
            raise GivenUpError(why)
        if orders.is_watched:
            self._enter(row, name)
        limit = self._handle.row_timeout_s if self._handle is not None else None
        began = time.monotonic()
        try:
            with time_limit(limit, partial(self._give_up, row, name), self._spent[row, name]):
                yield
        finally:
            self._spent[row, name] += time.monotonic() - began
            if orders.is_watched:
                self._enter(None, name)

    def took(self, seconds: float) -> None:
        """Count time that a model itself took."""
        self.numbers.model_s += seconds

    def count(self, num_made: int, num_taken: int) -> None:
        """Count what was paid for, and what was not paid for again."""
        self.numbers.num_made += num_made
        self.numbers.num_taken += num_taken

    def fail(self, row: str, error: str) -> None:
        """Count a row that came to nothing."""
        self.numbers.num_failed += 1
        self.numbers.examples.append((row, error))

    def lose(self, row: str, model: str, error: str) -> None:
        """Count a row of which one of several models made nothing."""
        num, why = self.numbers.lost.get(model, (0, f"Row {row}: {error}"))
        self.numbers.lost[model] = num + 1, why

    def _enter(self, row: str | None, name: str) -> None:
        assert self._handle is not None
        ray.get(self._handle.actor.enter.remote(self._step, self._first, row, name))

    def _give_up(self, row: str, name: str) -> None:
        assert self._handle is not None
        why = f"no answer within produce.row_timeout_s: {self._handle.row_timeout_s:g} s"
        said = self._handle.actor.give_up.remote(self._step, row, name, why)
        ray.get(said, timeout=_REPORT_S)


class TallyHandle:
    """A handle that travels to the steps."""

    def __init__(
        self,
        max_failed_share: float = 1.0,
        row_timeout_s: float | None = None,
        load_timeout_s: float | None = None,
        last_step: str = GENERATE,
    ) -> None:
        # Where this driver runs, so that no other machine's death can end the count.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        kind = ray.remote(
            num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=here
        )
        self.actor: Any = kind(_Tally).remote(max_failed_share)
        self.row_timeout_s = row_timeout_s
        self.load_timeout_s = load_timeout_s
        self.last_step = last_step  # of a pipeline that draws
        self._is_calm = False  # as far as this process has heard
        self._counted: Future[_State] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without what this process has heard: another one begins by asking."""
        return {**vars(self), "_is_calm": False, "_counted": None}

    @contextmanager
    def loading(self, step: str, model: str) -> Iterator[None]:
        """Load a model, and end this worker where that does not come to an end.

        Raises:
            TooManyFailuresError: it hung before, more than once.
        """
        why = ray.get(self.actor.begin_load.remote(step, model))
        if why is not None:
            raise TooManyFailuresError(why)
        limit = time_limit(self.load_timeout_s, partial(self._load_hung, step, model))
        with limit, self._telling():
            yield

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Let the driver say in one sentence that a plug-in cannot be loaded on this worker, or
        that storage cannot be read or written from it.
        """
        try:
            yield
        except Exception as error:
            # Here and not above: the process of the actor needs neither, and starts the sooner.
            from actors.storage import StorageError
            from factory.plugins import PluginError

            if isinstance(error, PluginError | StorageError):
                ray.get(self.actor.stop.remote(str(error)))
            raise

    def _load_hung(self, step: str, model: str) -> None:
        said = self.actor.load_hung.remote(step, model, self.load_timeout_s)
        ray.get(said, timeout=_REPORT_S)

    @contextmanager
    def busy(self, step: str, rows: Sequence[str]) -> Iterator[Piece]:
        """Work on a block; the caller says which rows came to nothing.

        Args:
            step: its name.
            rows: ids of the block's rows.
        """
        if not rows:  # nothing to count, nor a name to count it by
            yield Piece(step)
            return
        first = rows[0]
        begun = self.actor.begin.remote(step, rows).future()
        piece = Piece(step, first, self, partial(self._orders, begun))
        start = time.perf_counter()
        with self._telling():
            yield piece
        done = piece.numbers
        done.num_rows = len(rows)
        done.busy_s = time.perf_counter() - start
        done.ended = time.time()
        done.workers = {f"{_node()}:{os.getpid()}": (done.began, done.ended)}
        # Whoever is the last to work on rows takes them from those that wait.
        last = rows if step == self.last_step else ()
        self._counted = self.actor.add.remote(step, first, done, last).future()

    def _orders(self, begun: Future[_Orders]) -> _Orders:
        """What the tally has told about a block. A new process waits for that, since it may have
        come up for one that died of the block; others go on with a model meanwhile, as long as they
        know of no worker that died.
        """
        if self._is_calm and not begun.done():
            return _Orders()
        orders = begun.result()
        self._is_calm = orders.is_calm
        return orders

    def read(self) -> dict[str, StepTally]:
        """The numbers of a run that came to its end.

        Raises:
            TooManyFailuresError: it was to end early; says why.
        """
        stopped, steps = ray.get(self.actor.read.remote())
        if stopped is not None:
            raise TooManyFailuresError(stopped)
        return dict(steps)

    def state(self) -> _State:
        """How the run stands now: whether it begins no more rows (those begun are still written),
        and how many are on their way.
        """
        found: _State = ray.get(self.actor.state.remote())
        return found

    def last_state(self) -> _State:
        """How it stood when this worker's last block was counted, which is known without asking."""
        if self._counted is None:
            return self.state()
        found: _State = self._counted.result()
        return found

    def check(self) -> None:
        """Say why the run is to end early, where it is.

        Raises:
            TooManyFailuresError: it is.
        """
        stopped, _ = self.state()
        if stopped is not None:
            raise TooManyFailuresError(stopped)

    def drain(self, timeout_s: float) -> Drained:
        """The numbers so far, and what happened since the last call."""
        drained: Drained = ray.get(self.actor.drain.remote(), timeout=timeout_s)
        return drained


@dataclass(frozen=True)
class Tallied:
    """A step from one Arrow table to another that fails no row, counted by the ids in `key`."""

    work: Callable[[pa.Table], pa.Table]
    tally: TallyHandle
    step: str
    key: str

    def __call__(self, table: pa.Table) -> pa.Table:
        with self.tally.busy(self.step, table.column(self.key).to_pylist()):
            return self.work(table)


def _node() -> str:
    return str(ray.get_runtime_context().get_node_id())
