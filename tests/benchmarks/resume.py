"""How long a run that has nothing left to do takes to say so.

    python -m tests.benchmarks.resume [--rows 100000]

A data set of so many rows without media is laid down as parts, as a run leaves them that was killed
right before its manifest. `jobs.produce` is then started twice by the same command.

settle_s: the first: reads the parts' ids, makes nothing, joins, counts and hashes all rows, and
    completes the version (with Ray and MLflow starting up).
finished_s: the second: the version is complete.
rows_made: by both together; 0 is right.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from factory.prompts import read_prompts
from jobs.datasets.files import write_table
from schemas import manifest
from schemas.arrow import groups_to_table
from schemas.manifest import Manifest
from schemas.rows import Candidate, Group, Score

_ROWS_A_PART = 500


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        lay_down(root, given.rows)
        command = [sys.executable, "-m", "jobs.produce", f"root={root}"]
        command += [f"produce.prompts={root / 'prompts.txt'}"]
        first, said = run(command)
        second, again = run(command)
        assert "no rows were left to make" in said, said
        assert "complete already" in again, again
        print(
            json.dumps(
                {
                    "rows": given.rows,
                    "settle_s": first,
                    "finished_s": second,
                    "rows_made": 0 if "rows/s" not in said + again else None,
                }
            )
        )


def lay_down(root: Path, num: int) -> None:
    """Prompts, all their groups as parts, and the judge's manifest."""
    path = root / "prompts.txt"
    path.write_text("".join(f"prompt {n}\n" for n in range(num)))
    judge, groups = root / "models" / "judge@1", root / "data" / "groups@1"
    for one in (judge, groups):
        one.mkdir(parents=True)
    made = Manifest("judge@1", "judge", "f", "d", (), {})
    (judge / manifest.FILE).write_bytes(manifest.to_bytes(made))
    prompts = read_prompts(path)
    for at in range(0, num, _ROWS_A_PART):
        rows = []
        for prompt in prompts[at : at + _ROWS_A_PART]:
            ids = [f"{prompt.prompt_id}-{n}" for n in range(2)]
            candidates = tuple(Candidate(one, "generator@0", 0, answer="x") for one in ids)
            scores = tuple(Score(one, "judge@1", 1.0, 0.1) for one in ids)
            rows.append(Group(prompt, candidates, scores))
        write_table(groups / f"part-laid-{at:07d}.parquet", groups_to_table(rows))


def run(command: list[str]) -> tuple[float, str]:
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stdout)
    return round(time.perf_counter() - began, 1), done.stdout


if __name__ == "__main__":
    main()
