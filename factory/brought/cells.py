"""One row of a brought table, read by what its columns are said to mean.

A recipe says which column holds what (`columns: {prompt: caption}`); what it does not say lies
under its own name. `meta.caption` is a field within a column. A row may hold several candidates:
in several columns (`media: [jpg_0, jpg_1]`), in a column that holds a list, or as the items of one
(`candidates: completions`), whose own fields then go before the row's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Columns = Mapping[str, str | list[str]]


class RowFault(ValueError):  # noqa: N818, a row has it, and the run goes on
    """Why a row cannot be used.

    key: the column that it is about.
    """

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key!r} {reason}")
        self.key = key


class ScaleError(ValueError):
    """There are scores, and nobody says on which scale."""


@dataclass(frozen=True)
class Cells:
    """A row, or an item of its list of candidates, under the recipe's names.

    row: columns and values.
    columns: the recipe's.
    """

    row: Mapping[str, Any]
    columns: Columns

    def named(self, key: str) -> list[str]:
        """The columns that hold `key`."""
        given = self.columns.get(key, key)
        return [given] if isinstance(given, str) else list(given)

    def name(self, key: str) -> str:
        """The same in one text, for messages."""
        return ", ".join(self.named(key))

    def value(self, key: str) -> Any:
        """What lies under `key`: of several columns a list; None where there is nothing."""
        found = [cell(self.row, name) for name in self.named(key)]
        if isinstance(self.columns.get(key, key), str):
            return found[0]
        return None if all(one is None for one in found) else found

    def text(self, key: str) -> str | None:
        """A text that is not blank; None where there is none.

        Raises:
            RowFault: it is something else.
        """
        value = self.value(key)
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        if not isinstance(value, str):
            raise RowFault(self.name(key), f"is {type(value).__name__}, not text")
        return value.strip()

    def fault(self, key: str, reason: str) -> RowFault:
        """An error about what holds `key`, to be raised."""
        return RowFault(self.name(key), reason)


def cell(row: Mapping[str, Any], name: str) -> Any:
    """What a row has under the name of a column, or of a field within one."""
    if name in row:
        return row[name]
    head, dot, rest = name.partition(".")
    inner = row.get(head)
    return cell(inner, rest) if dot and isinstance(inner, Mapping) else None


def items_of(cells: Cells, per_candidate: Sequence[str]) -> list[Cells]:
    """The candidates of a row, each as cells of its own.

    Args:
        cells: of the row.
        per_candidate: keys of which each candidate has a value; of the others the row's is that of
            all its candidates.

    Raises:
        RowFault: lists of different lengths.
    """
    if "candidates" in cells.columns:
        return [_item(cells, one) for one in listed(cells)]
    values = {key: cells.value(key) for key in per_candidate}
    nums = {key: len(one) for key, one in values.items() if isinstance(one, list | tuple)}
    num = max(nums.values(), default=1)
    for key, length in nums.items():
        if length != num:
            raise cells.fault(key, f"has {length} values, for {num} candidates")
    if not nums:
        return [cells]
    for key, one in values.items():
        if one is not None and key not in nums and key not in _SHARED:
            raise cells.fault(key, f"is one value, for {num} candidates")
    return [_at(cells, {key: values[key][at] for key in nums}, at) for at in range(num)]


def _at(cells: Cells, values: Mapping[str, Any], at: int) -> Cells:
    """The cells of the candidate at a place in the lists of a row, under the columns' own names."""
    row, columns = dict(cells.row), dict(cells.columns)
    for key, value in values.items():
        given = columns.get(key, key)
        columns[key] = name = given if isinstance(given, str) else given[at]
        row[name] = value
    return Cells(row, columns)


#: Of these a row may have one value for all its candidates.
_SHARED = ("generator", "seed")
#: These are of one candidate alone, and never the row's.
_OWN = ("media", "answer", "id", "score", "breakdown", "rank")


def _item(cells: Cells, item: Any) -> Cells:
    if not isinstance(item, Mapping):
        raise cells.fault("candidates", f"holds {type(item).__name__}, not objects")
    own = {name.partition(".")[0] for key in _OWN for name in cells.named(key)}
    shared = {key: value for key, value in cells.row.items() if key not in own}
    return Cells({**shared, **item}, cells.columns)


def listed(cells: Cells) -> list[Any]:
    """The items of the list of candidates, also where it is told by fields: {a: [..], b: [..]}.

    Raises:
        RowFault: it is no such list, or has no items.
    """
    value = cells.value("candidates")
    if isinstance(value, Mapping):
        lists = {key: one for key, one in value.items() if isinstance(one, list | tuple)}
        nums = {len(one) for one in lists.values()}
        if len(nums) != 1 or len(lists) != len(value):
            raise cells.fault("candidates", "holds fields that are no lists of one length")
        keys = list(lists)
        return [dict(zip(keys, one, strict=True)) for one in zip(*lists.values(), strict=True)]
    if not isinstance(value, list | tuple) or not value:
        found = "is missing" if value is None else "is empty" if value == [] else "is no list"
        raise cells.fault("candidates", found)
    return list(value)


def number(value: Any) -> float | None:
    """A finite number, or a numeral in a text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None
