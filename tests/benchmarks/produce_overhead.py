"""What the pipeline costs beside its models.

    python -m tests.benchmarks.produce_overhead [--ms 10] [--rows 1000] [--curve 1000 10000]

A stub generator that takes a given time a row (it sleeps, as a GPU call does for the CPU) draws one
small picture a row. A bare loop over the same model and prompts is timed beside the pipeline, whose
steady state is measured from the first row's start to the last row's end; start-up is the rest.

produce_vs_bare: rows a second of the steady pipeline over those of the bare loop.
startup_s: seconds of the run that were not steady.
curve: for each number of rows with a model that takes no time: seconds, rows a second, and the
    driver's largest memory in MB so far.
seconds_per_row_growth: seconds a row of the longest run over those of the shortest; 1 is linear.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

from factory.prompts import PromptsFile
from jobs.pipelines.groups import Throughput, run_pipeline
from jobs.session.ray_session import ray_session
from schemas.recipe import Recipe
from schemas.recipe_file import load
from tests.stubs import Ref, StubGenerator


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ms", type=float, default=10.0)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--block", type=int, default=64)
    parser.add_argument("--curve", type=int, nargs="*", default=[1000, 10_000])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        recipe = load(
            "jobs/recipes/laptop.yaml",
            [
                f"root={directory}",
                f"produce.groups_per_block={given.block}",
                "produce.generators={size: 1, num_cpus: 1}",
            ],
        )
        with ray_session(recipe):
            model = StubGenerator(seconds=given.ms / 1000)
            what = prompts(given.rows, Path(directory))
            began = time.perf_counter()
            for one in islice(what, 200):
                model.generate(one, [1])
            bare = 200 / (time.perf_counter() - began)
            speed = produce(what, Path(directory) / "data" / "groups@1", recipe, model)
            figures: dict[str, Any] = {
                "bare_rows_per_s": round(bare, 2),
                "produce_vs_bare": round(speed.num_rows / speed.steady_s / bare, 3),
                "startup_s": round(speed.seconds - speed.steady_s, 1),
            }
            print(figures, speed)
            figures["curve"] = [point(num, Path(directory), recipe) for num in sorted(given.curve)]
    if len(given.curve) > 1:
        first, last = figures["curve"][0], figures["curve"][-1]
        growth = (last["steady_s"] / last["rows"]) / (first["steady_s"] / first["rows"])
        figures["seconds_per_row_growth"] = round(growth, 3)
    print(json.dumps(figures))


def prompts(num: int, directory: Path) -> PromptsFile:
    path = directory / "prompts.txt"
    path.write_text("".join(f"prompt {n}\n" for n in range(num)))
    return PromptsFile(path)


def produce(what: PromptsFile, at: Path, recipe: Recipe, model: StubGenerator) -> Throughput:
    speed, _ = run_pipeline(what, at, recipe, generators=[Ref(model)], num_candidates=1)
    return speed


def point(num: int, directory: Path, recipe: Recipe) -> dict[str, float]:
    """One point of the curve, with a model that takes no time."""
    at = directory / "data" / f"curve-{num}"
    speed = produce(prompts(num, directory), at, recipe, StubGenerator())
    found = {
        "rows": num,
        "seconds": round(speed.seconds, 1),
        "steady_s": round(speed.steady_s, 2),
        "rows_per_s": round(num / speed.steady_s, 1),
        "max_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(found)
    return found


if __name__ == "__main__":
    main()
