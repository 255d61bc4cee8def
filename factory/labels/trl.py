"""Preference data in TRL's form: a question with its pictures, a chosen and a rejected answer.

`prompt`, `chosen` and `rejected` are message lists or plain texts; without a `prompt`, the messages
before the last are the prompt, and both sides must share them. `images` holds the pictures in the
order in which messages show them, by `{"type": "image"}` or `<image>`; where none does, they come
before all words. The form has one list for both sides, so it carries understanding alone. Turns of
user and assistant become the parts of a dialogue; a message of another role is kept as words, where
there is one picture. Sides are shuffled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from factory.labels.draft import Draft, shuffled
from factory.labels.record import Record
from factory.prompt_parts import PartsError, check_parts
from schemas.rows import Media, Part, Prompt, Role, Task

NAME = "trl"
_TASK: Task = "image_understanding"
_MARK = "<image>"
_ROLES: dict[str, Role] = {"": "user", "user": "user", "assistant": "assistant"}


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
    answers, before = {}, {}
    for key in ("chosen", "rejected"):
        _, value = record.value(key)
        messages = _messages(record, key, value)
        answers[key] = messages[-1].text
        before[key] = messages[:-1]
        if not answers[key]:
            raise record.fault(key, "ends in an empty answer")
    if record.has("prompt"):
        asked = _messages(record, "prompt", record.row["prompt"])
    elif before["chosen"] != before["rejected"]:
        raise record.fault("prompt", "is missing, and chosen and rejected do not share theirs")
    else:
        asked = before["chosen"]
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


def _messages(record: Record, key: str, value: Any) -> list[_Message]:
    """A plain text is one message."""
    if isinstance(value, str):
        return [_Message("", value.strip())]
    if not isinstance(value, list) or not value:
        raise record.fault(key, f"is {type(value).__name__}, neither text nor a list of messages")
    messages = []
    for message in value:
        if not isinstance(message, Mapping) or message.get("content") is None:
            raise record.fault(key, "holds a message without 'content'")
        content = message["content"]
        if not isinstance(content, str):
            # Parts: [{"type": "image"}, {"type": "text", "text": "…"}]
            if not isinstance(content, list) or not all(
                isinstance(one, Mapping) for one in content
            ):
                raise record.fault(key, f"holds the content {content!r:.60}, no text and no parts")
            content = "\n".join(_said(part) for part in content)
        messages.append(_Message(str(message.get("role", "")), content.strip()))
    return messages


def _said(part: Mapping[str, Any]) -> str:
    return _MARK if part.get("type") == "image" else str(part.get("text") or "")


def _prompt(record: Record, asked: list[_Message]) -> Prompt:
    """What is asked; of one turn about one picture, or with roles of other kinds, as one text."""
    key = "images" if record.has("images") else "image"
    several = record.items(key) if key == "images" else [record.value(key)[1]]
    pictures = [record.as_medium(key, one) for one in several]
    if not pictures:
        raise record.fault(key, "is empty")
    said = [one for one in asked if one.words]
    others = sorted({one.role for one in said} - set(_ROLES))
    if len(pictures) == 1 and (len(said) == 1 or others):
        return Prompt.of(_as_text(said), _TASK, tags={"source": NAME}, media=pictures[0])
    if others:
        raise record.fault("prompt", f"has a message of role {others[0]!r} beside several pictures")
    parts = _parts(record, asked, pictures)
    try:
        check_parts(parts, _TASK)
    except PartsError as error:
        raise record.fault("prompt", f"is no dialogue: {error}") from None
    return Prompt.of_parts(parts, _TASK, tags={"source": NAME})


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
