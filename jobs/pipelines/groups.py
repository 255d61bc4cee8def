"""The two streaming pipelines that load models, wired: drawing candidates, and judging them.

    prompts, with what is at hand of them
        -> Generate (actor pool) -> parts of what is drawn, their media stored
        -> Judging (actor pool)  -> parts of what is judged
        -> settled files

Rows are marked, never dropped. Each step writes what it has made before it hands it on. A run that
was killed is continued by the same command: the parts that it left say which prompts are done
(`jobs.datasets.parts`), and of the others what was drawn is taken as it would be from any other
data set that a run is given (`jobs.datasets.at_hand`).
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from actors.blocks import packed
from actors.media_store import media_store
from actors.refs import GeneratorLike, JudgingRef
from factory.ids import Ids, numbers_of, positions
from factory.prompts import Prompts
from factory.ranking import ByTask, Strategy
from jobs.datasets import parts
from jobs.datasets.at_hand import DRAWN, AtHand, Source
from jobs.datasets.files import write_table
from jobs.datasets.joining import Joining
from jobs.datasets.parts import Settled
from jobs.datasets.reading import read_files
from jobs.datasets.writing import PART, Part, patiently
from jobs.pipelines.judge_backends import pool_for
from schemas.arrow import groups_to_table
from schemas.columns import GROUPS
from schemas.places import Place
from schemas.recipe import Pool, Recipe
from schemas.rows import Group

_INPUT = "_prompts"
_BLOCKS_A_FILE = 64
#: Of rows that go to Ray as they are.
_FEW_BYTES = 64 * 1024**2
#: What each step pays for.
_PAID_FOR = {"generate": "candidates drawn", "judge": "replies asked for"}


@dataclass(frozen=True)
class Throughput:
    """Speed of a pipeline run; resumed rows were made by an earlier one and are not counted.

    num_rows: made by this run.
    seconds: of the run, from the first actor's start to the last row written.
    steady_s: from the first piece of work to the end of the last.
    busy_s: working seconds of each step, over all its actors.
    bare_rate: rows per second that the models of each step could do alone, if all its actors had
        nothing but model calls to make.
    num_made, num_taken: by step, candidates drawn and replies asked for, and those that were at
        hand.
    """

    num_rows: int = 0
    seconds: float = 0.0
    steady_s: float = 0.0
    busy_s: Mapping[str, float] = field(default_factory=dict)
    bare_rate: Mapping[str, float] = field(default_factory=dict)
    num_made: Mapping[str, int] = field(default_factory=dict)
    num_taken: Mapping[str, int] = field(default_factory=dict)

    def then(self, after: Throughput) -> Throughput:
        """Of this run and another after it, as if they were one."""
        if not self.num_rows or not after.num_rows:
            return self if self.num_rows else after
        return Throughput(
            num_rows=self.num_rows + after.num_rows,
            seconds=self.seconds + after.seconds,
            steady_s=self.steady_s + after.steady_s,
            busy_s=_added(self.busy_s, after.busy_s),
            num_made=_added(self.num_made, after.num_made),
            num_taken=_added(self.num_taken, after.num_taken),
            bare_rate={
                step: (self.num_rows + after.num_rows)
                / (self.num_rows / rate + after.num_rows / after.bare_rate[step])
                for step, rate in self.bare_rate.items()
                if step in after.bare_rate
            },
        )

    @property
    def slowest(self) -> str | None:
        """The step whose models hold the others back."""
        return min(self.bare_rate, key=self.bare_rate.__getitem__, default=None)

    @property
    def steady_rate(self) -> float:
        """Rows per second from the first piece of work on."""
        return self.num_rows / self.steady_s if self.steady_s else math.nan

    @property
    def speed_of_light(self) -> float:
        """Rows per second achieved, as a share of what the slowest step's bare models could do."""
        return math.nan if self.slowest is None else self.steady_rate / self.bare_rate[self.slowest]

    def __str__(self) -> str:
        if not self.num_rows:
            return "no rows were left to make"
        busy = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in self.busy_s.items())
        rate = self.num_rows / self.seconds if self.seconds else 0.0
        text = (
            f"{self.num_rows} rows in {self.seconds:.1f} s, start of the models included "
            f"({rate:.2f} rows/s; busy: {busy})"
        )
        if any(self.num_taken.values()):
            text += "".join(
                f"; {self.num_made[step]} {what} and {self.num_taken[step]} taken from earlier runs"
                for step, what in _PAID_FOR.items()
                if step in self.num_made
            )
        if self.slowest is not None and self.steady_s:
            text += (
                f"; speed of light: {self.steady_rate:.2f} rows/s once they were "
                f"there, {self.speed_of_light:.0%} of the bare models' "
                f"{self.bare_rate[self.slowest]:.2f}, held back by {self.slowest!r}"
            )
        return text

    def figures(self) -> dict[str, float]:
        """For manifest and tracking; nothing where no rows were made."""
        if not self.num_rows:
            return {}
        return {
            "rows_per_s": self.num_rows / self.seconds,
            "speed_of_light": self.speed_of_light,
            **{f"busy_{step}_s": seconds for step, seconds in self.busy_s.items()},
            **{f"bare_{step}_rows_per_s": rate for step, rate in self.bare_rate.items()},
            **{f"{step}_made": float(num) for step, num in self.num_made.items()},
            **{f"{step}_taken": float(num) for step, num in self.num_taken.items()},
        }


_Number = TypeVar("_Number", int, float)


def _added(one: Mapping[str, _Number], other: Mapping[str, _Number]) -> dict[str, _Number]:
    return {step: one.get(step, 0) + other.get(step, 0) for step in {**one, **other}}


@dataclass(frozen=True)
class Pilot:
    """Prompts that are judged before all others.

    ids: of them, ascending.
    planned: the strategy of the others, by what is there of these.
    """

    ids: Ids
    planned: Callable[[], ByTask]


def run_pipeline(
    prompts: Prompts,
    directory: Place,
    recipe: Recipe,
    *,
    generators: Sequence[GeneratorLike],
    num_candidates: int,
    judges: Sequence[JudgingRef] = (),
    strategy: Strategy | ByTask | None = None,
    count: parts.Count | None = None,
    seed: int | None = None,
    sources: Sequence[Source] = (),
    drawn_for: Ids | None = None,
    pilot: Pilot | None = None,
) -> tuple[Throughput, Settled]:
    """Draw candidates for every prompt, judge them, and write groups to `directory`.

    Args:
        prompts: what to draw; they stream.
        directory: gets the Parquet files; those that are there are not made again.
        recipe: for pools, block size, seed and layout.
        generators: `actors.group_workers.GeneratorRef`, each of which adds `num_candidates`.
        num_candidates: candidates of each generator for each prompt.
        judges: `actors.group_workers.JudgeRef`; none leaves the groups unjudged.
        strategy: which duels to play; needed with judges.
        count: what to count in a table of groups.
        seed: of the candidates; the recipe's where not given.
        sources: that may hold candidates and replies which are then not paid for again, and those
            that hold candidates which were brought along.
        drawn_for: ids of the prompts for which generators draw, ascending; None for all.
        pilot: prompts by which the duels of the others are planned; `strategy` is then theirs.

    Raises:
        TooManyFailuresError: more rows failed than the recipe allows, or a model does not load.
    """
    directory.mkdir(parents=True, exist_ok=True)
    done = parts.ids_of(parts.read_parts(directory, "prompt_id"))
    ids = numbers_of(prompts.ids())
    is_left = positions(ids, done) < 0

    def make(is_now: npt.NDArray[np.bool_], strategy: Strategy | ByTask | None) -> Throughput:
        if not is_now.any():
            return Throughput()
        store = media_store(directory, recipe.storage.max_inline_bytes)
        return make_groups(
            (Group(one, ()) for one, is_one in zip(prompts, is_now, strict=True) if is_one),
            int(is_now.sum()),
            directory,
            recipe,
            generators,
            num_candidates,
            judges,
            strategy,
            seed=seed,
            at_hand=AtHand((Source.own(directory), *sources), ids[is_now], store),
            drawn_for=drawn_for,
            tell=joining.add,
        )

    pool = pool_for(judges, recipe.produce.judges) if judges else recipe.produce.generators
    with Joining(
        directory,
        "prompt_id",
        GROUPS,
        recipe.storage,
        count,
        num_rows=int(is_left.sum()),
        num_last=pool.most * recipe.produce.groups_per_block,  # all that are then worked on
    ) as joining:
        if pilot is None or not is_left.any():
            speed = make(is_left, strategy)
        else:
            is_first = positions(ids, pilot.ids) >= 0
            speed = make(is_left & is_first, strategy)
            speed = speed.then(make(is_left & ~is_first, pilot.planned()))
        joined = joining.end()
    is_known = {name for one in joined for name in (one.part.name, *one.sources)}
    others = [name for name in parts.file_names(directory) if name not in is_known]
    settled = parts.settle(
        parts.named_parts(directory, others, "prompt_id"),
        directory,
        GROUPS,
        recipe.storage,
        joined=joined,
        wanted=prompts.ids(),
        count=count,
    )
    return speed, settled


def make_groups(
    groups: Iterable[Group],
    num_groups: int,
    directory: Place,
    recipe: Recipe,
    generators: Sequence[GeneratorLike],
    num_candidates: int,
    judges: Sequence[JudgingRef],
    strategy: Strategy | ByTask | None,
    prefix: str = "part",
    seed: int | None = None,
    at_hand: AtHand | None = None,
    drawn_for: Ids | None = None,
    tell: Callable[[Iterable[str]], None] = lambda _: None,
) -> Throughput:
    """Stream groups through the models, and write them as parts.

    Args:
        groups: with the candidates and replies that are not to be made again, if any.
        num_groups: how many they are.
        directory: gets the parts.
        recipe: for pools, block size, seed and layout.
        generators: each of which is to have drawn `num_candidates`.
        num_candidates: of each generator for each prompt.
        judges: none leaves the groups unjudged.
        strategy: which duels to play; needed with judges.
        prefix: of the parts' names.
        seed: of the candidates; the recipe's where not given.
        at_hand: more that is not to be made again.
        drawn_for: ids of the prompts for which generators draw, ascending; None for all.
        tell: hears the names of the parts as they are there; must return at once.

    Raises:
        TooManyFailuresError: more rows failed than the recipe allows, or a model does not load.
    """
    from actors.group_workers import Generate, Judging
    from actors.tally import GENERATE, JUDGE, TallyHandle
    from jobs.session import progress

    settings = recipe.produce
    # Drivers that race must not write over each other's input.
    prefix_todo = f"{_INPUT}-{uuid.uuid4().hex}"
    last = JUDGE if judges else GENERATE
    tally = TallyHandle(
        settings.max_failed_share, settings.row_timeout_s, settings.load_timeout_s, last
    )
    store = media_store(directory, recipe.storage.max_inline_bytes)
    drawn = Part(directory, DRAWN, store, is_last=False) if judges else None
    made = Part(directory, prefix, store, is_last=True)
    began = time.monotonic()
    try:
        rows = _input(
            groups, num_groups, directory, prefix_todo, settings.groups_per_block, at_hand
        )
        rows.context.enable_progress_bars = False  # they would be drawn over ours
        # Whoever is done first goes on first: no digest depends on the order of the parts.
        rows.context.execution_options.preserve_order = False
        rows = rows.map_batches(
            Generate,
            fn_constructor_args=(
                generators,
                num_candidates,
                recipe.seed if seed is None else seed,
                tally,
                drawn or made,
                store.fetching,
                _max_lead(recipe) if judges else None,
            ),
            fn_constructor_kwargs={"is_last": not judges, "drawn_for": drawn_for},
            **step_wiring(settings.generators, 1),
        )
        if judges:
            rows = rows.map_batches(
                Judging,
                fn_constructor_args=(judges, strategy, tally, made, store.fetching),
                fn_constructor_kwargs={"keep_words": settings.keep_words},
                **step_wiring(pool_for(judges, settings.judges), 1),
            )
        with progress.shown(directory.name, num_groups, tally):
            # Of ids and names alone: the steps have written the rows.
            for block in rows.iter_batches(
                batch_size=None, batch_format="pyarrow", prefetch_batches=0
            ):
                tell(block.column(PART).unique().to_pylist())
    except Exception:
        tally.check()  # a worker that was told to stop says so less clearly
        raise
    finally:
        for path in list(directory.glob(f"{prefix_todo}-*.parquet")):
            path.unlink(missing_ok=True)
    tallied = tally.read()
    pools = {GENERATE: settings.generators, JUDGE: settings.judges}
    return Throughput(
        num_rows=tallied[GENERATE].num_rows if GENERATE in tallied else 0,
        seconds=time.monotonic() - began,
        steady_s=max((one.ended for one in tallied.values()), default=0.0)
        - min((one.began for one in tallied.values()), default=0.0),
        busy_s={step: one.busy_s for step, one in tallied.items()},
        num_made={step: one.num_made for step, one in tallied.items()},
        num_taken={step: one.num_taken for step, one in tallied.items()},
        bare_rate={
            # Of a pool that grew, the actors that there were.
            step: one.num_rows * max(pools[step].size, one.num_workers) / one.model_s
            for step, one in tallied.items()
            if one.model_s > 0
        },
    )


def _max_lead(recipe: Recipe) -> int:
    """Prompts that may be drawn, or begun, and not yet judged: a block in each generator's hands,
    and two for each judge, so that none waits for the next.
    """
    settings = recipe.produce
    return settings.groups_per_block * (settings.generators.most + 2 * settings.judges.most)


def _input(
    groups: Iterable[Group],
    num_groups: int,
    directory: Place,
    prefix: str,
    groups_per_block: int,
    at_hand: AtHand | None,
) -> Any:
    """Groups as a Ray data set of blocks, each of which is one value (`actors.blocks`). Few go to
    Ray as they are: a worker that reads them would take longer to start. Many are written as files
    of some blocks each, so that nobody holds all of them: a file is read by one task, block after
    block.
    """
    import ray.data

    rows_a_file = groups_per_block * _BLOCKS_A_FILE
    left = iter(groups)
    files: list[Place] = []
    while rows := list(islice(left, rows_a_file)):
        table = groups_to_table(rows if at_hand is None else at_hand.groups(rows))
        if num_groups <= rows_a_file and table.nbytes <= _FEW_BYTES:
            starts = range(0, table.num_rows, groups_per_block)
            blocks = [packed(table.slice(at, groups_per_block)) for at in starts]
            return ray.data.from_blocks(blocks)
        path = directory / f"{prefix}-{len(files):06d}.parquet"
        patiently(path, partial(write_table, path, table))
        files.append(path)
    num_blocks = math.ceil(num_groups / groups_per_block)
    return read_files(files, GROUPS, num_blocks, groups_per_block)


def step_wiring(pool: Pool, batch_size: int) -> dict[str, Any]:
    """The arguments of `map_batches` for a step of Arrow tables on a pool of actors."""
    import ray.data

    return {
        "compute": ray.data.ActorPoolStrategy(min_size=pool.size, max_size=pool.most),
        "num_cpus": pool.num_cpus,
        "num_gpus": pool.num_gpus,
        "batch_size": batch_size,
        "batch_format": "pyarrow",
    }


def pool_cpus(recipe: Recipe) -> float:
    """Logical CPUs of the generator and judge pools together."""
    pools = (recipe.produce.generators, recipe.produce.judges)
    return sum(pool.most * pool.num_cpus for pool in pools)


def pool_gpus(recipe: Recipe, judges: Pool | None = None) -> float:
    """GPUs of the generator and judge pools together; `judges` in the place of the recipe's."""
    pools = (recipe.produce.generators, judges or recipe.produce.judges)
    return sum(pool.most * pool.num_gpus for pool in pools)
