"""Go back to an earlier champion: for the rounds that follow, and for whoever loads by alias.

    python -m jobs.rollback --to generator@0 --reason "blurs faces, says the print shop"

It is recorded in the root beside the artifacts and moves the alias `champion` in the registry. What
the rounds made stays as it is, and so do their decisions. A round that has begun keeps the champion
it began with: one that is not finished must be finished, or taken away, before going back.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from jobs import cli
from schemas.recipe import Recipe


def main(argv: Sequence[str] | None = None) -> int:
    """Go back from the command line."""
    arguments = cli.parser("rollback", __doc__ or "")
    arguments.formatter_class = argparse.RawDescriptionHelpFormatter
    arguments.add_argument("--to", required=True, metavar="NAME@N", help="an earlier champion")
    arguments.add_argument("--reason", required=True, metavar="TEXT", help="for the record")

    def work(recipe: Recipe, given: argparse.Namespace) -> None:
        roll_back(recipe, given.to, given.reason, dry_run=given.dry_run)

    return cli.run(arguments, work, argv)


def roll_back(recipe: Recipe, to: str, reason: str, *, dry_run: bool = False) -> None:
    """Make an earlier champion the champion.

    Raises:
        InputError: it never was champion, is it already, or a round is under way.
    """
    from datetime import UTC, datetime
    from pathlib import Path

    from actors import storage
    from jobs.rounds.history import rounds_so_far, write_summary
    from jobs.rounds.promotion import point_champion
    from jobs.rounds.tracking import Tracker
    from jobs.rounds.workspace import MAKERS, InputError, Round, champion, generator, rollback_file
    from jobs.rounds.workspace import rollbacks as rollbacks_after
    from schemas import results

    generator(recipe, to)  # refuses another name
    done = [one for one in rounds_so_far(recipe) if not one.missing]
    if not done:
        raise InputError(f"{recipe.root}: no round is finished: there is nothing to go back from")
    last = Round(recipe, done[-1].number)
    champions = [str(done[0].champion), *(str(one.next_champion) for one in done)]
    if to not in champions:
        raise InputError(
            f"{to} never was champion here; these were: {', '.join(dict.fromkeys(champions))}"
        )
    following = Round(recipe, last.number + 1)
    begun = [str(one) for kind in MAKERS if (one := following.directory(kind)).exists()]
    if begun:
        raise InputError(
            f"round {following.number} has begun with {champion(following).address}: finish it, or "
            f"remove what it made first: {', '.join(begun)}"
        )
    was = champion(following).address
    if was == to and not rollbacks_after(last):
        raise InputError(f"{to} is champion already")
    print(f"champion after round {last.number}: {was} -> {to}", flush=True)
    if dry_run:
        return
    if was != to:  # else it was recorded by a run that died before it told the registry
        number = len(rollbacks_after(last)) + 1
        record = results.Rollback(to, was, reason, datetime.now(UTC).isoformat(timespec="seconds"))
        path = rollback_file(last, number)
        if isinstance(path, Path):
            path.parent.mkdir(parents=True, exist_ok=True)
        storage.write_new(path, results.to_bytes(record))
        print(f"recorded: {path}", flush=True)
    point_champion(last, to, Tracker.of(recipe), reason)
    print(f"summary: {write_summary(recipe)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
