"""LLaVA-style conversations that put a question to a judge: what was asked, and what it answered.

The human turn holds an instruction and its parts (`factory.labels.instruction`); the other turn
holds a verdict, a score, or points for each dimension, often with a reason. They are read by the
grammar that reads our own judges (`factory.judging.grammar`). A scale that the instruction states
counts before that of the set. What cannot be read is an error and never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from factory.judging.grammar.answer import Answer, UnreadableError
from factory.judging.grammar.score import (
    Number,
    dimensions_in,
    listed_scale_in,
    scale_in,
    score_in,
    two_scores_in,
)
from factory.judging.grammar.verdict import Verdict, verdict_in
from factory.labels.draft import Draft, Scale
from factory.labels.instruction import Instruction
from factory.labels.record import Record, is_clip
from schemas.rows import Dimension, Media, Preference, Prompt, Task

#: What a row may hold; the formats that are conversations read these columns.
COLUMNS = ("conversations", "images", "image", "video", "videos")
#: The question of an answer that is a caption, of which the sets give none.
DESCRIBE = "Describe the image."

#: Only an instruction to compare names a second medium.
_ASKS_FOR_PAIR = re.compile(r"\b(?:image|video)\s*2\b|\btwo\b[^.\n]*\b(?:images|videos)\b", re.I)
_ROLES = {"human": "human", "user": "human", "gpt": "gpt", "assistant": "gpt"}
_CLIPS = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi")
_SHARES: Scale = (0.0, 1.0)


@dataclass(frozen=True)
class Form:
    """What one set's conversations are like.

    name: of the set.
    annotator: who judged.
    scales: of the scores, by task, where the instruction states none.
    rates_captions: whether a caption is the answer that is judged, and no prompt for a generator.
    """

    name: str
    annotator: str
    scales: Mapping[Task, Scale]
    rates_captions: bool = False


def parse(record: Record, form: Form) -> Iterator[Draft]:
    """The one label of a conversation."""
    asked, answered = _turns(record)
    try:
        told = Instruction.of(asked)
    except ValueError as error:
        raise record.fault("conversations", str(error)) from None
    if not {"question", "caption"} & set(told.parts):
        raise record.fault("conversations", "ask about neither a 'Text Caption' nor a 'Question'")
    key, media, is_video = _media(record)
    if "question" in told.parts:
        (shown,) = _shown(record, key, media, 1, is_video, told)
        yield _of_answers(record, form, told, answered, shown)
    elif form.rates_captions:
        (shown,) = _shown(record, key, media, 1, is_video, told)
        yield _of_caption(record, form, told, answered, shown)
    else:
        is_pair = _ASKS_FOR_PAIR.search(told.rest) is not None or (
            len(media) == 2 and (is_video or "video" not in told.rest.lower())
        )
        sides = _shown(record, key, media, 2 if is_pair else 1, is_video, told)
        yield _of_media(record, form, told, answered, sides)


def _of_answers(
    record: Record, form: Form, told: Instruction, answered: str, shown: Media
) -> Draft:
    """A label of answers to a question about a medium."""
    task: Task = "video_understanding" if is_clip(shown) else "image_understanding"
    is_pair = "first" in told.parts
    names = ("first", "second") if is_pair else ("only",)
    for name in names:
        if name not in told.parts:
            raise record.fault("conversations", f"quote no answer that could be the {name} one")
    prompt = Prompt.of(told.parts["question"], task, {"source": form.name}, shown)
    said = _pair(record, told, answered) if is_pair else _point(record, form, task, told, answered)
    return said.draft(
        prompt,
        form.annotator,
        first_answer=told.parts[names[0]],
        second_answer=told.parts["second"] if is_pair else None,
    )


def _of_caption(
    record: Record, form: Form, told: Instruction, answered: str, shown: Media
) -> Draft:
    """A label of a caption, which is an answer about its picture."""
    prompt = Prompt.of(DESCRIBE, "image_understanding", {"source": form.name}, shown)
    said = _point(record, form, "image_understanding", told, answered)
    return said.draft(prompt, form.annotator, first_answer=told.parts["caption"])


def _of_media(
    record: Record, form: Form, told: Instruction, answered: str, sides: list[Media]
) -> Draft:
    """A label of pictures or clips that were made of a caption."""
    task: Task = "video_generation" if is_clip(sides[0]) else "image_generation"
    prompt = Prompt.of(told.parts["caption"], task, {"source": form.name})
    is_pair = len(sides) == 2
    said = _pair(record, told, answered) if is_pair else _point(record, form, task, told, answered)
    second = sides[1] if is_pair else None
    return said.draft(prompt, form.annotator, first=sides[0], second=second)


# ---------------------------------------------------------------------------------------- media


def _media(record: Record) -> tuple[str, list[Any], bool]:
    """The key of a row's media, these, and whether they are clips."""
    held = [key for key in ("images", "image", "videos", "video") if record.row.get(key)]
    if len({key.removesuffix("s") for key in held}) > 1:
        raise record.fault(held[0], f"stands beside {held[-1]!r}; which is it about?")
    key, media = (held[0], record.row[held[0]]) if held else record.value("image", *COLUMNS[1:])
    if not isinstance(media, list | tuple):
        media = [media]
    media = list(media)
    if not media:
        raise record.fault(key, "is empty")
    return key, media, key.startswith("video") or _is_clip(media[0])


def _is_clip(value: object) -> bool:
    """Whether a medium is a clip by its name, or as a list of its frames."""
    name = value.get("path") if isinstance(value, Mapping) else value
    return isinstance(value, list) or (isinstance(name, str) and name.lower().endswith(_CLIPS))


def _shown(
    record: Record, key: str, media: list[Any], num: int, is_video: bool, told: Instruction
) -> list[Media]:
    """One medium a side; a clip may come as its frames, as many of each side."""
    is_video = is_video or (len(media) > num and "video" in told.rest.lower())
    if len(media) == num:
        return [
            record.as_clip(key, one)
            if isinstance(one, list)
            else record.as_medium(key, one, is_video=is_video)
            for one in media
        ]
    if not is_video or len(media) % num or any(_is_clip(one) for one in media):
        raise record.fault(key, f"has {len(media)} media, and this needs {num}")
    size = len(media) // num
    return [record.as_clip(key, media[at * size : (at + 1) * size]) for at in range(num)]


def _turns(record: Record) -> tuple[str, str]:
    """What the human said, and what the model answered."""
    said: dict[str, str] = {}
    for turn in record.items("conversations"):
        if not isinstance(turn, Mapping):
            raise record.fault("conversations", f"holds a {type(turn).__name__}, and not a turn")
        text = turn.get("value", turn.get("content"))
        if not isinstance(text, str):
            raise record.fault("conversations", "holds a turn without a text 'value'")
        role = _ROLES.get(str(turn.get("from", turn.get("role"))))
        if role is None or not text.strip():
            continue
        if role in said:
            raise record.fault("conversations", f"has several turns from {role!r}, and a label one")
        said[role] = re.sub("<(?:image|video)>", "", record.as_text("conversations", text)).strip()
    for role in ("human", "gpt"):
        if not said.get(role):
            raise record.fault("conversations", f"has no turn from {role!r}")
    return said["human"], said["gpt"]


# --------------------------------------------------------------------------------------- answers


@dataclass(frozen=True)
class _Said:
    """What was said of one side, or of two."""

    why: str
    preference: Preference | None = None
    rating: float | None = None
    scale: Scale | None = None
    dimensions: tuple[Dimension, ...] = ()

    def draft(self, prompt: Prompt, annotator: str, **sides: Any) -> Draft:
        return Draft(
            prompt,
            annotator,
            preference=self.preference,
            rating=self.rating,
            scale=self.scale,
            justification=self.why,
            dimensions=self.dimensions,
            **sides,
        )


def _pair(record: Record, told: Instruction, answered: str) -> _Said:
    """The verdict of an answer; points of dimensions count on a scale that is known."""
    if told.layout == "headed":
        try:
            return _two_scores(record, told, answered)
        except UnreadableError:
            pass  # not every such layout asks for two scores
    try:
        verdict = verdict_in(answered)
    except UnreadableError as error:
        known = {"no verdict": "gives no verdict", "contradictory verdicts": "contradicts itself"}
        what = known.get(str(error), f"cannot be read ({error})")
        raise record.fault("conversations", f"{what}: {answered!r:.120}") from None
    scale, dimensions = _dimensions_of_pair(told, verdict)
    return _Said(verdict.reason, verdict.preference, scale=scale, dimensions=dimensions)


def _two_scores(record: Record, told: Instruction, answered: str) -> _Said:
    first, second, why = two_scores_in(answered)
    scale = scale_in(told.rest)
    if scale is not None:
        for score in (first, second):
            record.as_number("conversations", score, *scale)
    preference: Preference = "tie" if first == second else "first" if first > second else "second"
    return _Said(why, preference)


def _dimensions_of_pair(
    told: Instruction, verdict: Verdict
) -> tuple[Scale | None, tuple[Dimension, ...]]:
    """What is said of dimensions; without a scale, which side each prefers alone."""
    points = [(one.first or 0.0, one.second or 0.0) for one in verdict.dimensions]
    if not points:
        return None, ()
    are_shares = all(abs(first + second - 1) < 0.02 for first, second in points)
    scale = _SHARES if are_shares else scale_in(told.rest)
    if scale is None or not all(scale[0] <= one <= scale[1] for both in points for one in both):
        return None, tuple(Dimension(one.name, one.preference) for one in verdict.dimensions)
    return scale, verdict.dimensions


def _point(record: Record, form: Form, task: Task, told: Instruction, answered: str) -> _Said:
    """The score of an answer, else the mean of its dimensions."""
    rest = told.rest.lower()
    try:
        numbers = dimensions_in(answered, lambda name: name in rest)
        score = _score(answered, is_needed=not numbers)
    except UnreadableError as error:
        what = "give no score" if str(error).startswith("no number") else f"give no score ({error})"
        raise record.fault("conversations", f"{what}: {answered!r:.120}") from None
    scale = _scale(record, form, task, told, score, numbers)
    dimensions = _dimensions(record, told, numbers, scale, is_mean=score is None)
    if score is not None:
        if score.of not in (None, scale[1]):
            said = (
                f"{score.value:g} out of {score.of:g} on a scale from {scale[0]:g} to {scale[1]:g}"
            )
            raise record.fault("conversations", f"give {said}")
        rating = record.as_number("conversations", score.value, *scale)
        return _Said(score.reason, rating=rating, scale=scale, dimensions=dimensions)
    points = [one.first for one in dimensions if one.first is not None]
    why = Answer.of(answered).reasoning
    return _Said(why, rating=sum(points) / len(points), scale=scale, dimensions=dimensions)


def _score(answered: str, *, is_needed: bool) -> Number | None:
    """The score of the whole; None where none is needed, and there is none."""
    try:
        return score_in(answered)
    except UnreadableError as error:
        if is_needed or not str(error).startswith("no number"):
            raise
        return None


def _scale(
    record: Record,
    form: Form,
    task: Task,
    told: Instruction,
    score: Number | None,
    numbers: Mapping[str, Number],
) -> Scale:
    """That which stands beside the number, else that of the instruction, else that of the set."""
    beside = {score.scale} if score is not None else {one.scale for one in numbers.values()}
    stated, asked = beside.pop() if len(beside) == 1 else None, scale_in(told.rest)
    if score is not None and stated and asked not in (None, stated):
        raise record.fault("conversations", "give a score on another scale than was asked for")
    stated = stated or asked
    if (
        stated is None
        and told.layout == "named"
        and ("question" in told.parts or not form.rates_captions)
    ):
        stated = form.scales.get(task)
    if stated is None:
        raise record.fault(
            "conversations",
            "state no scale, as 'from 0 to 100', and this layout of the set has several",
        )
    return stated


def _dimensions(
    record: Record,
    told: Instruction,
    numbers: Mapping[str, Number],
    scale: Scale,
    *,
    is_mean: bool,
) -> tuple[Dimension, ...]:
    """Dimensions with their points on the label's scale; one beside a score whose own scale is
    not known is left out.
    """
    listed = scale if is_mean else listed_scale_in(told.rest)
    found = []
    for name, number in numbers.items():
        own = number.scale or listed
        if own is not None:
            value = record.as_number("conversations", number.value, *own)
            if own != scale:
                share = (value - own[0]) / (own[1] - own[0])
                value = round(scale[0] + share * (scale[1] - scale[0]), 9)
            found.append(Dimension(name, first=value))
    return tuple(found)
