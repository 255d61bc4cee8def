"""Does a judge say the same of the same labels, however it is run?

A judge's number is a property of the judge only as far as it does not hang on what else was in the
batch, on the precision of the weights, and on the engine. The same labels are asked about in
several ways (`actors.stability`), and each way is held against the first, duel by duel and score by
score. The largest change is told rather than a mean: one flip in a thousand is what a user meets
who runs the same command twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from factory.ranking.matchups import is_readable
from schemas.results import Stability, Variant
from schemas.rows import Duel, Opinion, Score, draw_of


def sample(labels: Iterable[tuple[str, bool]], num: int) -> set[str]:
    """The ids of `num` labels, pairs before labels of one side, by a draw that depends on the ids
    alone.

    Args:
        labels: their ids, and whether they are pairs.
        num: at most.
    """
    order = sorted(labels, key=lambda one: (not one[1], draw_of("stability", one[0]), one[0]))
    return {label_id for label_id, _ in order[:num]}


def compare(name: str, baseline: Sequence[Opinion], other: Sequence[Opinion]) -> Variant:
    """What another way of asking changes.

    Args:
        name: of the way.
        baseline: opinions of some labels.
        other: of the same labels, by the same judge asked so.

    Raises:
        ValueError: they are about different labels.
    """
    there = {one.label_id: one for one in other}
    if there.keys() != {one.label_id for one in baseline}:
        raise ValueError(f"{name}: its opinions are about other labels than the baseline's")
    duels = [pair for one in baseline for pair in _duels(one, there[one.label_id])]
    scores = [pair for one in baseline for pair in _scores(one, there[one.label_id])]
    both_duels = [(a, b) for a, b in duels if a is not None and b is not None]
    both_scores = [(a, b) for a, b in scores if a is not None and b is not None]
    moved = [abs(a.p_first - b.p_first) for a, b in both_duels]
    shifted = [abs(a.value - b.value) for a, b in both_scores]
    one_way = [(a is None) != (b is None) for a, b in (*duels, *scores)]
    return Variant(
        name,
        num_duels=len(both_duels),
        num_scores=len(both_scores),
        num_flips=sum(a.preference != b.preference for a, b in both_duels),
        num_changed=sum(change > 0 for change in (*moved, *shifted)),
        largest_p=max(moved, default=None),
        largest_score=max(shifted, default=None),
        num_one_way=sum(one_way),
    )


def num_unread(opinions: Sequence[Opinion]) -> int:
    """The opinions in which nothing could be read."""
    return sum(not _readable_duels(one) and not _readable_scores(one) for one in opinions)


def as_text(found: Stability) -> str:
    """The table as lines."""
    lines = [f"{found.judge} on {found.num_labels} labels, {found.baseline}, and otherwise:"]
    if found.num_unread:
        lines.append(f"  nothing could be read of {found.num_unread} of them")
    for one in found.variants:
        if one.why_not:
            lines.append(f"  {one.name:<42} not run: {one.why_not}")
            continue
        told = [f"{one.num_flips} of {one.num_duels} verdicts flip"]
        if one.largest_p is not None:
            told.append(f"p(first) changes by up to {one.largest_p:.2g}")
        if one.largest_score is not None:
            told.append(f"scores by up to {one.largest_score:.2g} points over {one.num_scores}")
        if one.num_one_way:
            told.append(f"{one.num_one_way} readable in one way alone")
        lines.append(f"  {one.name:<42} {', '.join(told)}")
    return "\n".join(lines)


def _duels(one: Opinion, other: Opinion) -> Iterator[tuple[Duel | None, Duel | None]]:
    """The duels of both in pairs of one order; None where it cannot be read."""
    mine, theirs = _readable_duels(one), _readable_duels(other)
    for order in sorted(mine.keys() | theirs.keys()):
        yield mine.get(order), theirs.get(order)


def _readable_duels(opinion: Opinion) -> dict[tuple[str, str], Duel]:
    return {(one.first_id, one.second_id): one for one in opinion.duels if is_readable(one)}


def _scores(one: Opinion, other: Opinion) -> Iterator[tuple[Score | None, Score | None]]:
    mine, theirs = _readable_scores(one), _readable_scores(other)
    for side in sorted(mine.keys() | theirs.keys()):
        yield mine.get(side), theirs.get(side)


def _readable_scores(opinion: Opinion) -> dict[str, Score]:
    return {
        one.candidate_id: one
        for one in opinion.scores
        if one.error is None and math.isfinite(one.value)
    }
