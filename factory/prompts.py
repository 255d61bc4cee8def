"""Prompts files: Parquet, JSON Lines or plain text, validated row by row before any model runs.

A question names the picture or clip that it is about: `media` is a path, relative to the prompts
file, or in Parquet a `struct<bytes, path>`, as Hugging Face data sets hold pictures. A prompt of
more than that lists its `parts` in order, in the place of `prompt` and `media`:

    {"task": "image_understanding", "parts": [
        {"role": "question", "media": "a.png"}, {"role": "user", "text": "what is this ?"},
        {"role": "assistant", "text": "a cube"}, {"role": "user", "text": "and its colour ?"}]}
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Protocol, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from factory.json_lines import read_objects
from factory.media.clips import describe
from factory.media.pictures import MediaError
from factory.prompt_parts import Need, PartsError, check_parts, needs_of, role_fault
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
_ROWS_AT_ONCE = 256
#: Control characters but tab and line feed, and halves of surrogate pairs, which have no UTF-8.
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class PromptsError(ValueError):
    """A prompts file that cannot be used; the message names file and row."""


class Prompts(Protocol):
    """Prompts with different ids, to be gone through as often as one likes."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Prompt]: ...

    def ids(self) -> Iterator[str]:
        """Their ids, in the same order."""


class PromptsFile:
    """The prompts of a file, gone through without holding them: there may be more than fit in
    memory. Opening it validates all of them; 8 bytes of each are kept, and their `tasks`.

    Text files hold one prompt a line. JSON Lines and Parquet rows have `prompt`, and may have
    `task`, `media` (for the two understanding tasks, which must) and `tags` (a mapping of strings);
    or they have `parts`, each of a `role` with a `text` or a `media`. `source`, `license` and
    `consent` are the row's origin, and of a part that of its medium; any other column of strings
    becomes a tag.

    needs: what prompts ask for beside a text and a medium before it, with the first row that does.

    Raises:
        PromptsError: missing or unreadable file, unknown kind of file, no prompts, an empty or
            huge text, control characters, a value of the wrong type, an unknown task, a duplicate
            prompt, a medium that is missing, broken or out of place, parts that make no prompt.
    """

    def __init__(self, path: str | Place) -> None:
        self.path: Place = Path(path) if isinstance(path, str) else path
        if not self.path.is_file():
            raise PromptsError(f"{self.path}: no such prompts file")
        if self.path.suffix not in _READERS:
            raise PromptsError(
                f"{self.path}: a prompts file is {', '.join(_READERS)}, not {self.path.suffix!r}"
            )
        self.needs: dict[Need, int] = {}
        ids = array("Q")
        tasks: set[Task] = set()
        for row, prompt in self._rows():
            ids.append(int(prompt.prompt_id, 16))
            tasks.add(prompt.task)
            for need in needs_of(prompt):
                self.needs.setdefault(need, row)
        self.tasks = frozenset(tasks)
        if not ids:
            raise PromptsError(f"{self.path}: holds no prompts")
        self._ids = np.frombuffer(ids, np.uint64)
        self._order = np.argsort(self._ids, kind="stable")
        self._refuse_duplicates()

    def _refuse_duplicates(self) -> None:
        found = self._ids[self._order]
        again = np.flatnonzero(found[1:] == found[:-1])
        if not again.size:
            return
        # Of the rows that are there already, the one that comes first in the file.
        at = int(min(self._order[again + 1]))
        first = int(np.flatnonzero(self._ids == self._ids[at])[0])
        (first_row, _), (row, prompt) = (
            one for index, one in enumerate(self._rows()) if index in (first, at)
        )
        raise PromptsError(
            f"{self.path}: row {row}: duplicate of row {first_row} ({prompt.text!r:.80}); "
            "remove one of them"
        )

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[Prompt]:
        return (prompt for _, prompt in self._rows())

    def _rows(self) -> Iterator[tuple[int, Prompt]]:
        for number, row in _READERS[self.path.suffix](self.path):
            yield number, _prompt(row, f"{self.path}: row {number}", self.path.parent)

    def __contains__(self, prompt_id: object) -> bool:
        wanted = np.uint64(int(str(prompt_id), 16))
        at = int(np.searchsorted(self._ids, wanted, sorter=self._order))
        return at < len(self) and bool(self._ids[self._order[at]] == wanted)

    def ids(self) -> Iterator[str]:
        """The prompts' ids, in the order of the file."""
        return (f"{one:016x}" for one in self._ids.tolist())


def read_prompts(path: str | Place) -> list[Prompt]:
    """All prompts of a file that fits in memory.

    Raises:
        PromptsError: as of `PromptsFile`.
    """
    return list(PromptsFile(path))


def _prompt(row: dict[str, Any], where: str, folder: Place) -> Prompt:
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
    if not given.strip():
        raise PromptsError(f"{where} is empty")
    check_text(given, where)
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
        return replace(describe(data), origin=origin)
    except MediaError as error:
        raise PromptsError(f"{where}: 'media': {error}") from None


def check_text(text: str, where: str) -> None:
    """Refuse what no honest prompt holds and what would break what comes later."""
    if len(text) > MAX_CHARACTERS:
        raise PromptsError(f"{where} has {len(text)} characters, more than {MAX_CHARACTERS}")
    forbidden = _FORBIDDEN.search(text)
    if forbidden is not None:
        name = f"U+{ord(forbidden.group()):04X}"
        raise PromptsError(f"{where} holds the control character {name} at {forbidden.start()}")


def _text_rows(path: Place) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(_lines(path), start=1):
        yield number, {"prompt": line}


def _json_rows(path: Place) -> Iterator[tuple[int, dict[str, Any]]]:
    return read_objects(path, enumerate(_lines(path), start=1), PromptsError)


def _lines(path: Place) -> Iterator[str]:
    try:
        # Only line feeds end a line: other separators may stand inside a JSON string.
        with path.open("rb") as file, TextIOWrapper(file, "utf-8", newline="\n") as lines:
            for line in lines:
                yield line.removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptsError(f"{path}: cannot be read as UTF-8 text: {error}") from None


def _parquet_rows(path: Place) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    for batch in _parquet_batches(path):
        for start in range(batch.num_rows):
            number += 1
            try:
                (row,) = batch.slice(start, 1).to_pylist()
            except (ValueError, OverflowError, pa.ArrowException) as error:  # as invalid UTF-8
                raise PromptsError(f"{path}: row {number}: cannot be read: {error}") from None
            yield number, {key: value for key, value in row.items() if value is not None}


def _parquet_batches(path: Place) -> Iterator[pa.RecordBatch]:
    try:
        with path.open("rb") as file:
            yield from pq.ParquetFile(file, pre_buffer=False).iter_batches(_ROWS_AT_ONCE)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise PromptsError(f"{path}: cannot be read as Parquet: {error}") from None


_READERS = {".txt": _text_rows, ".jsonl": _json_rows, ".parquet": _parquet_rows}
