"""Going back to an earlier champion: what is refused, recorded and told to the registry."""

from __future__ import annotations

from datetime import UTC, datetime

from actors import storage
from jobs.rounds.history import rounds_so_far, write_summary
from jobs.rounds.promotion import point_champion
from jobs.rounds.tracking import Tracker
from jobs.rounds.workspace import InputError, Round, champion, generator, rollback_file
from jobs.rounds.workspace import rollbacks as rollbacks_after
from schemas import results
from schemas.artifacts import loop_kinds
from schemas.recipe import Recipe


def roll_back(recipe: Recipe, to: str, reason: str, *, dry_run: bool = False) -> None:
    """Make an earlier champion the champion.

    Raises:
        InputError: it never was champion, is it already, or a round is under way.
    """
    generator(recipe, to)  # refuses another name
    done = [one for one in rounds_so_far(recipe) if not one.missing and one.decision is not None]
    if not done:
        raise InputError(
            f"{recipe.root}: no round is finished with a decision, so {recipe.generator.name}@0 is "
            "champion: there is nothing to go back from"
        )
    last = Round(recipe, done[-1].number)
    champions = [str(done[0].champion), *(str(one.next_champion) for one in done)]
    if to not in champions:
        raise InputError(
            f"{to} never was champion here; these were: {', '.join(dict.fromkeys(champions))}"
        )
    following = Round(recipe, last.number + 1)
    directories = [following.directory(kind.name) for kind in loop_kinds()]
    begun = [str(directory) for directory in directories if directory.exists()]
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
        path.parent.mkdir(parents=True, exist_ok=True)
        storage.write_new(path, results.to_bytes(record))
        print(f"recorded: {path}", flush=True)
    point_champion(last, to, Tracker.of(recipe), reason)
    print(f"summary: {write_summary(recipe)}", flush=True)
