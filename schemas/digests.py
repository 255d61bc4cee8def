"""Digests of rows: what a data set *is*, whatever its files and the order of its rows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from schemas.columns import RECORD


def digest_rows(tables: Iterable[pa.Table | pa.RecordBatch]) -> str:
    """A hash of a table's rows, whatever their order and however they are split into files.

    Rows are hashed one by one and the hashes added, so writers may finish in any order. Media
    counts by its bytes, whether it lies in the table or is referred to by its hash. What is only
    the `RECORD` of a row does not count, nor do columns that came later where they are empty: rows
    of any version have the digest that they had.
    """
    return digest_text(map(add_up_rows, tables))


def add_up_rows(table: pa.Table | pa.RecordBatch) -> int:
    """The sum of the hashes of a table's rows, modulo 2^256: a part of `digest_rows`.

    A row's hash is the SHA-256 of its JSON, with keys in order. The JSON is put together column by
    column, as the rows lie in Arrow: as values of Python's they would take twice as long.

    Raises:
        TypeError: a column is of a type that none of the factory's is.
    """
    total = 0
    for batch in table.to_batches() if isinstance(table, pa.Table) else [table]:
        for text in _texts(batch.to_struct_array()):
            text = _REFERENCE.sub(_stored, text)
            total += int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    return total % 2**256


def digest_text(sums: Iterable[int]) -> str:
    """The digest of a whole from the sums of its parts."""
    return f"{sum(sums) % 2**256:064x}"[:16]


#: Columns and fields that came after version 1 and say something of the row where they are filled.
_LATER = (
    *("prompt_parts", "prompt_origin", "origin", "dimensions", "weight"),
    *("member_scores", "member_duels", "dissent", "bound"),
)


def _texts(array: pa.Array) -> list[str]:
    """Each value of an array as JSON."""
    if array.null_count == len(array):
        return [_NULL] * len(array)
    if pa.types.is_struct(array.type):
        return _structs(array)
    if pa.types.is_list(array.type):
        return _lists(array)
    if pa.types.is_nested(array.type):
        raise TypeError(f"no stable form of {array.type}")
    return _leaves(array.to_pylist())


def _structs(array: pa.StructArray) -> list[str]:
    """Structs, or whole rows, as a digest sees them."""
    # Each field's name, and its value where it differs; what is null everywhere is written once.
    template, columns = "", []
    for name in sorted(field.name for field in array.type):
        column = array.field(name)
        if name in RECORD or (name in _LATER and column.null_count == len(array)):
            continue
        key = json.dumps(name).replace("%", "%%")  # of which no name in `_LATER` has any
        if column.null_count == len(array):
            template += f"{key}: {_NULL}, "
            continue
        texts = _points(column) if name == "points" else _texts(column)
        if name in _LATER:
            filled = zip(texts, _is_filled(column), strict=True)
            texts = [f"{key}: {text}, " if is_filled else "" for text, is_filled in filled]
            template += "%s"
        else:
            template += f"{key}: %s, "
        columns.append(texts)
    rows = zip(*columns, strict=True) if columns else [()] * len(array)
    texts = ["{" + (template % row)[:-2] + "}" for row in rows]
    if array.null_count:
        is_valid = array.is_valid().to_pylist()
        return [text if one else _NULL for text, one in zip(texts, is_valid, strict=True)]
    return texts


def _lists(array: pa.ListArray) -> list[str]:
    items = iter(_texts(array.flatten()))
    lengths = pc.list_value_length(array).to_pylist()
    return [_NULL if num is None else f"[{', '.join(islice(items, num))}]" for num in lengths]


def _is_filled(column: pa.Array) -> list[bool]:
    """Where a column that came later says something: not where it is null, zero or empty."""
    if pa.types.is_struct(column.type):
        column = column.is_valid()
    elif pa.types.is_list(column.type):
        column = pc.list_value_length(column)
    return [bool(value) for value in column.to_pylist()]


def _points(column: pa.Array) -> list[str]:
    """Points as they were told when they could have no fractions."""
    points = column.to_pylist()
    return _leaves(
        [int(one) if isinstance(one, float) and one.is_integer() else one for one in points]
    )


def _leaves(values: Sequence[object]) -> list[str]:
    """Single values as JSON, by one call for all: within a text a line's end is escaped."""
    return _LINES.encode(values)[1:-1].split("\n") if values else []


def _digest_bytes(value: object) -> str:
    if not isinstance(value, bytes):
        raise TypeError(f"no stable form of {type(value).__name__}")
    return hashlib.sha256(value).hexdigest()


_NULL = "null"
_LINES = json.JSONEncoder(separators=("\n", ": "), default=_digest_bytes)


#: A medium that is referred to, in the JSON of a row: its bytes' hash where they are there too, and
#: the hash that the reference says, of a medium in a pack or of an object of its own
#: (`actors.media_pack`). In text of a row the quotes would be escaped.
_REFERENCE = re.compile(
    r'"bytes": (?:null|"([0-9a-f]{64})"), "path": "'
    r"(?:media/[0-9a-f]{2}/[0-9a-f]{64}\.tar#([0-9a-f]{64})\.[a-z0-9]{1,5}@[0-9]{1,15}\+[0-9]{1,15}"
    r'|objects/[0-9a-f]{2}/([0-9a-f]{64}))"'
)


def _stored(medium: re.Match[str]) -> str:
    """The medium as if its bytes lay in the row and nothing else."""
    return f'"bytes": "{medium[1] or medium[2] or medium[3]}", "path": null'
