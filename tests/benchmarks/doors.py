"""The doors in figures: what comes in, what goes out, and how soon there is something to look at.

    python -m tests.benchmarks.doors
    python -m tests.benchmarks.doors importers exports --mutations 1000

importers: a table importer × published layout × outcome, and what became of damaged rows of each
    format and of torn files: rows or our own errors (`tests.doors.importers`).
exports: peak memory for many pairs as a share of that for few, and MB/s as a share of plain
    pyarrow's (`tests.doors.exports`).
pipelines: tiny random checkpoints of pipeline classes: drawn, or refused at the plan
    (`tests.doors.pipelines`).
pages: the commands of each page of docs/journeys in a clean clone, in seconds
    (`tests.doors.pages`).
demo: seconds to the demo's first pairs and to its end (`tests.doors.demo`).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PARTS = ("importers", "exports", "pipelines", "pages", "demo")


def main() -> None:
    """Measure, and end with one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all")
    parser.add_argument("--mutations", type=int, default=10_000, help="of rows, for each format")
    parser.add_argument("--few", type=int, default=1_000, help="pairs of `exports`")
    parser.add_argument("--many", type=int, default=100_000, help="pairs of `exports`")
    parser.add_argument("--runs", type=int, default=3, help="of the demo")
    given = parser.parse_args()
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {min(unknown)!r}; known: {', '.join(PARTS)}")
    figures: dict[str, Any] = {}
    for name in given.parts or PARTS:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            found = _WORK[name](given, Path(folder))
        found["seconds_in_all"] = round(time.monotonic() - began, 1)
        print(f"== {name}\n{json.dumps(found, indent=2)}", flush=True)
        figures[name] = found
    print(json.dumps(figures))


def _importers(given: Any, folder: Path) -> dict[str, object]:
    from tests.doors.importers import figures

    return figures(given.mutations)


def _exports(given: Any, folder: Path) -> dict[str, object]:
    from tests.doors.exports import figures

    return figures(given.few, given.many)


def _pipelines(given: Any, folder: Path) -> dict[str, object]:
    from tests.doors.pipelines import figures

    return figures()


def _pages(given: Any, folder: Path) -> dict[str, object]:
    from tests.doors.pages import walk

    return walk(folder)


def _demo(given: Any, folder: Path) -> dict[str, object]:
    from tests.doors.demo import demo

    return demo(folder, given.runs)


_WORK: dict[str, Callable[[Any, Path], dict[str, object]]] = {
    "importers": _importers,
    "exports": _exports,
    "pipelines": _pipelines,
    "pages": _pages,
    "demo": _demo,
}


if __name__ == "__main__":
    main()
