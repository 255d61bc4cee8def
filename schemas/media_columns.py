"""The columns of media in a table, however deep they lie: found, and replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa

from schemas.columns import IMAGE


def map_media(table: pa.Table, change: Callable[[pa.StructArray], pa.StructArray]) -> pa.Table:
    """The table with every column of pictures, however deep, replaced by `change` of it.

    Args:
        table: of any of the schemas.
        change: from an array of type `IMAGE` to another of the same length.
    """
    for index, field in enumerate(table.schema):
        if _has_media(field.type):
            chunks = [_map_array(chunk, change) for chunk in table.column(index).chunks]
            table = table.set_column(index, field, pa.chunked_array(chunks, field.type))
    return table


def media_arrays(table: pa.Table) -> Iterator[pa.StructArray]:
    """The arrays of type `IMAGE` of a table, however deep; nothing is copied."""
    for index, field in enumerate(table.schema):
        if _has_media(field.type):
            for chunk in table.column(index).chunks:
                yield from _media_below(chunk)


def _media_below(array: pa.Array) -> Iterator[pa.StructArray]:
    if array.type.equals(IMAGE):
        yield array
    elif pa.types.is_list(array.type):
        yield from _media_below(array.flatten())
    else:
        for index, field in enumerate(array.type):
            if _has_media(field.type):
                yield from _media_below(array.field(index))


def _has_media(type_: pa.DataType) -> bool:
    if pa.types.is_list(type_):
        return _has_media(type_.value_type)
    if pa.types.is_struct(type_):
        return bool(type_.equals(IMAGE)) or any(_has_media(field.type) for field in type_)
    return False


def _map_array(array: pa.Array, change: Callable[[pa.StructArray], pa.StructArray]) -> pa.Array:
    if array.type.equals(IMAGE):
        return change(array)
    if pa.types.is_list(array.type) and _has_media(array.type):
        if array.offset:  # of a slice: its offsets would not begin at its values
            array = pa.concat_arrays([array, array.slice(0, 0)])
        start, stop = array.offsets[0].as_py(), array.offsets[-1].as_py()
        values = _map_array(array.values.slice(start, stop - start), change)
        offsets = pa.array([one - start for one in array.offsets.to_pylist()], pa.int32())
        mask = array.is_null() if array.null_count else None
        return pa.ListArray.from_arrays(offsets, values, type=array.type, mask=mask)
    if pa.types.is_struct(array.type) and _has_media(array.type):
        fields = list(array.type)
        parts = [_map_array(array.field(index), change) for index in range(len(fields))]
        mask = array.is_null() if array.null_count else None
        return pa.StructArray.from_arrays(parts, fields=fields, mask=mask)
    return array
