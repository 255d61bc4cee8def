"""What each step of the factory takes for a row, without Ray: seconds of processor time.

    python -m tests.against.steps [--prompts 400] [--profile judge]

Steps are called as Ray Data calls them, on tables of 16 groups of eight pictures of 64 pixels, with
stub models that take no time. A profile names the functions.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from actors.blocks import packed, unpacked
from actors.group_workers import Generate, Judging
from actors.media_store import media_store
from factory.curation.curator import Curator
from factory.filters import objections_of
from factory.ranking import Bracket, Strategy
from jobs.datasets import parts
from jobs.datasets.at_hand import DRAWN
from jobs.datasets.writing import Part
from jobs.pipelines.curation import CurateTable
from schemas.arrow import groups_to_table
from schemas.columns import GROUPS
from schemas.recipe import Objections
from schemas.recipe_file import load
from schemas.rows import Group, Prompt
from tests.against.job import SIDE
from tests.stubs import Ref, StubGenerator, StubJudge, Untallied

STEPS = ("generate", "write_drawn", "judge", "write_judged", "settle", "curate")
_BLOCK = 16


class Clock:
    """Processor seconds by step, and a profile of one of them."""

    def __init__(self, profiled: str | None) -> None:
        self.seconds = dict.fromkeys(STEPS, 0.0)
        self.profiled = profiled
        self.profile = cProfile.Profile()

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        began = time.process_time()
        if step == self.profiled:
            self.profile.enable()
        yield
        self.profile.disable()
        self.seconds[step] += time.process_time() - began


def measure(num: int, num_candidates: int, strategy: Strategy, clock: Clock) -> dict[str, float]:
    """Milliseconds of processor time a row, by step."""
    written: list[pa.Table] = []

    def keep(table: pa.Table) -> pa.Table:
        written.append(table)
        return table

    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "data" / "groups@1"
        directory.mkdir(parents=True)
        recipe = load("jobs/recipes/laptop.yaml", [f"root={folder}"])
        store = media_store(directory, recipe.storage.max_inline_bytes)
        untallied = cast("Any", _NeverStopped())
        generate = Generate(
            [Ref(StubGenerator(side=SIDE), weights="stub")], num_candidates, 0, untallied, keep,
            store.fetching, is_last=False,
        )  # fmt: skip
        judge = Judging([Ref(StubJudge(), weights="stub")], strategy, untallied, keep)
        drawn = Part(directory, DRAWN, store, is_last=False)
        made = Part(directory, "part", store, is_last=True)
        for first in range(0, num, _BLOCK):
            rows = [Group(Prompt.of(f"prompt {n}"), ()) for n in range(first, first + _BLOCK)]
            block = _timed(clock, "generate", generate, packed(groups_to_table(rows)))
            _timed(clock, "write_drawn", drawn, unpacked(block))
            table = _timed(clock, "judge", judge, block)
            _timed(clock, "write_judged", made, table)
        with clock.of("settle"):
            parts.settle(
                parts.read_parts(directory, "prompt_id"), directory, GROUPS, recipe.storage
            )
        objections = objections_of(Objections())
        curate = CurateTable(Curator(strategy, objections), untallied, store)
        for table in written[1::2]:
            _timed(clock, "curate", curate, table)
    return {step: round(1e3 * spent / num, 3) for step, spent in clock.seconds.items()}


def _timed(
    clock: Clock, step: str, work: Callable[[pa.Table], pa.Table], table: pa.Table
) -> pa.Table:
    with clock.of(step):
        return work(table)


class _NeverStopped(Untallied):
    """A stub of a tally whose run goes on."""

    def last_state(self) -> tuple[None, int]:
        return None, 0


def main() -> None:
    """Measure, and end with one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--profile", choices=STEPS)
    given = parser.parse_args()
    clock = Clock(given.profile)
    measure(2 * _BLOCK, given.candidates, Bracket(2), Clock(None))  # imports, and first calls
    figures = measure(given.prompts, given.candidates, Bracket(2), clock)
    if given.profile:
        pstats.Stats(clock.profile).sort_stats("tottime").print_stats(30)
    print(json.dumps({f"{step}_ms": spent for step, spent in figures.items()}))


if __name__ == "__main__":
    main()
