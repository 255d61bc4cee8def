"""The record in figures: what is paid for twice, what is read and written, and what that costs.

    python -m tests.benchmarks.record
    python -m tests.benchmarks.record reuse killed --prompts 200 --kill-prompts 200
    python -m tests.benchmarks.record overhead --before ../another-checkout

reuse: for each case what was drawn and asked for with a first run at hand, what of that was too
    many, and how many rows are equal to those of a fresh run (`tests.record.reuse`). All stubs but
    the judge that is calibrated anew, which is the sandbox's.
killed: prompts drawn and judged again after kills of the driver and all its models, against two
    blocks of each generator and one of each judge for every kill (`tests.record.killed`). Stubs.
redraw: candidates of the sandbox that are the same to the last byte when drawn again from their
    rows, in other batches.
bytes: read and written by all processes for each byte of media, by stage, less what the same run
    moves without media to speak of, and in all; the driver's memory with and without media
    (`tests.record.traffic`). s3: the same at the server's door. Stubs.
audit: seconds and memory of an audit's scan (`tests.benchmarks.audit_scan`).
parts: ids of the fixture's prompts that have changed, and the test of a prompt of several parts.
overhead: processor seconds and time of a job of stubs, 400 prompts of 8 pictures, and their shares
    of those of another checkout, by turns (`tests.record.overhead`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.s3.server import weed

PARTS = ("reuse", "killed", "redraw", "bytes", "s3", "audit", "parts", "overhead")
_NUM_REDRAWN = 100


def main() -> None:
    """Measure, and end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all")
    parser.add_argument("--prompts", type=int, default=1000, help="of each run of `reuse`")
    parser.add_argument("--more", type=int, default=100, help="prompts that come to them")
    parser.add_argument("--candidates", type=int, nargs=2, default=[4, 8], help="before and after")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--kill-prompts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the kills' moments")
    parser.add_argument("--media-prompts", type=int, default=2000, help="of `bytes`")
    parser.add_argument("--s3-prompts", type=int, default=2000, help="of `s3`")
    parser.add_argument("--side", type=int, default=580, help="of pictures; 580 are 1 MB")
    parser.add_argument("--groups", type=int, default=100_000, help="of `audit`")
    parser.add_argument("--job-prompts", type=int, default=400, help="of `overhead`")
    parser.add_argument("--turns", type=int, default=3, help="runs of each checkout")
    parser.add_argument("--before", type=Path, help="another checkout; without one no shares")
    parser.add_argument("--scratch", help="where files are made; a temporary folder by default")
    given = parser.parse_args()
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {min(unknown)!r}; known: {', '.join(PARTS)}")
    figures: dict[str, Any] = {}
    for name in given.parts or PARTS:
        if name == "s3" and weed() is None:
            print("s3: no SeaweedFS on this machine", flush=True)
            continue
        began = time.monotonic()
        with tempfile.TemporaryDirectory(dir=given.scratch) as folder:
            found = _WORK[name](given, Path(folder))
        found["seconds_in_all"] = round(time.monotonic() - began, 1)
        print(f"== {name}")
        for key, value in found.items():
            print(f"{key:<44} {value}", flush=True)
        figures[name] = found
    print(json.dumps(figures))


class _Raw(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the docstring."""


def _reuse(given: Any, folder: Path) -> dict[str, Any]:
    from tests.record.reuse import reuse

    return reuse(folder, given.prompts, given.more, *given.candidates)


def _killed(given: Any, folder: Path) -> dict[str, Any]:
    from tests.record.killed import killed

    return killed(folder, given.kill_prompts, given.kills, given.seed)


def _redraw(given: Any, folder: Path) -> dict[str, Any]:
    return _other("redraw", f"--num={_NUM_REDRAWN}")


def _bytes(given: Any, folder: Path) -> dict[str, Any]:
    from tests.record.traffic import traffic

    return traffic(folder, given.media_prompts, given.side)


def _s3(given: Any, folder: Path) -> dict[str, Any]:
    from tests.record.traffic import traffic_of_s3

    return traffic_of_s3(folder, given.s3_prompts, given.side)


def _audit(given: Any, folder: Path) -> dict[str, Any]:
    return _other("audit_scan", f"--groups={given.groups}", f"--root={folder}")


def _parts(given: Any, folder: Path) -> dict[str, Any]:
    from tests.record.prompts import parts

    return parts()


def _overhead(given: Any, folder: Path) -> dict[str, Any]:
    from tests.record.overhead import overhead

    return overhead(given.before, given.job_prompts, given.turns)


def _other(name: str, *arguments: str) -> dict[str, Any]:
    """The figures of another benchmark."""
    command = [sys.executable, "-m", f"tests.benchmarks.{name}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stdout[-1000:]}{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


_WORK: dict[str, Callable[[Any, Path], dict[str, Any]]] = {
    "reuse": _reuse,
    "killed": _killed,
    "redraw": _redraw,
    "bytes": _bytes,
    "s3": _s3,
    "audit": _audit,
    "parts": _parts,
    "overhead": _overhead,
}


if __name__ == "__main__":
    main()
