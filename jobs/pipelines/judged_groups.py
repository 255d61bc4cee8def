"""Groups that came with their judgements (`produce.judged`): a table to `groups@N`, and no model.

    rows (`bringing`) -> rows of one prompt together -> scores and duels of its group -> Parquet

Whoever judged is named and not loaded. A group is valid by scores alone, by duels alone, or by
both; curation orders it by what there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from actors.media_store import media_store
from factory.brought.verdicts import together
from factory.curation.survey import count_table
from factory.ids import numbers_of, positions
from jobs.datasets.at_hand import AtHand, Source
from jobs.datasets.parts import Settled, ids_of, read_parts, settle
from jobs.datasets.writing import Part
from jobs.pipelines.bringing import bring, bringing, clear_notes, look
from jobs.rounds.workspace import InputError
from schemas.arrow import groups_to_table
from schemas.columns import GROUPS
from schemas.manifest import Parent
from schemas.places import Place
from schemas.recipe import Judged, Rank, Recipe

#: The recipe's key of groups that exist.
JUDGED = "produce.judged"
_GROUPS_AT_ONCE = 256
#: Strategies that order by scores, and by duels that they have planned themselves.
_NEED_SCORES = ("pointwise", "random")
_NEED_THEIR_DUELS = ("paper", "pairwise")


def told_judged(spec: Judged, rank: Rank) -> str:
    """What a plan says of groups that exist.

    Raises:
        InputError: no such table, a missing column, scores without a scale, or a strategy of
            curation that cannot order by what the first rows say.
    """
    seen = look(bringing(spec, JUDGED))
    if rank.strategy in _NEED_THEIR_DUELS:
        raise InputError(
            f"curate.rank.strategy: {rank.strategy} orders by duels that it plans itself, and "
            f"{JUDGED} brings its own: choose bracket, ring, round_robin or pointwise"
        )
    if rank.strategy in _NEED_SCORES and not seen.has_scores:
        raise InputError(
            f"curate.rank.strategy: {rank.strategy} orders by scores, and the first rows of "
            f"{seen.path} have none: choose bracket, ring or round_robin"
        )
    said = []
    if seen.has_scores and spec.scale is not None:
        low, high = spec.scale
        said.append(f"scores from {low:g} to {high:g}, of which curate's points are")
    if seen.has_duels:
        said.append("preferences")
    return f"{seen}, judged by {spec.address} ({' and '.join(said)})"


def parent_of_judged(spec: Judged) -> Parent:
    """The table, as the parent of groups."""
    return bringing(spec, JUDGED).parent()


def take_judged(
    spec: Judged, directory: Place, recipe: Recipe
) -> tuple[Settled, Mapping[str, int]]:
    """The groups of a brought table in `directory`; those that an earlier run wrote are kept.

    Args:
        spec: of the table.
        directory: of the data set.
        recipe: for the layout, and the share of rows that may be unusable.

    Returns:
        the data set, and the counts of the rows that it was made of.

    Raises:
        InputError: as `jobs.pipelines.bringing.bring`.
    """
    brought = bring(bringing(spec, JUDGED), directory, recipe)
    prompts = brought.prompts
    ids = numbers_of(prompts.ids())
    done = ids_of(read_parts(directory, "prompt_id", "part"))
    is_left = positions(ids, done) < 0
    rows = AtHand([Source(directory, prompts.files, is_whole=True)], ids[is_left])
    store = media_store(directory, recipe.storage.max_inline_bytes)
    write = Part(directory, "part", store, is_last=True)
    left = (one for one, is_one in zip(prompts.ids(), is_left, strict=True) if is_one)
    while few := list(islice(left, _GROUPS_AT_ONCE)):
        found = rows.rows(few)
        write(groups_to_table(together(found[prompt_id]) for prompt_id in few))
    settled = settle(
        read_parts(directory, "prompt_id"),
        directory,
        GROUPS,
        recipe.storage,
        wanted=prompts.ids(),
        count=count_table,
    )
    clear_notes(directory)
    return settled, brought.counts
