"""What it costs to start a stage of models, beside the stage's work: would warm actors pay?

    python -m tests.benchmarks.stage_start [--rows 24] [--repeats 2]

In one Ray session, as a round of the loop has, the sandbox's generator and judge make groups, and
so do stubs that need no loading. Each worker says what it spent before and while it loaded. How
long the pipelines took to start is told by the clock; on a machine that others use too, compare
those seconds with each other alone.

num_processes, num_loads: worker processes that loaded, and loads: alike where none is used again.
startup_s, startup_stub_s: seconds of a pipeline outside of its steady work, with models and with
    stubs; the difference, saved_s, is what actors that are kept warm could save at most.
row_s: seconds of steady work on one row.
rows_for_5_percent: rows of a stage from which saved_s is less than 5 % of it.
cpu_process_s, cpu_import_s, cpu_first_load_s, cpu_second_load_s: CPU seconds of a worker until it
    loads, of importing the model libraries, of loading its model, and of loading it once more in
    the same process, which only this benchmark does; medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from actors.refs import GeneratorRef, JudgeRef
from factory.prompts import read_prompts
from factory.ranking import Bracket, Noise, Scale
from jobs.pipelines.groups import Throughput, run_pipeline
from jobs.session.ray_session import ray_session
from schemas.recipe import Recipe
from schemas.recipe_file import load
from schemas.rows import Prompt
from tests.stubs import Listed, Ref, StubGenerator, StubJudge

#: What a worker spends CPU on until it has loaded its model twice.
_PARTS = ("process", "import", "first_load", "second_load")


@dataclass(frozen=True)
class Noted:
    """A reference that writes down what loading it cost."""

    ref: Any
    file: str

    @property
    def name(self) -> str:
        return str(self.ref.name)

    @property
    def address(self) -> str:
        return str(self.ref.address)

    def load(self) -> Any:
        cpu = [time.process_time()]
        import diffusers  # noqa: F401
        import transformers  # noqa: F401

        cpu.append(time.process_time())
        self.ref.load()
        cpu.append(time.process_time())
        model = self.ref.load()
        cpu.append(time.process_time())
        spent = dict(zip(_PARTS, np.diff([0.0, *cpu]).tolist(), strict=True))
        with Path(self.file).open("a") as file:
            file.write(json.dumps({"pid": os.getpid(), **spent}) + "\n")
        return model


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        recipe = load(
            "jobs/recipes/laptop.yaml",
            [f"root={directory}", "produce.generators.size=1", "produce.groups_per_block=4"],
        )
        notes = Path(directory) / "notes.jsonl"
        models = (
            Noted(GeneratorRef(recipe.generator.path, "generator@0", recipe.generator), str(notes)),
            Noted(JudgeRef.of(recipe.judge, recipe.judge.path, "judge@0"), str(notes)),
        )
        stubs = Ref(StubGenerator()), Ref(StubJudge())
        prompts = list(islice(read_prompts(Path(recipe.produce.prompts)), given.rows))
        with ray_session(recipe):
            make(prompts, recipe, stubs, "first")  # the session itself starts, once
            cold = [make(prompts, recipe, models, f"models-{n}") for n in range(given.repeats)]
            none = [make(prompts, recipe, stubs, f"stubs-{n}") for n in range(given.repeats)]
        print(json.dumps(figures(cold, none, notes)))


def make(prompts: Sequence[Prompt], recipe: Recipe, refs: tuple[Any, Any], name: str) -> Throughput:
    """One pipeline of a generator and a judge."""
    speed, _ = run_pipeline(
        Listed(prompts),
        Path(recipe.root) / "data" / name,
        recipe,
        generators=[refs[0]],
        num_candidates=recipe.produce.num_candidates,
        judges=[refs[1]],
        strategy=Bracket(2, Noise().on(Scale.of(1.0, 5.0))),
    )
    print(f"{name}: {speed.seconds - speed.steady_s:.1f} s to start; {speed}", flush=True)
    return speed


def figures(cold: list[Throughput], none: list[Throughput], notes: Path) -> dict[str, float]:
    """What the runs and the workers' notes come to."""
    startup, stub = (
        statistics.median(one.seconds - one.steady_s for one in runs) for runs in (cold, none)
    )
    row_s = statistics.median(one.steady_s / one.num_rows for one in cold)
    saved = startup - stub
    loads = [json.loads(line) for line in notes.read_text().splitlines()]
    cpu = {f"cpu_{key}_s": round(statistics.median(one[key] for one in loads), 2) for key in _PARTS}
    return {
        "num_loads": len(loads),
        "num_processes": len({one["pid"] for one in loads}),
        "startup_s": round(startup, 1),
        "startup_stub_s": round(stub, 1),
        "saved_s": round(saved, 1),
        "row_s": round(row_s, 3),
        "rows_for_5_percent": round((saved / 0.05 - startup) / row_s),
        **cpu,
    }


if __name__ == "__main__":
    main()
