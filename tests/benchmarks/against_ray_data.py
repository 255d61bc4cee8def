"""One job by this factory and by plain Ray Data, by turns: what a row costs beside its models.

    python -m tests.benchmarks.against_ray_data [--turns 5] [--actors 2 4] [--prompts 400]

Prompts are drawn by a stub generator of 20 ms a prompt (eight squares of 64 pixels) and judged by a
stub judge of 10 ms; the best is paired with the worst, thin margins are left out, and Parquet with
the pictures is written. Plain Ray Data does that as its documentation would have it
(`tests.against.plain_ray`), without a record; the factory as a round does (`tests.against.ours`).
Each run is a process of its own, and all its processes count.

For each number of actors, of ours and of plain (medians over the turns):
cpu_s, seconds: of the whole run, start and curation included.
first_draw_s, prompts_per_s, after_last_s, gap_ms, judge_calls, draw_calls, lost, doubled: of
    `tests.against.job.figures_of`.
peak_mb: private memory of all processes together, at its largest.
curate_s: of `seconds`, what curation takes; plain Ray Data has none.
ratio_NAME: ours over plain.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SIDES = ("plain_ray", "ours")
_RATIOS = ("cpu_s", "seconds", "first_draw_s", "prompts_per_s", "after_last_s", "peak_mb", "gap_ms")

#: A package that is installed has been compiled; a checkout is by its first run.
_INSTALLED = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def main() -> None:
    """Measure, and end with one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--actors", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--candidates", type=int, default=8)
    given = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    for num in given.actors:
        runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        for turn in range(given.turns):
            for side in SIDES if turn % 2 else reversed(SIDES):
                runs[side].append(_run(side, num, given.prompts, given.candidates))
                print(f"{num} actors, {side}: {runs[side][-1]}", flush=True)
        figures[f"actors_{num}"] = compared(runs)
    print(json.dumps(figures))


def compared(runs: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """Medians of both sides, and their ratios."""
    median = {
        side: {name: statistics.median(one[name] for one in of_side) for name in of_side[0]}
        for side, of_side in runs.items()
    }
    found = {
        f"{side}_{name}": round(value, 3) for side in SIDES for name, value in median[side].items()
    }
    for name in _RATIOS:
        if median["plain_ray"][name]:
            found[f"ratio_{name}"] = round(median["ours"][name] / median["plain_ray"][name], 3)
    return found


def _run(side: str, num_actors: int, num: int, num_candidates: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", f"tests.against.{side}", str(Path(folder, "run"))]
        sizes = ("--prompts", num, "--candidates", num_candidates, "--actors", num_actors)
        done = subprocess.run(
            [*command, *map(str, sizes)],
            capture_output=True,
            text=True,
            check=False,
            env=_INSTALLED,
        )
    if done.returncode:
        raise SystemExit(f"{side}: {done.stdout[-1000:]}{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
