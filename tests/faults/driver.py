"""A driver of `produce` and `curate` that may be killed, with stub models in the models' place.

The stages' own code runs; only the models and the tracking are stubs. Drivers are forked from a
server that has loaded the libraries, so that a campaign of many does not load them each time.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa

from actors import storage
from jobs.datasets import writing
from jobs.datasets.files import write_table
from schemas import manifest
from schemas.places import Place
from schemas.recipe import Recipe
from schemas.recipe_file import load
from tests.stubs import Ref, StubGenerator, StubJudge

#: Moments of a write at which a worker can kill itself: what is written of the part by then.
MOMENTS = ("nothing", "half", "all")

#: Modules that the server of forks loads once.
_PRELOADED = ["ray.data", "jobs.stages.produce", "jobs.stages.curate", "tests.faults.driver"]


@dataclass(frozen=True)
class Order:
    """What a driver is to do.

    root: of the recipe.
    notes: a local directory with `prompts.txt`; gets the models' `calls-N` and `judged-N`, and the
        driver's `log`.
    address: of Ray.
    number: N of this driver.
    killed: name@version of the artifact before or after whose manifest the driver kills itself.
    is_after: whether it is after.
    is_retry: whether rows that failed are made again where there is a file `cured`.
    row_timeout_s: seconds that a model may take over a prompt.
    groups_per_block: prompts that are drawn, judged and written together.
    dies_writing: the beginning of a part's name and one of `MOMENTS`, at which the worker that
        writes such a part kills itself, once; its pack is whole by then.
    """

    root: str
    notes: str
    address: str
    number: int
    killed: str = ""
    is_after: bool = False
    is_retry: bool = False
    row_timeout_s: float = 3600.0
    groups_per_block: int = 4
    dies_writing: tuple[str, str] | None = None

    @property
    def died(self) -> Path:
        """A file that is there as soon as a worker has killed itself."""
        prefix, moment = self.dies_writing or ("", "")
        return Path(self.notes) / f"died-{prefix}-{moment}"


def start(order: Order) -> Any:
    """A driver process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    process = context.Process(target=drive, args=(order,))
    process.start()
    return process


def recipe_of(order: Order) -> Recipe:
    return load(
        "jobs/recipes/laptop.yaml",
        [
            f"root={order.root}",
            f"produce.prompts={order.notes}/prompts.txt",
            f"produce.groups_per_block={order.groups_per_block}",
            "produce.num_candidates=4",
            "storage.max_inline_bytes=16",  # all media lie in packs
            f"produce.row_timeout_s={order.row_timeout_s}",
            "curate.correct={attributes: false, slices: false}",  # there is no audit
            # More than the head of the cluster has, so that the models are on a worker node.
            "produce.generators={size: 1, num_cpus: 1.1}",
            "produce.judges={size: 1, num_cpus: 1.1}",
        ],
    )


class _NoRun:
    """A tracker's run that notes nothing: tracking is not what is tested here."""

    run_id = "none"

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


class _NoTracker:
    @contextmanager
    def stage(self, *_: object) -> Iterator[_NoRun]:
        yield _NoRun()


def drive(order: Order) -> None:
    """Make groups and pairs."""
    log = os.open(f"{order.notes}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    import ray

    from jobs.rounds.workspace import Round
    from jobs.session.run_log import new_log, run_log
    from jobs.stages import curate, produce
    from jobs.stages.base import run_stage

    ray.init(address=order.address, log_to_driver=False, logging_level="ERROR")
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    cured = f"{order.notes}/cured" if order.is_retry else None
    generator = StubGenerator(seconds=0.1, calls=f"{order.notes}/calls-{order.number}", cured=cured)
    judge = StubJudge(seconds=0.1, calls=f"{order.notes}/judged-{order.number}", cured=cured)
    drawing = _Dying(generator, weights="of the stub", order=order)
    judging = _DyingJudge(judge, weights="of the judge", order=order)

    def dying(write: Any) -> Any:
        """A way to write a file, which kills this driver before or after it writes a manifest."""

        def write_and_die(at: Any, *data: bytes) -> None:
            is_mine = at.name == manifest.FILE and at.parent.name == order.killed
            if is_mine and not order.is_after:
                os.kill(os.getpid(), signal.SIGKILL)
            write(at, *data)
            if is_mine:
                os.kill(os.getpid(), signal.SIGKILL)

        return write_and_die

    with (
        mock.patch.object(produce, "generators_of", return_value=[drawing]),
        mock.patch.object(produce, "judge_ref", return_value=judging),
        mock.patch.object(storage, "write_new", dying(storage.write_new)),
        mock.patch.object(storage, "replace", dying(storage.replace)),
    ):
        at = Round(recipe_of(order), 1)
        with run_log(new_log(at.root)):
            is_complete = manifest.read(at.directory("groups")) is not None
            if is_complete and cured is not None and os.path.exists(cured):
                produce.retry_invalid(at)
            run_stage(produce.STAGE, at, _NoTracker())  # type: ignore[arg-type]
            run_stage(curate.STAGE, at, _NoTracker())  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Dying(Ref):
    """A reference whose worker kills itself while it writes a part, if the order says so."""

    order: Order | None = None

    def load(self) -> Any:
        if self.order is not None and self.order.dies_writing is not None:
            writing.write_table = _WriteAndDie(self.order)
        return super().load()


@dataclass(frozen=True)
class _DyingJudge(_Dying):
    """What the stage expects of a judge's reference."""

    criteria: Any = None


@dataclass(frozen=True)
class _WriteAndDie:
    """Stands for `write_table` in a worker that is to die."""

    order: Order

    def __call__(self, path: Place, table: pa.Table, **options: Any) -> None:
        assert self.order.dies_writing is not None
        prefix, moment = self.order.dies_writing
        if not path.name.startswith(f"{prefix}-") or self.order.died.exists():
            write_table(path, table, **options)
            return
        if moment != "nothing":
            write_table(path, table, **options)
        if moment == "half":
            whole = path.read_bytes()
            path.write_bytes(whole[: len(whole) // 2])
        self.order.died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
