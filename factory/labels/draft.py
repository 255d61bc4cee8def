"""A label as its source tells it, before it has an id, a split and points on our scale."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

from factory.prompt_parts import check_parts
from schemas.rows import (
    SWAPPED,
    UNDERSTANDING,
    Dimension,
    Label,
    Media,
    Origin,
    Preference,
    Prompt,
    content_id,
    draw_of,
    seed_of,
)

#: The lowest and the highest number of points.
Scale = tuple[float, float]


@dataclass(frozen=True)
class Draft:
    """What a source says about one side, or about two.

    prompt: with the tags by which results can be sliced.
    annotator: SOURCE, or SOURCE:WHO where the source tells annotators apart; "model:SOURCE" where
        a model and no person judged.
    first, second: the media of a generation task.
    first_answer, second_answer: the answers of an understanding task.
    preference: for two sides.
    rating: for one side, on `scale`.
    scale: of the source.
    origin: of the label, where the row tells it.
    dimensions: what it says of single aspects; points on `scale`.
    weight: the confidence that the source gives it, from above 0 to 1; None where it gives none.
    """

    prompt: Prompt
    annotator: str
    first: Media | None = None
    second: Media | None = None
    first_answer: str | None = None
    second_answer: str | None = None
    preference: Preference | None = None
    rating: float | None = None
    scale: Scale | None = None
    justification: str = ""
    origin: Origin | None = None
    dimensions: tuple[Dimension, ...] = ()
    weight: float | None = None

    def swap(self) -> Draft:
        """The same pair told in the other order."""
        return replace(
            self,
            first=self.second,
            second=self.first,
            first_answer=self.second_answer,
            second_answer=self.first_answer,
            preference=SWAPPED[self.preference] if self.preference else None,
            dimensions=tuple(dimension.swap() for dimension in self.dimensions),
        )


def is_of_one(said: Draft | Label) -> bool:
    """Whether both sides are the same medium, to the byte, or the same answer."""
    if said.first is not None and said.second is not None:
        return said.first.data == said.second.data
    return said.first_answer is not None and said.first_answer == said.second_answer


def fault_of(draft: object) -> str | None:
    """Why what a format gives is no label; None where it is one."""
    if not isinstance(draft, Draft):
        return f"gave a {type(draft).__name__}, not a Draft (factory/labels/draft.py)"
    if (draft.preference is None) == (draft.rating is None):
        return "gave a draft that needs a preference or a rating, and not both"
    if draft.preference is not None and draft.preference not in get_args(Preference):
        known = ", ".join(get_args(Preference))
        return f"gave the preference {draft.preference!r:.40}; known: {known}"
    is_answer = draft.prompt.task in UNDERSTANDING
    sides = {
        "first": draft.first_answer if is_answer else draft.first,
        "second": draft.second_answer if is_answer else draft.second,
    }
    for name in ("first",) if draft.preference is None else ("first", "second"):
        if sides[name] is None:
            key = f"{name}_answer" if is_answer else name
            return f"gave a draft of {draft.prompt.task} without {key}"
    if draft.rating is not None and not math.isfinite(draft.rating):
        return f"gave the rating {draft.rating!r:.40}, which is no number"
    if draft.preference in ("first", "second") and is_of_one(draft):
        return f"prefers the {draft.preference} of two sides that are the same"
    if draft.weight is not None and not 0 < draft.weight <= 1:
        return f"gave the weight {draft.weight!r:.40}, which is not from above 0 to 1"
    return None


def content_of(draft: Draft, origin: Origin | None = None) -> str:
    """A digest of all that a source says in a draft, media by their bytes: two drafts of one digest
    are equal, so that nothing hangs on which of them is told first.

    Args:
        draft: what is said.
        origin: that its row tells; what is said of a whole file from outside is no part of it.
    """
    prompt = draft.prompt
    sides = [None if one is None else _digest(one) for one in (draft.first, draft.second)]
    return content_id(
        "draft",
        *(prompt.prompt_id, prompt.tags, draft.annotator, sides),
        *(draft.first_answer, draft.second_answer, draft.preference, draft.rating, draft.scale),
        *(draft.justification, [vars(one) for one in draft.dimensions], draft.weight),
        [vars(one) if one else None for one in (prompt.origin, draft.origin, origin)],
    )


def _digest(medium: Media) -> str:
    return hashlib.sha256(medium.data).hexdigest()


def finish(
    draft: Draft,
    key: str,
    heldout_share: float,
    scale: Scale | None = None,
    origin: Origin | None = None,
) -> Label:
    """The label of a draft.

    Args:
        draft: what the source says.
        key: tells the label from all others of its source; ids depend on it. What it says with a
            count of those that say the same: see `content_of`.
        heldout_share: of prompts. Rows of one caption, or about one picture, share a split; of
            several pictures the first counts.
        scale: of the judge, to which ratings and the points of dimensions are mapped linearly,
            with their fractions. Without one they stay as they are.
        origin: of the whole source; what a draft says of itself, or of its prompt, stands.

    Raises:
        PartsError: a prompt of parts of which nothing here makes anything.
    """
    prompt = draft.prompt
    if prompt.parts:
        check_parts(prompt.parts, prompt.task)
    if prompt.origin is None:
        prompt = replace(prompt, origin=draft.origin or origin)
    about = [part.media for part in prompt.in_full if part.media is not None]
    subject = hashlib.sha256(about[0].data).hexdigest() if about else prompt.prompt_id
    is_heldout = draw_of("split", subject) < heldout_share
    points = None if draft.rating is None else _mapped(draft.rating, draft.scale, scale)
    split: Literal["train", "heldout"] = "heldout" if is_heldout else "train"
    return Label(
        label_id=content_id("imported", key, draft.prompt.prompt_id, draft.annotator),
        prompt=prompt,
        annotator=draft.annotator,
        first=draft.first,
        second=draft.second,
        preference=draft.preference,
        points=points,
        justification=draft.justification,
        split=split,
        first_answer=draft.first_answer,
        second_answer=draft.second_answer,
        origin=draft.origin or origin,
        dimensions=tuple(_on_scale(one, draft.scale, scale) for one in draft.dimensions),
        weight=draft.weight,
    )


def _mapped(rating: float, given: Scale | None, wanted: Scale | None) -> float:
    """A rating on the wanted scale."""
    if given is None or wanted is None or given == wanted:
        return rating
    share = (rating - given[0]) / (given[1] - given[0])
    # What the mapping lost to binary fractions is undone: 1.9999999999999998 is 2.
    return round(wanted[0] + share * (wanted[1] - wanted[0]), 9)


def _on_scale(dimension: Dimension, given: Scale | None, wanted: Scale | None) -> Dimension:
    first, second = dimension.first, dimension.second
    return replace(
        dimension,
        first=None if first is None else _mapped(first, given, wanted),
        second=None if second is None else _mapped(second, given, wanted),
    )


def shuffled(draft: Draft, *key: object) -> Draft:
    """The draft or its swap, by a coin that depends on the key alone.

    For sources that always name the better side first: a judge must not learn the place.
    """
    return draft.swap() if seed_of("side", *key) % 2 else draft
