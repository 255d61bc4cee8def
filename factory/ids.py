"""Ids as numbers: a content id is 16 hexadecimal digits, so 8 bytes hold it whole.

A text of 16 characters takes a Python process more than 60 bytes. What must be known of every row
of a data set is therefore held as a number, which is the id itself and not a hash of it: two ids
are equal where their numbers are, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ids = npt.NDArray[np.uint64]

_FORM = "^[0-9a-f]{16}$"


def to_numbers(column: pa.ChunkedArray | pa.Array) -> Ids:
    """The numbers of a column of ids, [N].

    Raises:
        ValueError: one is no content id; names it.
    """
    is_id = pc.fill_null(pc.match_substring_regex(column, _FORM), False)
    if not pc.all(is_id, min_count=0).as_py():
        found = column.filter(pc.invert(is_id))[0].as_py()
        raise ValueError(f"{found!r:.80} is no id: ids have 16 hexadecimal digits, in lower case")
    digits = "".join(column.to_pylist())
    return np.frombuffer(bytes.fromhex(digits), ">u8").astype(np.uint64)


def numbers_of(ids: Iterable[str]) -> Ids:
    """The numbers of ids that come one by one, [N]."""
    return np.fromiter((int(one, 16) for one in ids), np.uint64)


def to_text(number: int | np.uint64) -> str:
    """The id of a number."""
    return f"{int(number):016x}"


def positions(numbers: Ids, ordered: Ids) -> npt.NDArray[np.int64]:
    """Where each number stands in an ascending array, or -1 where it is not in it: [N]."""
    at = np.searchsorted(ordered, numbers)
    if not len(ordered):
        return np.full(len(numbers), -1, dtype=np.int64)
    at[at == len(ordered)] = 0
    return np.asarray(np.where(ordered[at] == numbers, at, -1), dtype=np.int64)
