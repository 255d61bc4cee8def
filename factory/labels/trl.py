"""Preference data in TRL's form: a question with its picture, a chosen and a rejected answer.

`prompt`, `chosen` and `rejected` are message lists or plain texts; without a `prompt`, the messages
before the last are the prompt, and both sides must share them. `images` holds one picture: the form
has one list for both sides, so it carries understanding alone. Sides are shuffled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from factory.labels.draft import Draft, shuffled
from factory.labels.record import Record
from schemas.rows import Prompt

NAME = "trl"


def parse(record: Record) -> Iterator[Draft]:
    """One pair of answers."""
    answers, before = {}, {}
    for key in ("chosen", "rejected"):
        _, value = record.value(key)
        messages = _messages(record, key, value)
        answers[key] = messages[-1][1]
        before[key] = messages[:-1]
        if not answers[key]:
            raise record.fault(key, "ends in an empty answer")
    if record.has("prompt"):
        question = _question(_messages(record, "prompt", record.row["prompt"]))
    elif before["chosen"] != before["rejected"]:
        raise record.fault("prompt", "is missing, and chosen and rejected do not share theirs")
    else:
        question = _question(before["chosen"])
    if not question:
        raise record.fault("prompt", "has no text")
    picture = (
        record.as_medium("images", record.items("images", num=1)[0])
        if record.has("images")
        else record.medium("image", "images")
    )
    prompt = Prompt.of(question, "image_understanding", tags={"source": NAME}, media=picture)
    draft = Draft(
        prompt,
        NAME,
        first_answer=answers["chosen"],
        second_answer=answers["rejected"],
        preference="first",
    )
    yield shuffled(draft, prompt.prompt_id, answers["chosen"], answers["rejected"])


def _messages(record: Record, key: str, value: Any) -> list[tuple[str, str]]:
    """Role and text of each message; a plain text is one message."""
    if isinstance(value, str):
        return [("", value.strip())]
    if not isinstance(value, list) or not value:
        raise record.fault(key, f"is {type(value).__name__}, neither text nor a list of messages")
    messages = []
    for message in value:
        if not isinstance(message, Mapping) or message.get("content") is None:
            raise record.fault(key, "holds a message without 'content'")
        content = message["content"]
        if not isinstance(content, str):
            # Parts: [{"type": "image"}, {"type": "text", "text": "…"}]
            content = "\n".join(str(part.get("text") or "") for part in content)
        messages.append((str(message.get("role", "")), content.strip()))
    return messages


def _question(messages: list[tuple[str, str]]) -> str:
    """All that was said before the answer: one turn as it is, several with their roles."""
    said = [(role, text.replace("<image>", "").strip()) for role, text in messages]
    said = [(role, text) for role, text in said if text]
    if len(said) == 1:
        return said[0][1]
    return "\n".join(f"{role}: {text}" if role else text for role, text in said)
