"""Prompts files: Parquet, JSON Lines or plain text, validated row by row before any model runs.
What a row may hold is said in `prompt_rows`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from factory.json_lines import read_objects
from factory.prompt_parts import Need, needs_of
from factory.prompt_rows import PromptsError, prompt_of
from factory.texts import LONGEST_MARK, MARK, as_seen, encoding_of
from schemas.places import Place
from schemas.rows import Prompt, Task

_ROWS_AT_ONCE = 256
Ids = npt.NDArray[np.uint64]


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

    A text file may be of UTF-8, or have a mark at its head that says of what it is; a mark at the
    head of file or line is no part of a prompt. Texts are kept to the letter, in whatever normal
    form they are.

    needs: what prompts ask for beside a text and a medium before it, with the first row that does.
    alike: which rows look the same as an earlier one and are not: they differ by Unicode's normal
        form, or by characters that nobody sees. Each is a prompt of its own.

    Raises:
        PromptsError: missing or unreadable file, unknown kind of file, no prompts, an empty or
            huge text, one of characters that nobody sees, control characters, a value of the wrong
            type, an unknown task, a duplicate prompt, a medium that is missing, broken or out of
            place, parts that make no prompt.
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
        disguised = array("Q"), array("Q")  # rows, and their ids as they are seen
        tasks: set[Task] = set()
        for row, prompt in self._rows():
            ids.append(int(prompt.prompt_id, 16))
            if (seen := _id_as_seen(prompt)) is not None:
                disguised[0].append(row)
                disguised[1].append(int(seen, 16))
            tasks.add(prompt.task)
            for need in needs_of(prompt):
                self.needs.setdefault(need, row)
        self.tasks = frozenset(tasks)
        if not ids:
            raise PromptsError(f"{self.path}: holds no prompts")
        self._ids = np.frombuffer(ids, np.uint64)
        self._order = np.argsort(self._ids, kind="stable")
        self._refuse_duplicates()
        self.alike = _alike(self._ids, *(np.frombuffer(one, np.uint64) for one in disguised))

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
            yield number, prompt_of(row, f"{self.path}: row {number}", self.path.parent)

    def __contains__(self, prompt_id: object) -> bool:
        wanted = np.uint64(int(str(prompt_id), 16))
        at = int(np.searchsorted(self._ids, wanted, sorter=self._order))
        return at < len(self) and bool(self._ids[self._order[at]] == wanted)

    def ids(self) -> Iterator[str]:
        """The prompts' ids, in the order of the file."""
        return (f"{one:016x}" for one in self._ids.tolist())


def _id_as_seen(prompt: Prompt) -> str | None:
    """The id that a prompt would have if its texts were as they are seen; None where they are."""
    parts = [replace(one, text=one.text and as_seen(one.text)) for one in prompt.in_full]
    if parts == list(prompt.in_full):
        return None
    return Prompt.of_parts(parts, prompt.task).prompt_id


def _alike(ids: Ids, rows: Ids, seen: Ids) -> list[tuple[int, int]]:
    """Pairs of rows that look the same, the earlier first.

    Args:
        ids: of all rows, the first of which is row 1.
        rows: those whose texts are not what is seen of them.
        seen: the ids of these as they are seen.
    """
    if not len(rows):
        return []
    every = np.concatenate([ids, seen])
    numbers = np.concatenate([np.arange(1, len(ids) + 1, dtype=np.uint64), rows])
    order = np.argsort(every, kind="stable")
    again = np.flatnonzero(every[order][1:] == every[order][:-1])
    pairs = np.sort(np.stack([numbers[order[again]], numbers[order[again + 1]]], axis=1), axis=1)
    return sorted((int(first), int(second)) for first, second in pairs)


def read_prompts(path: str | Place) -> list[Prompt]:
    """All prompts of a file that fits in memory.

    Raises:
        PromptsError: as of `PromptsFile`.
    """
    return list(PromptsFile(path))


def _text_rows(path: Place) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(_lines(path), start=1):
        yield number, {"prompt": line}


def _json_rows(path: Place) -> Iterator[tuple[int, dict[str, Any]]]:
    return read_objects(path, enumerate(_lines(path), start=1), PromptsError)


def _lines(path: Place) -> Iterator[str]:
    encoding = "utf-8"
    try:
        with path.open("rb") as file:
            encoding = encoding_of(file.read(LONGEST_MARK))
            file.seek(0)
            # Only line feeds end a line: other separators may stand inside a JSON string.
            for line in TextIOWrapper(file, encoding, newline="\n"):
                # Files that were put together have marks at the heads of lines.
                yield line.removesuffix("\n").removesuffix("\r").removeprefix(MARK)
    except OSError as error:
        raise PromptsError(f"{path}: {_unread(encoding, error)}") from None
    except UnicodeError as error:  # of UTF-16 cut in its mark too
        row, fault = _first_fault(path, encoding, error)
        raise PromptsError(f"{path}: {row}{_unread(encoding, fault)}; save it as UTF-8") from None


def _unread(encoding: str, error: Exception) -> str:
    return f"cannot be read as {encoding.removesuffix('-sig').upper()} text: {error}"


def _first_fault(path: Place, encoding: str, error: UnicodeError) -> tuple[str, UnicodeError]:
    """The first row of UTF-8 text that is none, and its fault with the place in this row: a
    decoder tells the place in whatever piece of the file it was given. Of other text, no row and
    the error that it gave.
    """
    if encoding.removesuffix("-sig") == "utf-8":
        with path.open("rb") as file:
            text = TextIOWrapper(file, encoding, errors="surrogateescape", newline="\n")
            for number, line in enumerate(text, start=1):
                try:
                    line.encode(errors="surrogateescape").decode()
                except UnicodeDecodeError as of_row:
                    return f"row {number}: ", of_row
    return "", error


def _parquet_rows(path: Place) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    for batch in _parquet_batches(path):
        for start in range(batch.num_rows):
            number += 1
            try:
                (row,) = batch.slice(start, 1).to_pylist()
            except (ValueError, OverflowError, pa.ArrowException) as error:  # as invalid UTF-8
                raise PromptsError(f"{path}: row {number}: cannot be read: {error}") from None
            # A table that was made of a text file with a mark has it in its first column's name.
            yield (
                number,
                {key.lstrip(MARK): value for key, value in row.items() if value is not None},
            )


def _parquet_batches(path: Place) -> Iterator[pa.RecordBatch]:
    try:
        with path.open("rb") as file:
            yield from pq.ParquetFile(file, pre_buffer=False).iter_batches(_ROWS_AT_ONCE)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise PromptsError(f"{path}: cannot be read as Parquet: {error}") from None


_READERS = {".txt": _text_rows, ".jsonl": _json_rows, ".parquet": _parquet_rows}
