"""What the demo says at its end: everything that was made, and how to look at it."""

from __future__ import annotations

from jobs.rounds.tracking import tracking_uri
from jobs.rounds.workspace import Round
from schemas import manifest, results
from schemas.artifacts import loop_kinds
from schemas.recipe import Recipe


def summarise(recipe: Recipe, seconds: float) -> None:
    """Name every output of the loop."""
    print(f"\n{recipe.name}: done in {seconds / 60:.1f} minutes. What was made:")
    at = Round(recipe, 1)
    for number in range(1, recipe.num_rounds + 1):
        at = Round(recipe, number)
        for kind in loop_kinds():
            directory = at.directory(kind.name)
            made = manifest.read(directory)
            if made is not None:
                print(f"  {made.address:<14} {directory}")
        decision = results.read(at.directory("evaluation") / results.FINDINGS, results.Decision)
        if decision is not None:
            print(f"  round {number}: {decision.decision} {decision.challenger}")
    print(f"  MLflow         python -m jobs.review   ({tracking_uri(recipe)})")
    print(f"  report         {at.report().absolute().as_uri()}")
