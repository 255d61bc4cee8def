"""Rows of somebody else's files: Parquet, JSON, JSON Lines and CSV, as streams.

A row that cannot be read stands in its place as a `BrokenRow`, and the rows after it are read. Of
Parquet only the columns are read that somebody asks for: the others may hold pictures.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa

from factory.labels.streams import BrokenRow, Row, objects
from factory.texts import LONGEST_MARK, encoding_of
from jobs.datasets.files import parquet, row_batches
from jobs.rounds.workspace import InputError

_ROWS_AT_ONCE = 16  # of a Parquet file; rows hold media
_CHARACTERS_AT_ONCE = 1 << 20
_CELL_CHARACTERS = 1 << 27  # of a CSV; its reader refuses more than 2^17 of its own accord


def rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[tuple[int, Row]]:
    """The rows of a file with their numbers, from 1.

    Args:
        path: whose suffix is one of `SUFFIXES`.
        columns: that are looked at; all of them where None.

    Raises:
        InputError, StreamError: the file, or all that is left of it, cannot be read.
    """
    try:
        yield from enumerate(_READERS[path.suffix](path, columns), start=1)
    except (OSError, UnicodeError, pa.ArrowException, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


def columns_of(path: Path) -> list[str] | None:
    """The columns of a table; None where each row has its own keys, as in JSON.

    Raises:
        InputError: it cannot be read.
    """
    try:
        if path.suffix == ".parquet":
            with path.open("rb") as source:
                return list(parquet(source, path).schema_arrow.names)
        if path.suffix == ".csv":
            with _text(path, newline="") as file:
                return next(csv.reader(file), [])
    except (OSError, UnicodeError, pa.ArrowException, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    return None


def _parquet(path: Path, columns: Sequence[str] | None) -> Iterator[Row]:
    for batch in row_batches(path, _ROWS_AT_ONCE, columns):
        for at in range(batch.num_rows):
            try:
                yield {
                    name: _value(column[at])
                    for name, column in zip(batch.schema.names, batch.columns, strict=True)
                }
            except (ValueError, OverflowError) as error:
                yield BrokenRow(f"holds what has no value here: {error}")


def _value(scalar: pa.Scalar) -> Any:
    """A value as Python has it; a time, which may be finer than Python's, in words."""
    return str(scalar) if pa.types.is_temporal(scalar.type) and scalar.is_valid else scalar.as_py()


def _json(path: Path, columns: Sequence[str] | None) -> Iterator[Row]:
    with _text(path) as file:
        yield from objects(iter(lambda: file.read(_CHARACTERS_AT_ONCE), ""))


def _csv(path: Path, columns: Sequence[str] | None) -> Iterator[Row]:
    csv.field_size_limit(_CELL_CHARACTERS)
    with _text(path, newline="") as file:
        table = csv.DictReader(file, strict=True)
        list(table.fieldnames or ())  # reads the first line
        while True:
            began = table.line_num
            try:
                row = next(table, None)
            except csv.Error as error:
                if "unexpected end" in str(error):
                    raise InputError(
                        f"{path}: a quote that is opened after line {began} is never closed"
                    ) from None
                yield BrokenRow(f"no comma-separated values: {error}")
                continue
            if row is None:
                return
            yield {name: value for name, value in row.items() if name is not None}


def _text(path: Path, newline: str | None = None) -> TextIO:
    """An open text, by the mark at its head. Bytes that are no UTF-8 become halves of characters,
    which whoever reads a text refuses: they are the fault of their row, and not of all.
    """
    with path.open("rb") as file:
        encoding = encoding_of(file.read(LONGEST_MARK))
    errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
    return path.open(encoding=encoding, errors=errors, newline=newline)


_READERS: dict[str, Callable[[Path, Sequence[str] | None], Iterator[Row]]] = {
    ".parquet": _parquet,
    ".json": _json,
    ".jsonl": _json,
    ".csv": _csv,
}
#: Of the files that can be read.
SUFFIXES = tuple(_READERS)
