"""Digests of rows: what a data set *is*, whatever its files and the order of its rows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from schemas.columns import RECORD


def digest_rows(tables: Iterable[pa.Table | pa.RecordBatch]) -> str:
    """A hash of a table's rows, whatever their order and however they are split into files.

    Rows are hashed one by one and the hashes added, so writers may finish in any order. Media
    counts by its bytes, whether it lies in the table or is referred to by its hash. What is only
    the `RECORD` of a row does not count, nor do columns that came later where they are empty: rows
    of any version have the digest that they had.
    """
    return digest_text(map(add_up_rows, tables))


def add_up_rows(table: pa.Table) -> int:
    """The sum of the hashes of a table's rows, modulo 2^256: a part of `digest_rows`."""
    total = 0
    # Much of a row is its record, which need not become values of Python's.
    said = [name for name in table.schema.names if name not in RECORD]
    for row in table.select(said).to_pylist():
        text = json.dumps(_said(row), sort_keys=True, default=_digest_bytes)
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


def _said(value: Any) -> Any:
    """A row, or a part of it, as its digest sees it."""
    if isinstance(value, list):
        return [_said(one) for one in value]
    if isinstance(value, dict):
        return {
            key: _whole(one) if key == "points" else _said(one)
            for key, one in value.items()
            if key not in RECORD and not (key in _LATER and not one)
        }
    return value


def _whole(points: float | None) -> float | None:
    """Points as they were told when they could have no fractions."""
    return int(points) if isinstance(points, float) and points.is_integer() else points


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


def _digest_bytes(value: object) -> str:
    if not isinstance(value, bytes):
        raise TypeError(f"no stable form of {type(value).__name__}")
    return hashlib.sha256(value).hexdigest()
