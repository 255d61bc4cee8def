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

from factory.labels import judgement
from factory.labels.draft import Draft, Scale
from factory.labels.instruction import Instruction
from factory.labels.judgement import Judgement
from factory.labels.record import Record
from schemas.rows import Media, Prompt, Task

#: What a row may hold; the formats that are conversations read these columns.
COLUMNS = ("conversations", "images", "image", "video", "videos")
#: The question of an answer that is a caption, of which the sets give none.
DESCRIBE = "Describe the image."

#: Only an instruction to compare names a second medium.
_ASKS_FOR_PAIR = re.compile(r"\b(?:image|video)\s*2\b|\btwo\b[^.\n]*\b(?:images|videos)\b", re.I)
_ROLES = {"human": "human", "user": "human", "gpt": "gpt", "assistant": "gpt"}
_CLIPS = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi")


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
    talk = _Talk(record, form, told, answered)
    if "question" in told.parts:
        yield _of_answers(talk)
    elif "caption" not in told.parts:
        raise record.fault("conversations", "ask about neither a 'Text Caption' nor a 'Question'")
    else:
        yield _of_caption(talk) if form.rates_captions else _of_media(talk)


@dataclass(frozen=True)
class _Talk:
    """A conversation, taken apart."""

    record: Record
    form: Form
    told: Instruction
    answered: str

    def judged(self, task: Task, *, is_pair: bool) -> Judgement:
        """What was made of its sides."""
        if is_pair:
            return judgement.of_pair(self.record, self.told, self.answered)
        # Where a set has several layouts, the scale of the one is not that of another.
        is_usual = self.told.layout == "named" and not (
            self.form.rates_captions and "question" not in self.told.parts
        )
        usual = self.form.scales.get(task) if is_usual else None
        return judgement.of_one(self.record, self.told, self.answered, usual)


def _of_answers(talk: _Talk) -> Draft:
    """A label of answers to a question about a medium."""
    record, form, parts = talk.record, talk.form, talk.told.parts
    shown = _Shown.of(record)
    (medium,) = shown.sides(record, talk.told, 1)
    task: Task = "video_understanding" if shown.moves(talk.told, 1) else "image_understanding"
    is_pair = "first" in parts
    names = ("first", "second") if is_pair else ("only",)
    for name in names:
        if name not in parts:
            raise record.fault("conversations", f"quote no answer that could be the {name} one")
    prompt = Prompt.of(parts["question"], task, {"source": form.name}, medium)
    return talk.judged(task, is_pair=is_pair).draft(
        prompt,
        form.annotator,
        first_answer=parts[names[0]],
        second_answer=parts["second"] if is_pair else None,
    )


def _of_caption(talk: _Talk) -> Draft:
    """A label of a caption, which is an answer about its picture."""
    shown = _Shown.of(talk.record)
    if shown.moves(talk.told, 1):
        raise talk.record.fault(shown.key, "is a clip, and only captions of pictures are read")
    (medium,) = shown.sides(talk.record, talk.told, 1)
    prompt = Prompt.of(DESCRIBE, "image_understanding", {"source": talk.form.name}, medium)
    judged = talk.judged("image_understanding", is_pair=False)
    return judged.draft(prompt, talk.form.annotator, first_answer=talk.told.parts["caption"])


def _of_media(talk: _Talk) -> Draft:
    """A label of pictures or clips that were made of a caption."""
    shown, told = _Shown.of(talk.record), talk.told
    is_pair = _ASKS_FOR_PAIR.search(told.rest) is not None or (
        len(shown.items) == 2 and (shown.are_clips or "video" not in told.rest.lower())
    )
    num = 2 if is_pair else 1
    sides = shown.sides(talk.record, told, num)
    task: Task = "video_generation" if shown.moves(told, num) else "image_generation"
    prompt = Prompt.of(told.parts["caption"], task, {"source": talk.form.name})
    judged = talk.judged(task, is_pair=is_pair)
    second = sides[1] if is_pair else None
    return judged.draft(prompt, talk.form.annotator, first=sides[0], second=second)


# ---------------------------------------------------------------------------------------- media


@dataclass(frozen=True)
class _Shown:
    """The media of a row.

    key: under which they stand.
    items: as the row holds them: pictures, clips, frames of clips, or lists of frames.
    are_clips: whether each is a clip, by its key, its name, or because it is a list of frames.
    """

    key: str
    items: list[Any]
    are_clips: bool

    @classmethod
    def of(cls, record: Record) -> _Shown:
        """Of a row, under whichever key."""
        held = [key for key in ("images", "image", "videos", "video") if record.row.get(key)]
        if len({key.removesuffix("s") for key in held}) > 1:
            raise record.fault(held[0], f"stands beside {held[-1]!r}; which is it about?")
        key, media = (held[0], record.row[held[0]]) if held else record.value("image", *COLUMNS[1:])
        items = list(media) if isinstance(media, list | tuple) else [media]
        if not items:
            raise record.fault(key, "is empty")
        return cls(key, items, key.startswith("video") or _is_clip(items[0]))

    def moves(self, told: Instruction, num: int) -> bool:
        """Whether sides that are `num` are clips; many pictures are the frames of some."""
        return self.are_clips or (len(self.items) > num and "video" in told.rest.lower())

    def sides(self, record: Record, told: Instruction, num: int) -> list[Media]:
        """One medium a side; a clip may come as its frames, as many of each side."""
        is_video = self.moves(told, num)
        if len(self.items) == num:
            return [
                record.as_clip(self.key, item)
                if isinstance(item, list)
                else record.as_medium(self.key, item, is_video=is_video)
                for item in self.items
            ]
        size, odd = divmod(len(self.items), num)
        if not is_video or odd or any(_is_clip(item) for item in self.items):
            raise record.fault(self.key, f"has {len(self.items)} media, and this needs {num}")
        frames = [self.items[at * size : (at + 1) * size] for at in range(num)]
        return [record.as_clip(self.key, some) for some in frames]


def _is_clip(item: object) -> bool:
    """Whether a medium is a clip by its name, or as a list of its frames."""
    name = item.get("path") if isinstance(item, Mapping) else item
    return isinstance(item, list) or (isinstance(name, str) and name.lower().endswith(_CLIPS))


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
