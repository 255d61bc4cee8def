"""What a record is made of, and what the formats share: whether a row fits, who is shown first,
what is said in a prompt, and where a row comes from.

A record is a dict of plain values. Where it shows a medium it holds the `Media` itself, or says how
it is to be written (`Raw`, `Frames`): the writer puts bytes or a path there, so a projection needs
no pixels and can be tried on rows that were read without them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from factory.exports.columns import MediaMode
from factory.prompt_parts import in_words, turns
from schemas.rows import UNDERSTANDING, Candidate, Group, Media, Origin, Pair, Prompt, Task, seed_of

#: What is exported: rows of `pairs@N`, or of `groups@N` and `candidates@N`.
Kind = Literal["pairs", "groups"]
Record = dict[str, Any]


@dataclass(frozen=True)
class Unfit:
    """Why a format cannot hold a row: a reason by which rows are counted, and what it is of this
    one.
    """

    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Options:
    """What a projection may need to know beside the row.

    media: whether media are written into the table or beside it.
    scale: lowest and highest number of points of the judge whose scores groups hold.
    """

    media: MediaMode
    scale: tuple[float, float] | None = None


#: A pair, or a group, to the records that it gives, or the reason why it gives none.
Projection = Callable[[Any, Options], "Sequence[Record] | Unfit"]


@dataclass(frozen=True)
class Raw:
    """A medium that a column holds as its bytes and nothing else."""

    media: Media


@dataclass(frozen=True)
class Frames:
    """A clip that is shown as some of its frames: as many media in its place, evenly over time."""

    media: Media
    num: int


# ------------------------------------------------------------------------------ whether a row fits


def misfit(pair: Pair, tasks: Sequence[Task]) -> Unfit | None:
    """Why a pair is for none of these tasks, or has no two different sides; None where it fits."""
    if (unfit := other_task(pair.prompt, tasks)) is not None:
        return unfit
    for name, side in (("chosen", pair.chosen), ("rejected", pair.rejected)):
        if side.error is not None or output(pair.prompt, side) is None:
            return Unfit("no output", f"the {name} side has none: {side.error or 'nothing there'}")
    if _are_equal(pair):
        return Unfit("equal sides", "chosen and rejected are the same")
    return None


def other_task(prompt: Prompt, tasks: Sequence[Task]) -> Unfit | None:
    """Why a prompt is for none of these tasks; None where it is for one."""
    if prompt.task in tasks:
        return None
    return Unfit("task", f"{prompt.task} has no place in this form; it holds {', '.join(tasks)}")


def more_than_caption(prompt: Prompt) -> Unfit | None:
    """Why a prompt is more than a caption, for forms that have a column for that alone."""
    if prompt.media_of("source"):
        return Unfit("source picture", "the form has no place for the picture that an edit starts")
    if prompt.parts or prompt.media is not None:
        return Unfit("parts", "the form has a caption, and this prompt is more than one text")
    return None


def output(prompt: Prompt, side: Candidate) -> Media | str | None:
    """What a side is: an answer where the prompt is a question, else a medium."""
    return side.answer if prompt.task in UNDERSTANDING else side.media


def is_clip(media: Media) -> bool:
    """Whether a medium is a clip and no picture."""
    return media.num_frames > 1 or media.fps > 0


def _are_equal(pair: Pair) -> bool:
    one, other = (output(pair.prompt, side) for side in (pair.chosen, pair.rejected))
    if not isinstance(one, Media) or not isinstance(other, Media):
        return one == other
    digests = [side.measures and side.measures.digest for side in (pair.chosen, pair.rejected)]
    if None not in digests:
        return digests[0] == digests[1]
    return one.stored is not None and one.stored == other.stored


# ------------------------------------------------------------------------------ what is in a row


def is_chosen_first(pair: Pair) -> bool:
    """Whether the better side is shown first where a form has places: a coin that the id tosses."""
    return seed_of("side", pair.pair_id) % 2 == 0


def spoken(prompt: Prompt, mark: str) -> list[tuple[str, str]] | Unfit:
    """The turns of a question, each as speaker ("user" or "assistant") and text, with a mark where
    each of its media is shown.
    """
    said = []
    for turn in turns(prompt):
        pieces: list[str] = []
        for part in turn.parts:
            if part.text is None:
                pieces.append(mark)
            else:
                is_after_text = bool(pieces) and pieces[-1] != mark
                pieces.append(("\n" if is_after_text else "") + part.text)
                if mark in part.text:
                    return has_mark(mark, "prompt")
        said.append((str(turn.speaker), "".join(pieces)))
    return said


def has_mark(mark: str, where: str) -> Unfit:
    """A text that a loader would take for the place of a medium."""
    return Unfit("mark in text", f"the {where} says {mark}, which the loader takes for a medium")


def number(value: float | None) -> float | None:
    """NaN as null: no JSON reader takes it, and a null cannot be trained on by mistake."""
    return None if value is None or math.isnan(value) else value


def provenance(pair: Pair) -> Record:
    """Where a pair comes from and how sure its judge is: the columns of `columns.PROVENANCE`."""
    return {
        "pair_id": pair.pair_id,
        "prompt_id": pair.prompt.prompt_id,
        "chosen_id": pair.chosen.candidate_id,
        "rejected_id": pair.rejected.candidate_id,
        "chosen_generator": pair.chosen.generator,
        "rejected_generator": pair.rejected.generator,
        "judge": pair.judge,
        "margin": number(pair.margin),
        "margin_sd": number(pair.margin_sd),
        "confidence": number(pair.p_chosen),
        "weight": pair.weight,
        "verdict": pair.verdict,
        "objections": list(pair.objections),
        **origin(pair.prompt),
    }


def origin(prompt: Prompt) -> Record:
    """What is known of a prompt's origin, and its tags."""
    known = prompt.origin or Origin()
    return {
        "source": known.source,
        "license": known.license,
        "consent": known.consent,
        "tags": [{"key": key, "value": value} for key, value in sorted(prompt.tags.items())],
    }


def shown_media(prompt: Prompt) -> list[Media]:
    """The media of a prompt, in order: those of a question, or the source of an edit."""
    return [part.media for part in prompt.in_full if part.media is not None]


def words(prompt: Prompt) -> str:
    """All that is said in a prompt as one text, a dialogue with its speakers."""
    return in_words(prompt)


def row_id(row: Pair | Group) -> str:
    """The id of a row, for messages."""
    return row.pair_id if isinstance(row, Pair) else row.prompt.prompt_id
