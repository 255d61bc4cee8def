"""The whole loop on the embedded default: what `make demo` runs.

The same as `python -m jobs.loop --recipe jobs/recipes/laptop.yaml`, followed by a list of
everything that was made and how to look at it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from jobs import cli
from schemas.recipe import Recipe


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo."""
    arguments = cli.parser("demo", "Run the whole loop on the embedded sandbox.")

    def work(recipe: Recipe, given: argparse.Namespace) -> None:

        from jobs.stages.run import run_loop
        from jobs.tools.demo import summarise

        began = time.monotonic()
        run_loop(recipe, dry_run=given.dry_run)
        if not given.dry_run:
            summarise(recipe, time.monotonic() - began)

    return cli.run(arguments, work, argv)


if __name__ == "__main__":
    sys.exit(main())
