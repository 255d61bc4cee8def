"""How long the demo takes: first pairs, and all of it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path


def demo(folder: Path, num_runs: int) -> dict[str, object]:
    """Run the demo so often, each time afresh.

    Args:
        folder: where the runs' roots are made.
        num_runs: one after the other.

    Returns:
        seconds to the first pairs and to the end, of each run, and whether the champion changed.
    """
    first, whole, decisions = [], [], []
    for number in range(num_runs):
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "jobs.demo", f"root={folder / str(number)}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"demo: {done.stdout[-1000:]}{done.stderr[-3000:]}")
        whole.append(round(time.monotonic() - began, 1))
        told = re.search(r"^first pairs after (\d+) s", done.stdout, re.MULTILINE)
        decided = re.search(r"^decision: (.*)$", done.stdout, re.MULTILINE)
        if told is None or decided is None:
            raise SystemExit(f"demo: says neither pairs nor a decision: {done.stdout[-1000:]}")
        first.append(int(told[1]))
        decisions.append(decided[1])
        said = f"first pairs {first[-1]} s, all {whole[-1]} s; {decided[1]}"
        print(f"run {number}: {said}", flush=True)
    return {"demo_first_pairs_s": first, "demo_s": whole, "demo_decisions": decisions}
