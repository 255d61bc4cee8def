"""`jobs.produce --retry-invalid`: a complete data set whose failed attempts are made again."""

from __future__ import annotations

from jobs.rounds.workspace import Round
from jobs.session.ray_session import ray_session
from jobs.session.run_log import new_log, run_log
from jobs.stages.produce import num_failed, retry_invalid
from jobs.stages.run import run_stages
from schemas.recipe import Recipe


def retry(recipe: Recipe, number: int, *, dry_run: bool = False) -> None:
    """Make again what only an attempt failed at in the groups of a round, and record the result.

    Args:
        recipe: of the groups.
        number: of the round.
        dry_run: count the rows and start nothing.

    Raises:
        InputError: the data set is not complete yet, or was made with another recipe.
    """
    at = Round(recipe, number)
    if dry_run:
        print(f"{at.address('groups')}: {num_failed(at)} row(s) to make again")
        return
    log = new_log(at.root)
    with ray_session(recipe), run_log(log, recipe=recipe.name, round=number):
        retry_invalid(at)
    # Complete under its new manifest, and recorded like any other.
    run_stages(recipe, number, ["produce"])
