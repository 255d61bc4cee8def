"""What this checkout takes for one and the same job, against another one, by turns."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

_JOB = Path(__file__).with_name("speed_job.py")


def overhead(before: Path | None, num: int, turns: int) -> dict[str, float]:
    """Medians over some runs in this checkout, and the same shares of those of another one.

    Args:
        before: the other checkout; this one is measured alone where None.
        num: prompts.
        turns: runs of each.
    """
    trees = {"now": Path.cwd()} | ({} if before is None else {"before": before})
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in trees}
    for turn in range(turns):
        for name in trees if turn % 2 else reversed(trees):
            runs[name].append(_run(trees[name], num))
            print(f"overhead, {name}: {runs[name][-1]}", flush=True)
    figures: dict[str, float] = {"prompts": num, "turns": turns}
    for key in runs["now"][0]:
        medians = {name: statistics.median(one[key] for one in runs[name]) for name in runs}
        figures |= {f"{key}_{name}": value for name, value in medians.items()}
        if before is not None:
            figures[f"{key}_ratio"] = round(medians["now"] / medians["before"], 3)
    return figures


def _run(tree: Path, num: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, str(_JOB), "--prompts", str(num)],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree.absolute())},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{tree}: {done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
