"""One row of a prompts file as a prompt: text or parts, tags, media and origin, each checked.

A question names the picture or clip that it is about: `media` is a path, relative to the prompts
file, or in Parquet a `struct<bytes, path>`, as Hugging Face data sets hold pictures. A prompt of
more than that lists its `parts` in order, in the place of `prompt` and `media`:

    {"task": "image_understanding", "parts": [
        {"role": "question", "media": "a.png"}, {"role": "user", "text": "what is this ?"},
        {"role": "assistant", "text": "a cube"}, {"role": "user", "text": "and its colour ?"}]}

Our own tables of prompts (`schemas.arrow`) are read back as they were written.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, get_args

from factory.media.clips import describe
from factory.media.pictures import MediaError
from factory.media.shape import shape_fault
from factory.prompt_parts import PartsError, check_parts, role_fault
from factory.texts import unseen_only
from schemas.places import Place
from schemas.rows import UNDERSTANDING, Media, Origin, Part, Prompt, Task

#: Columns that say where a prompt comes from and what may be done with it.
_ORIGIN = ("source", "license", "consent")
_KNOWN_COLUMNS = {
    "prompt",
    "prompt_id",
    "task",
    "tags",
    "media",
    "prompt_media",
    "parts",
    "prompt_parts",
    "prompt_origin",
    *_ORIGIN,
}
_KNOWN_OF_PART = {"role", "text", "media", *_ORIGIN}
#: Longer texts are no prompts but mistakes, or attempts to fill a model's memory.
MAX_CHARACTERS = 20_000
#: Control characters but tab and line feed, and halves of surrogate pairs, which have no UTF-8.
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class PromptsError(ValueError):
    """A prompts file that cannot be used; the message names file and row."""


def prompt_of(row: dict[str, Any], where: str, folder: Place) -> Prompt:
    """The prompt of a row.

    Args:
        row: its columns.
        where: file and row, for messages.
        folder: to which paths of media are relative.

    Raises:
        PromptsError: as of `factory.prompts.PromptsFile`.
    """
    task: Any = row.get("task") or "image_generation"
    if task not in get_args(Task):
        raise PromptsError(f"{where}: unknown task {task!r}; known: {', '.join(get_args(Task))}")
    tags = {key: value for key, value in row.items() if key not in _KNOWN_COLUMNS}
    given = row.get("tags") or {}
    if isinstance(given, list) and all(isinstance(tag, dict) for tag in given):
        # our own Parquet form
        given = {tag.get("key"): tag.get("value") for tag in given}
    if not isinstance(given, dict):
        raise PromptsError(f"{where}: 'tags' is {type(given).__name__}, not a mapping")
    tags.update(given)
    for key, value in tags.items():
        if not isinstance(value, str) or not isinstance(key, str):
            raise PromptsError(f"{where}: tag {key!r:.80} is {type(value).__name__}, not text")
        check_text(key, f"{where}: the name of tag {key!r:.80}")
        check_text(value, f"{where}: tag {key!r:.80}")
    origin = _origin(row, where) or _origin(row.get("prompt_origin"), where)
    listed = row.get("parts", row.get("prompt_parts"))
    if listed is None:
        text = _text(row.get("prompt"), f"{where}: 'prompt'")
        return Prompt.of(text, task, tags, _media(row, task, where, folder), origin)
    parts = _parts(listed, where, folder)
    try:
        check_parts(parts, task)
    except PartsError as error:
        raise PromptsError(f"{where}: {error}") from None
    prompt = Prompt.of_parts(parts, task, tags, origin)
    # Our own Parquet form repeats what the user says last; in any other file it is a second prompt.
    if "media" in row or "prompt_media" in row or row.get("prompt", prompt.text) != prompt.text:
        raise PromptsError(f"{where}: has 'parts' and a 'prompt' or 'media' beside; remove these")
    return prompt


def _text(given: Any, where: str) -> str:
    if not isinstance(given, str):
        found = "is missing" if given is None else f"is {type(given).__name__}, not text"
        raise PromptsError(f"{where} {found}")
    check_words(given, where)
    return given.strip()


def _origin(row: Any, where: str) -> Origin | None:
    """What a row says of where it comes from; None where it says nothing."""
    if row is None:
        return None
    if not isinstance(row, dict):
        raise PromptsError(f"{where}: an origin is {type(row).__name__}, not a mapping")
    said = {name: row[name] for name in _ORIGIN if row.get(name) is not None}
    for name, value in said.items():
        _text(value, f"{where}: {name!r}")
    return Origin(**said) if said else None


def _parts(given: Any, where: str, folder: Place) -> list[Part]:
    if not isinstance(given, list):
        raise PromptsError(f"{where}: 'parts' is {type(given).__name__}, not a list")
    return [
        _part(one, f"{where}: part {number}", folder) for number, one in enumerate(given, start=1)
    ]


def _part(given: Any, where: str, folder: Place) -> Part:
    """One part as it is told; whether it has a place in the prompt is `check_parts`' to say."""
    if not isinstance(given, dict):
        raise PromptsError(f"{where}: is {type(given).__name__}, not a mapping")
    said = {key: value for key, value in given.items() if value is not None}
    if unknown := sorted(map(str, said.keys() - _KNOWN_OF_PART)):
        raise PromptsError(
            f"{where}: unknown key {unknown[0]!r:.80}; known: {', '.join(sorted(_KNOWN_OF_PART))}"
        )
    role: Any = said.get("role")
    text = _text(said["text"], f"{where}: 'text'") if "text" in said else None
    origin = _origin(said, where)
    if "media" not in said:
        if origin is not None:
            raise PromptsError(f"{where}: an origin is of a medium, or of the whole row")
        return Part(role, text)
    if fault := role_fault(role):  # its medium may be of any kind, and is not read
        raise PromptsError(f"{where}: {fault}")
    medium = _medium(said["media"], where, folder)
    return Part(role, text, medium if origin is None else replace(medium, origin=origin))


def _media(row: dict[str, Any], task: Task, where: str, folder: Place) -> Media | None:
    """What a question is about; None for a caption."""
    given = row.get("media") or row.get("prompt_media")
    if task not in UNDERSTANDING:
        if given is not None:
            raise PromptsError(f"{where}: a prompt of {task} has no 'media'; remove it")
        return None
    if given is None:
        raise PromptsError(f"{where}: 'media' is missing: {task} asks about a picture or clip")
    return _medium(given, where, folder)


def _medium(given: Any, where: str, folder: Place) -> Media:
    data: Any = None
    origin = None
    if isinstance(given, dict):
        origin = _origin(given.get("origin"), where)
        given = given.get("image") or given  # our own Parquet form keeps the size beside it
        data, given = (
            (given.get("bytes"), given.get("path"))
            if isinstance(given, dict)
            else (
                None,
                given,
            )
        )
    if data is None:
        if not isinstance(given, str):
            raise PromptsError(f"{where}: 'media' is {type(given).__name__}, not a path or bytes")
        try:
            data = (folder / given).read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a null byte in the path
            raise PromptsError(f"{where}: 'media' cannot be read: {error}") from None
    if not isinstance(data, bytes):
        raise PromptsError(f"{where}: 'media' holds {type(data).__name__}, not bytes")
    try:
        medium = describe(data)
    except MediaError as error:
        raise PromptsError(f"{where}: 'media': {error}") from None
    if fault := shape_fault(medium.width, medium.height):
        raise PromptsError(f"{where}: 'media': {fault}")
    return replace(medium, origin=origin)


def check_words(text: str, where: str) -> None:
    """Refuse a text that says nothing, and as `check_text`."""
    if not text.strip():
        raise PromptsError(f"{where} is empty")
    check_text(text, where)
    if unseen := unseen_only(text):
        raise PromptsError(
            f"{where} holds nothing that can be seen: only characters such as U+{ord(unseen):04X}"
        )


def check_text(text: str, where: str) -> None:
    """Refuse what no honest prompt holds and what would break what comes later."""
    if len(text) > MAX_CHARACTERS:
        raise PromptsError(f"{where} has {len(text)} characters, more than {MAX_CHARACTERS}")
    forbidden = _FORBIDDEN.search(text)
    if forbidden is not None:
        code = ord(forbidden.group())
        what = "half of a surrogate pair," if code >= 0xD800 else "the control character"
        if 0xDC80 <= code <= 0xDCFF:  # as Python reads such a byte (PEP 383)
            what = f"half of a surrogate pair, or the byte 0x{code - 0xDC00:X}, which is no UTF-8,"
        raise PromptsError(f"{where} holds {what} U+{code:04X} at {forbidden.start()}")
