"""Nested Arrow arrays <-> lists of objects, column by column: no row becomes a dictionary on the
way, of which a block of groups would need thousands.

A reader takes an array to a list of its values, a writer takes such a list to an array; those of
structs and lists are made of those of their fields and items. A null struct is None, and a null
list is an empty one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, chain, islice
from operator import attrgetter
from typing import Any

import pyarrow as pa

#: Takes an array to its values.
Reader = Callable[[pa.Array], list[Any]]
#: Takes values to an array of a type.
Writer = Callable[[Sequence[Any], pa.DataType], pa.Array]


def plain(array: pa.Array) -> list[Any]:
    """Values as they are."""
    return list(array.to_pylist())


def structs(make: Callable[..., Any], readers: Mapping[str, Reader]) -> Reader:
    """Objects that are made of the fields of a struct.

    Args:
        make: of one value of each field, in the order of `readers`.
        readers: of the fields by name; a field that is not there is null.
    """

    def read(array: pa.StructArray) -> list[Any]:
        if array.null_count == len(array):
            return [None] * len(array)
        if array.null_count:  # what lies beneath a null is anything
            there = iter(read(array.drop_null()))
            return [next(there) if is_one else None for is_one in array.is_valid().to_pylist()]
        known = {field.name for field in array.type}
        columns = [
            of(array.field(name) if name in known else pa.nulls(len(array)))
            for name, of in readers.items()
        ]
        return list(map(make, *columns))

    return read


def lists(reader: Reader) -> Reader:
    """Tuples of what the items are read as."""

    def read(array: pa.ListArray) -> list[tuple[Any, ...]]:
        if array.null_count == len(array) or not len(items := array.flatten()):
            return [()] * len(array)
        made = iter(reader(items))
        return [tuple(islice(made, num or 0)) for num in array.value_lengths().to_pylist()]

    return read


def mappings(value: Callable[[Any], Any] = lambda one: one) -> Reader:
    """Dictionaries, of lists of structs of a key and a value."""

    def read(array: pa.ListArray) -> list[dict[str, Any]]:
        if array.null_count == len(array) or not len(items := array.flatten()):
            return [{} for _ in range(len(array))]
        made = zip(items.field(0).to_pylist(), map(value, items.field(1).to_pylist()), strict=True)
        return [dict(islice(made, num or 0)) for num in array.value_lengths().to_pylist()]

    return read


def written(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Values as they are."""
    return pa.array(values, kind)


def structs_written(writers: Mapping[str, Writer]) -> Writer:
    """Structs of objects with an attribute for each field.

    Args:
        writers: of the fields that are not written as they are.
    """

    def write(rows: Sequence[Any], kind: pa.StructType) -> pa.StructArray:
        columns = [
            writers.get(field.name, written)(list(map(attrgetter(field.name), rows)), field.type)
            for field in kind
        ]
        return pa.StructArray.from_arrays(columns, fields=list(kind))

    return write


def lists_written(writer: Writer) -> Writer:
    """Lists of what the writer writes."""

    def write(rows: Sequence[Sequence[Any]], kind: pa.ListType) -> pa.ListArray:
        return _listed(map(len, rows), writer(list(chain.from_iterable(rows)), kind.value_type))

    return write


def mappings_written(rows: Sequence[Mapping[str, Any]], kind: pa.ListType) -> pa.ListArray:
    """Lists of structs of a key and a value, of dictionaries."""
    key, value = kind.value_type
    items = pa.StructArray.from_arrays(
        [
            pa.array(list(chain.from_iterable(rows)), key.type),
            pa.array([one for row in rows for one in row.values()], value.type),
        ],
        fields=[key, value],
    )
    return _listed(map(len, rows), items)


def _listed(lengths: Iterable[int], items: pa.Array) -> pa.ListArray:
    offsets = pa.array(list(accumulate(lengths, initial=0)), pa.int32())
    return pa.ListArray.from_arrays(offsets, items)
