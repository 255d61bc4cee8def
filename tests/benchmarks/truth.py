"""What the figures claim beside what is so, in simulations of which the truth is known.

    python -m tests.benchmarks.truth
    python -m tests.benchmarks.truth alarm rounds --replications 200 --seed 7

Each part is `tests.truth.PART`, whose docstring says what is simulated; the names of its figures
are those of the last line, one JSON object that holds all parts that were run. Every judge, witness
and annotator is simulated. Seeds and replications are options, so that others can draw afresh.
"""

from __future__ import annotations

import argparse
import json
import time
from importlib import import_module

#: How often each part is drawn where nothing else is said.
REPLICATIONS = {
    "scales": 1000,
    "margins": 1000,
    "clipped": 1000,
    "alarm": 1000,
    "failures": 1000,
    "bias": 300,
    "slices": 1000,
    "human_audit": 300,
    "rounds": 1000,
    "strategies": 1000,
    "panel": 1000,
}


def main() -> None:
    """Simulate, and end with one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(REPLICATIONS)}")
    parser.add_argument("--replications", type=int, help="of each part; else as wanted of it")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    unknown = set(given.parts) - set(REPLICATIONS)
    if unknown:
        parser.error(f"unknown part {min(unknown)!r}; known: {', '.join(REPLICATIONS)}")
    figures: dict[str, object] = {}
    for name in given.parts or REPLICATIONS:
        began = time.monotonic()
        found = import_module(f"tests.truth.{name}").figures(
            given.replications or REPLICATIONS[name], given.seed
        )
        took = time.monotonic() - began
        print(f"== {name} ({took:.0f} s)\n{json.dumps(found, indent=2)}", flush=True)
        figures |= found
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
