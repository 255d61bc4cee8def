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

        began = time.monotonic()
        run_loop(recipe, dry_run=given.dry_run)
        if not given.dry_run:
            summarise(recipe, time.monotonic() - began)

    return cli.run(arguments, work, argv)


def summarise(recipe: Recipe, seconds: float) -> None:
    """Name every output of the loop."""
    from jobs.rounds.tracking import tracking_uri
    from jobs.rounds.workspace import MAKERS, Round
    from schemas import manifest, results

    print(f"\n{recipe.name}: done in {seconds / 60:.1f} minutes. What was made:")
    at = Round(recipe, 1)
    for number in range(1, recipe.num_rounds + 1):
        at = Round(recipe, number)
        for kind in MAKERS:
            made = manifest.read(at.directory(kind))
            if made is not None:
                print(f"  {made.address:<14} {at.directory(kind)}")
        decision = results.read(at.directory("evaluation") / results.FINDINGS, results.Decision)
        if decision is not None:
            print(f"  round {number}: {decision.decision} {decision.challenger}")
    print(f"  MLflow         python -m jobs.review   ({tracking_uri(recipe)})")
    print(f"  report         {at.report().absolute().as_uri()}")


if __name__ == "__main__":
    sys.exit(main())
