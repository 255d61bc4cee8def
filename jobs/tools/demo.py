"""The demo: first pairs from a judge as it is, then the loop."""

from __future__ import annotations

import time

from jobs.rounds.workspace import Round
from jobs.stages.run import run_loop
from schemas.recipe import Recipe


def show(first: Recipe, recipe: Recipe, *, dry_run: bool = False) -> None:
    """Run two recipes, one after the other, and say when there were pairs to look at.

    Args:
        first: without labels: makes pairs soonest.
        recipe: of the whole loop.
        dry_run: print both plans and start nothing.
    """
    began = time.monotonic()
    run_loop(first, dry_run=dry_run)
    if not dry_run:
        seconds = time.monotonic() - began
        page = Round(first, 1).report().absolute().as_uri()
        print(f"\nfirst pairs after {seconds:.0f} s, with pictures: {page}\n", flush=True)
    run_loop(recipe, dry_run=dry_run)
