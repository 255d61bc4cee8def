"""Rows of somebody else's files, wherever they lie: Parquet, Arrow, JSON, JSON Lines, CSV, tars.

    read          a file -> its rows
    numbered      the same with their numbers, and the file's name in every error
    columns_of    a table -> the names of its columns

A row that cannot be read stands in its place as a `BrokenRow`, and the rows after it are read. Of
Parquet and Arrow only the columns are read that somebody asks for: the others may hold pictures.
What rows mean is for others to say (`factory.labels`, `factory.brought`).
"""

from __future__ import annotations

import csv
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any, TextIO

import pyarrow as pa

from actors.hub_data import HubDataError
from factory.labels.streams import BrokenRow, Row, StreamError, objects
from factory.texts import LONGEST_MARK, encoding_of
from jobs.datasets.files import file_batches, parquet
from jobs.datasets.tars import samples
from jobs.rounds.workspace import InputError
from schemas.places import Place

_ROWS_AT_ONCE = 16  # of a binary table; rows hold media
_CHARACTERS_AT_ONCE = 1 << 20
_CELL_CHARACTERS = 1 << 27  # of a CSV; its reader refuses more than 2^17 of its own accord

#: Tables of text, whose rows hold no media.
TEXT = (".jsonl", ".csv", ".json")
#: Of the files that can be read.
SUFFIXES = (".parquet", ".tar", ".arrow", *TEXT)


def read(
    path: Place, columns: Sequence[str] | None = None, row_groups: Sequence[int] | None = None
) -> Iterator[Row]:
    """The rows of a file.

    Args:
        path: whose suffix is one of `SUFFIXES`.
        columns: that are looked at; all of them where None. Text has them all.
        row_groups: of a Parquet file, their indices; all of them where None.

    Raises:
        OSError, UnicodeError, csv.Error, tarfile.TarError, pyarrow.ArrowException, StreamError: the
            file, or all that is left of it, cannot be read.
    """
    if path.suffix == ".parquet":
        return _parquet(path, columns, row_groups)
    if path.suffix == ".arrow":
        return _arrow(path, columns)
    if path.suffix == ".tar":
        return samples(path)
    return _csv(path) if path.suffix == ".csv" else _json(path)


def numbered(path: Place, columns: Sequence[str] | None = None) -> Iterator[tuple[int, Row]]:
    """The rows of a file with their numbers, from 1.

    Raises:
        InputError: the file, or all that is left of it, cannot be read.
    """
    with named(str(path)):
        yield from enumerate(read(path, columns), start=1)


def columns_of(path: Place) -> list[str] | None:
    """The columns of a table; None where each row has its own keys, as in JSON.

    Raises:
        InputError: it cannot be read.
    """
    with named(str(path)):
        if path.suffix == ".parquet":
            with path.open("rb") as source:
                return list(parquet(source, path).schema_arrow.names)
        if path.suffix == ".arrow":
            with path.open("rb") as source, pa.ipc.open_stream(source) as stream:
                return list(stream.schema.names)
        if path.suffix == ".csv":
            with _text(path, newline="") as file:
                return next(csv.reader(file), [])
    return None


@contextmanager
def named(where: str) -> Iterator[None]:
    """Says of which file a fault of reading is.

    Raises:
        InputError: instead of all that `read` raises.
    """
    try:
        yield
    except StreamError as error:
        raise InputError(f"{where}: {error}") from None
    except csv.Error as error:
        raise InputError(f"{where}: not a table of comma-separated values: {error}") from None
    except (OSError, UnicodeError, pa.ArrowException, tarfile.TarError, HubDataError) as error:
        raise InputError(f"{where}: cannot be read: {error}") from None


def _parquet(
    path: Place, columns: Sequence[str] | None, row_groups: Sequence[int] | None
) -> Iterator[Row]:
    with path.open("rb") as source:
        file = parquet(source, path)
        for batch in file_batches(file, _ROWS_AT_ONCE, row_groups, columns):
            yield from _rows_of(batch)


def _arrow(path: Place, columns: Sequence[str] | None) -> Iterator[Row]:
    """Of Arrow's stream format, as Hugging Face's `save_to_disk` writes it."""
    with path.open("rb") as source, pa.ipc.open_stream(source) as stream:
        names = [name for name in columns or stream.schema.names if name in stream.schema.names]
        for batch in stream:
            for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
                yield from _rows_of(batch.select(names).slice(start, _ROWS_AT_ONCE))


def _rows_of(batch: pa.RecordBatch) -> Iterator[Row]:
    for at in range(batch.num_rows):
        try:
            yield {
                name: _value(column[at])
                for name, column in zip(batch.schema.names, batch.columns, strict=True)
            }
        except (ValueError, OverflowError, pa.ArrowException) as error:  # as invalid UTF-8
            yield BrokenRow(f"holds what has no value here: {error}")


def _value(scalar: pa.Scalar) -> Any:
    """A value as Python has it; a time, which may be finer than Python's, in words."""
    return str(scalar) if pa.types.is_temporal(scalar.type) and scalar.is_valid else scalar.as_py()


def _json(path: Place) -> Iterator[Row]:
    with _text(path) as file:
        yield from objects(iter(lambda: file.read(_CHARACTERS_AT_ONCE), ""))


def _csv(path: Place) -> Iterator[Row]:
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
                    what = f"a quote that is opened after line {began} is never closed"
                    raise csv.Error(what) from None
                yield BrokenRow(f"no comma-separated values: {error}")
                continue
            if row is None:
                return
            if None in row:  # as after a comma in a caption that is not quoted
                yield BrokenRow("has more values than the table has columns")
            else:
                yield row


def _text(path: Place, newline: str | None = None) -> TextIO:
    """An open text, by the mark at its head. Bytes that are no UTF-8 become halves of characters,
    which whoever reads a text refuses: they are the fault of their row, and not of all.
    """
    source = path.open("rb")
    encoding = encoding_of(source.read(LONGEST_MARK))
    source.seek(0)
    errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
    return TextIOWrapper(source, encoding, errors, newline)
