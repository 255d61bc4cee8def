"""How data sets are read: which of their files count, with Ray or without, with media or without.

A complete data set is what its manifest names. Where there is no manifest, all files are read and
each row once (`parts.unfinished`).

    media="all"       brought in: for who looks at pixels, such as trainers
    media="inline"    as the rows hold them: large ones are references, which rows made of them keep
    media="none"      references at most, and no bytes are read: for who scans columns

What was measured of candidates stands in columns; `measured` reads those, and the media where rows
are older than that.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.media_store import media_store
from actors.storage import place
from jobs.datasets.files import (
    Indices,
    file_batches,
    num_rows,
    parquet,
    read_columns,
    row_batches,
    without,
)
from jobs.datasets.parts import file_names, unfinished
from schemas import manifest
from schemas.arrow import groups_from_table
from schemas.columns import GROUPS, check_schema, upgraded
from schemas.digests import digest_rows
from schemas.places import Place
from schemas.rows import Group

#: Groups without what judges said in their own words, which is larger than all else that is no
#: medium: for who needs the scores and duels that were made of it.
JUDGED = pa.schema([field for field in GROUPS if field.name != "replies"])
#: What is read of media.
Reading = Literal["all", "inline", "none"]

_ROWS_AT_ONCE = 64  # with media
_ROWS_READ = 8192  # without
_RAYS_BLOCKS = 200  # what it makes at least of what is not small


def data_files(directory: Place) -> list[Place]:
    """The Parquet files of a data set: those that its manifest names, or all where it names none;
    never its notes and inputs. Where there is no manifest, no file all of whose rows are in others.
    """
    return [path for path, _ in sources_of(directory)]


def sources_of(directory: Place, files: Sequence[str] | None = None) -> list[tuple[Place, Indices]]:
    """The files of a data set, each with the rows that are passed over, since another has them."""
    if files is None:
        made = manifest.read(directory)
        if made is None:
            return list(unfinished(directory))
        files = made.files if made.files is not None else file_names(directory)
    return [(directory / name, ()) for name in files]


def read_files(
    files: Sequence[Place],
    schema: pa.Schema,
    num_blocks: int | None = None,
    rows_a_block: int | None = None,
) -> Any:
    """Parquet files of one root as a Ray data set, references to media as they are.

    Args:
        files: what to read.
        schema: of the rows; what older ones lack is null.
        num_blocks: of all files together; Ray's choice where None.
        rows_a_block: of blocks that travel as one value (`actors.blocks`); None for rows.

    Raises:
        SchemaError: a newer factory wrote one.
    """
    import ray.data

    from jobs.datasets.source import ParquetFiles

    source = ParquetFiles(files, schema, rows_a_block)
    return ray.data.read_datasource(source, override_num_blocks=num_blocks)


def read_rows(files: Sequence[Place], schema: pa.Schema, where: Any = None) -> Any:
    """Parquet files of one root as a Ray data set, media included.

    Args:
        files: at least one.
        schema: of the rows; what older ones lack is null.
        where: an expression of `ray.data.expressions`; media of other rows are not brought in.
    """
    rows = read_files(files, schema)
    return brought_in(rows if where is None else rows.filter(expr=where), files[0].parent)


def brought_in(rows: Any, directory: Place) -> Any:
    """A Ray data set with the media to which it refers, in the root of `directory`."""
    return rows.map_batches(
        media_store(directory).stream_in,
        batch_format="pyarrow",
        batch_size=None,
        zero_copy_batch=True,
    )


def read_dataset(
    directories: Sequence[Place],
    schema: pa.Schema,
    num_blocks: int | None = None,
    *,
    where: Any = None,
    media: Literal["all", "inline"] = "all",
) -> Any:
    """Data sets of one root as one Ray data set.

    Args:
        directories: of the data sets.
        schema: of the rows; what older ones lack is null, and what it lacks is not read.
        num_blocks: of all whole files together; Ray's choice where None.
        where: an expression of `ray.data.expressions`; media of other rows are not brought in.
        media: what is read of them.
    """
    sources = [source for directory in directories for source in sources_of(directory)]
    partly = [source for source in sources if len(source[1])]
    whole = [path for path, left_out in sources if not len(left_out)]
    if not partly:
        rows = read_files(whole, schema, num_blocks)
    else:
        rows = _read_partly(partly, schema)
        if whole:
            rows = read_files(whole, schema, num_blocks).union(rows)
    if where is not None:
        rows = rows.filter(expr=where)
    return rows if media == "inline" else brought_in(rows, sources[0][0].parent)


def _read_partly(sources: Sequence[tuple[Place, Indices]], schema: pa.Schema) -> Any:
    """Files of which some rows are passed over, as a Ray data set: a task for each."""
    import ray.data

    items = [{"path": str(path), "left_out": [*map(int, left_out)]} for path, left_out in sources]
    rows = ray.data.from_items(items, override_num_blocks=len(items))
    return rows.map_batches(_rows_of, fn_args=(schema,), batch_size=1, batch_format="pyarrow")


def _rows_of(sources: pa.Table, schema: pa.Schema) -> Iterator[pa.Table]:
    for one in sources.to_pylist():
        read = row_batches(place(one["path"]), _ROWS_AT_ONCE, schema.names, one["left_out"])
        for batch in read:
            yield upgraded(pa.Table.from_batches([batch]), schema)


def small_blocks(files: Sequence[Place], most_rows: int) -> int | None:
    """How many blocks to read files in, so that none has many more rows than this: Ray chooses 200
    for sets of very different sizes, and workers hold a block. None where Ray's choice will do.
    """
    num = num_rows(files)
    return math.ceil(num / most_rows) if num > _RAYS_BLOCKS * most_rows else None


def read_table(
    directory: Place,
    schema: pa.Schema,
    files: Sequence[str] | None = None,
    *,
    media: Reading = "all",
) -> pa.Table:
    """A whole data set as one table, for sets that fit in memory.

    Args:
        directory: of the data set.
        schema: of the rows; what older ones lack is null, and what it lacks is not read.
        files: names of its files, where it is not complete yet.
        media: what is read of them.

    Raises:
        SchemaError: a file has other columns.
    """
    store = media_store(directory)
    tables: list[pa.Table] = []
    for path, left_out in sources_of(directory, files):
        with path.open("rb") as source:
            file = parquet(source, path)
            check_schema(file.schema_arrow, schema, str(path))
            if media == "none":
                names = [name for name in schema.names if name in file.schema_arrow.names]
                batches = [*file_batches(file, _ROWS_READ, columns=names, has_bytes=False)]
                empty = pa.schema([file.schema_arrow.field(name) for name in names])
                table = upgraded(pa.Table.from_batches(batches, empty), schema)
            else:
                table = read_columns(path, schema=schema)
        if len(left_out):
            table = pa.Table.from_batches(without(table.to_batches(), left_out), table.schema)
        tables += store.stream_in(table) if media == "all" else [table]
    return pa.concat_tables(tables) if tables else schema.empty_table()


def read_groups(
    directory: Place, files: Sequence[str] | None = None, *, media: Reading = "all"
) -> list[Group]:
    """All groups of a data set, in the order of their prompts' ids.

    Args:
        directory: of the data set.
        files: names of its files, where it is not complete yet.
        media: what is read of them.
    """
    groups = groups_from_table(read_table(directory, GROUPS, files, media=media))
    return sorted(groups, key=lambda group: group.prompt.prompt_id)


def stream(
    directory: Place,
    columns: Sequence[str] | None = None,
    batch_size: int = 1024,
    files: Sequence[str] | None = None,
    *,
    media: Reading = "all",
) -> Iterator[pa.Table]:
    """The rows of a data set, file by file and a few at a time, for sets of any size.

    Args:
        directory: of the data set.
        columns: to read, or parts of some (see `files.file_batches`); all of them where None.
        batch_size: rows of a table at most.
        files: names of its files, where it is not complete yet.
        media: what is read of those of the columns.
    """
    store = media_store(directory)
    for path, left_out in sources_of(directory, files):
        has_bytes = media != "none"
        for batch in row_batches(path, batch_size, columns, left_out, has_bytes=has_bytes):
            table = pa.Table.from_batches([batch])
            yield from store.stream_in(table) if media == "all" else [table]


def find_rows(
    directory: Place,
    column: str,
    wanted: Collection[str],
    schema: pa.Schema,
    files: Sequence[str] | None = None,
    *,
    media: Reading = "all",
) -> pa.Table:
    """The few rows of a data set whose `column` is one of `wanted`; only row groups that hold one
    of them are read whole.

    Args:
        directory: of the data set.
        column: of strings.
        wanted: its values.
        schema: of the rows.
        files: names of its files, where it is not complete yet.
        media: what is read of them.
    """
    found = []
    values = pa.array(sorted(wanted), pa.string())
    for path, left_out in sources_of(directory, files):
        out, start = np.asarray(left_out, np.int64), 0
        with path.open("rb") as source:
            file = parquet(source, path)
            check_schema(file.schema_arrow, schema, str(path))
            names = [name for name in schema.names if name in file.schema_arrow.names]
            for index in range(file.num_row_groups):
                out_of_group, start = out - start, start + file.metadata.row_group(index).num_rows
                column_of = file.read_row_group(index, columns=[column]).column(column)
                rows = pc.is_in(column_of, values)
                if pc.any(rows).as_py():
                    has_bytes = media != "none"
                    batches = file_batches(file, 256, [index], names, has_bytes=has_bytes)
                    for batch in without(batches, out_of_group):
                        rows_of = batch.filter(pc.is_in(batch.column(column), values))
                        if len(rows_of):  # an empty batch of so many columns is not small
                            found.append(upgraded(pa.Table.from_batches([rows_of]), schema))
    if not found:
        return schema.empty_table()
    rows_found = pa.concat_tables(found)
    if media != "all":
        return rows_found
    return pa.concat_tables(media_store(directory).stream_in(rows_found))


def digest_dataset(directory: Place) -> str:
    """Hash of a data set's rows."""
    return digest_rows(stream(directory, batch_size=64))
