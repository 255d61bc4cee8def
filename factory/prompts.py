"""Prompts files: Parquet, JSON Lines or plain text, validated row by row before any model runs.

A question names the picture or clip that it is about: `media` is a path, relative to the prompts
file, or in Parquet a `struct<bytes, path>`, as Hugging Face data sets hold pictures.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from factory.clips import describe
from factory.json_lines import read_objects
from factory.media import MediaError
from schemas.places import Place
from schemas.rows import UNDERSTANDING, Media, Prompt, Task

_KNOWN_COLUMNS = {"prompt", "prompt_id", "task", "tags", "media", "prompt_media"}
#: Longer texts are no prompts but mistakes, or attempts to fill a model's memory.
MAX_CHARACTERS = 20_000


class PromptsError(ValueError):
    """A prompts file that cannot be used; the message names file and row."""


def read_prompts(path: str | Place) -> list[Prompt]:
    """Read and validate all prompts of a file.

    Text files hold one prompt a line. JSON Lines and Parquet rows have `prompt`, and may have
    `task`, `media` (for the two understanding tasks, which must) and `tags` (a mapping of strings);
    any other column of strings becomes a tag.

    Raises:
        PromptsError: missing or unreadable file, unknown kind of file, no prompts, an empty or
            huge text, control characters, a value of the wrong type, an unknown task, a duplicate
            prompt, a medium that is missing, broken or out of place.
    """
    if isinstance(path, str):
        path = Path(path)
    if not path.is_file():
        raise PromptsError(f"{path}: no such prompts file")
    readers = {".txt": _text_rows, ".jsonl": _json_rows, ".parquet": _parquet_rows}
    if path.suffix not in readers:
        raise PromptsError(f"{path}: a prompts file is {', '.join(readers)}, not {path.suffix!r}")
    prompts: list[Prompt] = []
    first_seen: dict[str, int] = {}
    for number, row in readers[path.suffix](path):
        where = f"{path}: row {number}"
        prompt = _prompt(row, where, path.parent)
        if prompt.prompt_id in first_seen:
            raise PromptsError(
                f"{where}: duplicate of row {first_seen[prompt.prompt_id]} ({prompt.text!r:.80}); "
                "remove one of them"
            )
        first_seen[prompt.prompt_id] = number
        prompts.append(prompt)
    if not prompts:
        raise PromptsError(f"{path}: holds no prompts")
    return prompts


def _prompt(row: dict[str, Any], where: str, folder: Place) -> Prompt:
    text = row.get("prompt")
    if not isinstance(text, str):
        found = "is missing" if text is None else f"is {type(text).__name__}, not text"
        raise PromptsError(f"{where}: 'prompt' {found}")
    if not text.strip():
        raise PromptsError(f"{where}: 'prompt' is empty")
    check_text(text, f"{where}: 'prompt'")
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
    return Prompt.of(text.strip(), task, tags, _media(row, task, where, folder))


def _media(row: dict[str, Any], task: Task, where: str, folder: Place) -> Media | None:
    """What a question is about; None for a caption."""
    given = row.get("media") or row.get("prompt_media")
    if task not in UNDERSTANDING:
        if given is not None:
            raise PromptsError(f"{where}: a prompt of {task} has no 'media'; remove it")
        return None
    if given is None:
        raise PromptsError(f"{where}: 'media' is missing: {task} asks about a picture or clip")
    data: Any = None
    if isinstance(given, dict):
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
        return describe(data)
    except MediaError as error:
        raise PromptsError(f"{where}: 'media': {error}") from None


def check_text(text: str, where: str) -> None:
    """Refuse what no honest prompt holds and what would break what comes later."""
    if len(text) > MAX_CHARACTERS:
        raise PromptsError(f"{where} has {len(text)} characters, more than {MAX_CHARACTERS}")
    for at, one in enumerate(text):
        # Cc: control characters; Cs: half of a surrogate pair, which has no UTF-8.
        if one not in "\n\t" and unicodedata.category(one) in ("Cc", "Cs"):
            raise PromptsError(f"{where} holds the control character U+{ord(one):04X} at {at}")


def _text_rows(path: Place) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(_lines(path), start=1):
        yield number, {"prompt": line}


def _json_rows(path: Place) -> Iterator[tuple[int, dict[str, Any]]]:
    return read_objects(path, enumerate(_lines(path), start=1), PromptsError)


def _lines(path: Place) -> list[str]:
    try:
        # Only line feeds end a line: other separators may stand inside a JSON string.
        lines = path.read_text(encoding="utf-8").split("\n")
        return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]
    except (OSError, UnicodeDecodeError) as error:
        raise PromptsError(f"{path}: cannot be read as UTF-8 text: {error}") from None


def _parquet_rows(path: Place) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        table = pq.read_table(BytesIO(path.read_bytes()))
    except (OSError, pa.ArrowException) as error:
        raise PromptsError(f"{path}: cannot be read as Parquet: {error}") from None
    for number in range(1, table.num_rows + 1):
        try:
            (row,) = table.slice(number - 1, 1).to_pylist()
        except (ValueError, OverflowError, pa.ArrowException) as error:  # such as invalid UTF-8
            raise PromptsError(f"{path}: row {number}: cannot be read: {error}") from None
        yield number, {key: value for key, value in row.items() if value is not None}
