"""Preference data in TRL's form: a question with its pictures, a chosen and a rejected answer.

`prompt`, `chosen` and `rejected` are message lists, messages or plain texts; without a `prompt`,
the messages before the last are the prompt, and both sides must share them. The prompt may also be
named `question` (RLAIF-V), `instruction` with its `input`, or `conversations` (ShareGPT), and
messages may say `from` and `value` for `role` and `content`. RLHF-V's `text` holds all three as
JSON. `images` holds the pictures in the order in which messages show them, by `{"type": "image"}`
or `<image>`; where none does, they come before all words. The form has one list for both sides, so
it carries understanding alone. Turns of user and assistant become the parts of a dialogue; a
message of another role is kept as words, where there is one picture. Sides are shuffled; two that
are the same are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from factory.labels.draft import Draft, shuffled
from factory.labels.record import Record
from factory.prompt_parts import check_parts
from schemas.rows import Media, Part, Prompt, Role, Task

NAME = "trl"
_PROMPTS = ("prompt", "question", "instruction", "conversations")
_MEDIA = ("images", "image", "videos", "video")
COLUMNS = (*_PROMPTS, "input", "system", "chosen", "rejected", "text", *_MEDIA)
_MARK = "<image>"
_ROLES: dict[str, Role] = {"": "user", "user": "user", "assistant": "assistant"}
_SHAREGPT = {"human": "user", "gpt": "assistant"}


@dataclass(frozen=True)
class _Message:
    """Who says what; `_MARK` stands in the text for each picture shown."""

    role: str
    text: str

    @property
    def words(self) -> str:
        return self.text.replace(_MARK, "").strip()


def parse(record: Record) -> Iterator[Draft]:
    """One pair of answers."""
    record = _unpacked(record)
    answers, before = {}, {}
    for key in ("chosen", "rejected"):
        _, value = record.value(key)
        messages = _messages(record, key, value)
        answers[key] = messages[-1].text
        before[key] = messages[:-1]
        if not answers[key]:
            raise record.fault(key, "ends in an empty answer")
        if messages[-1].role not in ("", "assistant"):
            raise record.fault(key, f"ends in a message of role {messages[-1].role!r:.40}")
    if answers["chosen"] == answers["rejected"]:
        raise record.fault("chosen", "is the same as 'rejected', so that neither is preferred")
    asked = _asked(record, before)
    if not any(one.words for one in asked):
        raise record.fault("prompt", "has no text")
    prompt = _prompt(record, asked)
    draft = Draft(
        prompt,
        NAME,
        first_answer=answers["chosen"],
        second_answer=answers["rejected"],
        preference="first",
    )
    yield shuffled(draft, prompt.prompt_id, answers["chosen"], answers["rejected"])


def _unpacked(record: Record) -> Record:
    """The record with what its `text` holds as JSON, where it has no sides of its own."""
    if record.has("chosen") or not record.has("text"):
        return record
    held = record.row["text"]
    if isinstance(held, str):
        try:
            held = json.loads(held)
        except (ValueError, RecursionError):
            raise record.fault("text", "is no JSON of a question and two answers") from None
    if not isinstance(held, Mapping):
        raise record.fault("text", f"is {type(held).__name__}, not a question and two answers")
    return replace(record, row={**record.row, **held})


def _asked(record: Record, before: Mapping[str, list[_Message]]) -> list[_Message]:
    """The messages of the prompt, of which the sides may repeat all or none."""
    key = next((key for key in _PROMPTS if record.has(key)), None)
    if key is None:
        if before["chosen"] != before["rejected"]:
            raise record.fault("prompt", "is missing, and chosen and rejected do not share theirs")
        return before["chosen"]
    asked = _messages(record, key, record.row[key])
    if key == "instruction" and record.has("input") and record.row["input"] != "":
        asked = [*asked, *_messages(record, "input", record.row["input"])]
        asked = [_Message("", "\n".join(one.text for one in asked))]
    for side, repeated in before.items():
        if repeated and [one.words for one in repeated] != [one.words for one in asked]:
            raise record.fault(side, f"begins with other messages than {key!r}")
    if record.has("system") and record.row["system"] != "":
        asked = [_Message("system", record.text("system")), *asked]
    return asked


def _messages(record: Record, key: str, value: Any) -> list[_Message]:
    """A plain text is one message, and so is a message outside of a list."""
    if isinstance(value, str):
        return [_Message("", _text(record, key, value))]
    if isinstance(value, Mapping) and ("content" in value or "value" in value):
        value = [value]
    if not isinstance(value, list) or not value:
        raise record.fault(key, f"is {type(value).__name__}, neither text nor a list of messages")
    return [_message(record, key, message) for message in value]


def _message(record: Record, key: str, message: Any) -> _Message:
    content = message.get("content") if isinstance(message, Mapping) else None
    if content is None and isinstance(message, Mapping):
        content = message.get("value")
    if content is None:
        raise record.fault(key, "holds a message without 'content'")
    if not isinstance(content, str):
        # Parts: [{"type": "image"}, {"type": "text", "text": "…"}]
        if not isinstance(content, list) or not all(isinstance(one, Mapping) for one in content):
            raise record.fault(key, "holds a message whose 'content' is neither text nor parts")
        content = "\n".join(_said(part) for part in content)
    role = _text(record, key, str(message.get("role") or message.get("from") or ""))
    return _Message(_SHAREGPT.get(role, role), _text(record, key, content))


def _text(record: Record, key: str, text: str) -> str:
    """A text that may be blank, and shows clips as it shows pictures."""
    text = text.replace("<video>", _MARK)
    return record.as_text(key, text) if text.strip() else ""


def _said(part: Mapping[str, Any]) -> str:
    return _MARK if part.get("type") in ("image", "video") else str(part.get("text") or "")


def _prompt(record: Record, asked: list[_Message]) -> Prompt:
    """What is asked; of one turn about one picture, or with roles of other kinds, as one text."""
    held = [key for key in _MEDIA if record.has(key)]
    key = next((key for key in held if record.row[key] not in ("", [], ())), (*held, "image")[0])
    is_video = key.startswith("video")
    task: Task = "video_understanding" if is_video else "image_understanding"
    several = record.items(key) if key.endswith("s") else [record.value(key)[1]]
    media = [record.as_medium(key, one, is_video=is_video) for one in several]
    if not media:
        raise record.fault(key, "is empty")
    said = [one for one in asked if one.words]
    others = sorted({one.role for one in said} - set(_ROLES))
    if len(media) == 1 and (len(said) == 1 or others):
        return Prompt.of(_as_text(said), task, tags={"source": NAME}, media=media[0])
    if others:
        raise record.fault(
            "prompt", f"has a message of role {others[0]!r:.40} beside several pictures"
        )
    parts = _parts(record, asked, media)
    try:
        check_parts(parts, task)
        return Prompt.of_parts(parts, task, tags={"source": NAME})
    except ValueError as error:
        raise record.fault("prompt", f"is no dialogue: {error}") from None


def _as_text(said: list[_Message]) -> str:
    """One turn as it is, several with their roles."""
    if len(said) == 1:
        return said[0].words
    return "\n".join(f"{one.role}: {one.words}" if one.role else one.words for one in said)


def _parts(record: Record, asked: list[_Message], pictures: list[Media]) -> list[Part]:
    num = sum(one.text.count(_MARK) for one in asked)
    if num not in (0, len(pictures)):
        raise record.fault("images", f"has {len(pictures)} items, and the messages show {num}")
    shown = [Part("question", media=one) for one in pictures]
    parts, waiting = list(shown if num == 0 else ()), iter(shown)
    for message in asked:
        for piece in re.split(f"({_MARK})", message.text):
            if piece == _MARK:
                parts.append(next(waiting))
            elif piece.strip():
                parts.append(Part(_ROLES[message.role], piece.strip()))
    return parts
