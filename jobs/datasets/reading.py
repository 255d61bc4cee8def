"""How data sets are read."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.media_store import media_store
from actors.storage import arrow_path
from schemas import manifest
from schemas.arrow import GROUPS, check_schema, digest_rows, groups_from_table
from schemas.places import Place
from schemas.rows import Group

_RAYS_BLOCKS = 200  # what it makes at least of what is not small


def data_files(directory: Place) -> list[Place]:
    """The Parquet files of a data set: those that its manifest names, or all where there is none;
    never its notes and inputs.
    """
    made = manifest.read(directory)
    if made is not None and made.files is not None:
        return [directory / name for name in made.files]
    return sorted(path for path in directory.glob("*.parquet") if not path.name.startswith("_"))


def read_files(files: Sequence[Place], num_blocks: int | None = None) -> Any:
    """Parquet files of one root as a Ray data set, references to media as they are.

    Args:
        files: what to read.
        num_blocks: of all files together; Ray's choice where None.
    """
    import ray.data

    # The newer reader takes a second or more to start, and makes one block of a small file however
    # many were asked for: rows would be written, and safe, only when all of them are done.
    ray.data.DataContext.get_current().use_datasource_v2 = False
    sources = [arrow_path(path) for path in files]
    return ray.data.read_parquet(
        [path for _, path in sources],
        filesystem=sources[0][0] if sources else None,
        override_num_blocks=num_blocks,
    )


def num_rows(files: Sequence[Place]) -> int:
    """Rows of Parquet files, by their footers."""
    sources = [arrow_path(path) for path in files]
    return sum(pq.read_metadata(path, filesystem=fs).num_rows for fs, path in sources)


def read_rows(files: Sequence[Place], num_blocks: int | None = None) -> Any:
    """Parquet files of one root as a Ray data set, media included."""
    return read_files(files, num_blocks).map_batches(
        media_store(files[0].parent).bring_in,
        batch_format="pyarrow",
        batch_size=None,
        zero_copy_batch=True,
    )


def read_dataset(directories: Sequence[Place], num_blocks: int | None = None) -> Any:
    """Data sets of one root as one Ray data set, media included."""
    return read_rows([path for one in directories for path in data_files(one)], num_blocks)


def small_blocks(files: Sequence[Place], most_rows: int) -> int | None:
    """How many blocks to read files in, so that none has many more rows than this: Ray chooses 200
    for sets of very different sizes, and workers hold a block. None where Ray's choice will do.
    """
    num = 0
    for path in files:
        filesystem, name = arrow_path(path)
        num += pq.read_metadata(name, filesystem=filesystem).num_rows
    return math.ceil(num / most_rows) if num > _RAYS_BLOCKS * most_rows else None


def row_batches(
    path: Place, batch_size: int, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, a few at a time, for files that need not fit in memory."""
    with path.open("rb") as file:
        # By default pyarrow keeps all that it has read of a file until the last row of it.
        yield from pq.ParquetFile(file, pre_buffer=False).iter_batches(batch_size, columns=columns)


def read_table(directory: Place, schema: pa.Schema, files: Sequence[str] | None = None) -> pa.Table:
    """A whole data set as one table, media included, for sets that fit in memory.

    Raises:
        SchemaError: a file has other columns.
    """
    store = media_store(directory)
    tables = []
    for path in _paths(directory, files):
        filesystem, name = arrow_path(path)
        check_schema(pq.read_schema(name, filesystem=filesystem), schema, str(path))
        table = pq.read_table(name, filesystem=filesystem, schema=schema)
        tables.append(store.bring_in(table))
    return pa.concat_tables(tables) if tables else schema.empty_table()


def read_groups(directory: Place, files: Sequence[str] | None = None) -> list[Group]:
    """All groups of a data set, in the order of their prompts' ids, media included.

    Args:
        directory: of the data set.
        files: names of its files, where it is not complete yet.
    """
    groups = groups_from_table(read_table(directory, GROUPS, files))
    return sorted(groups, key=lambda group: group.prompt.prompt_id)


def stream(
    directory: Place,
    columns: Sequence[str] | None = None,
    batch_size: int = 1024,
    files: Sequence[str] | None = None,
) -> Iterator[pa.Table]:
    """The rows of a data set, file by file and a few at a time, media of the columns included, for
    sets of any size.

    Args:
        directory: of the data set.
        columns: to read; all of them where None.
        batch_size: rows of a table at most.
        files: names of its files, where it is not complete yet.
    """
    store = media_store(directory)
    for path in _paths(directory, files):
        for batch in row_batches(path, batch_size, columns):
            yield store.bring_in(pa.Table.from_batches([batch]))


def find_rows(
    directory: Place,
    column: str,
    wanted: Collection[str],
    schema: pa.Schema,
    files: Sequence[str] | None = None,
) -> pa.Table:
    """The few rows of a data set whose `column` is one of `wanted`, media included; only row groups
    that hold one of them are read whole.

    Args:
        directory: of the data set.
        column: of strings.
        wanted: its values.
        schema: of the rows.
        files: names of its files, where it is not complete yet.
    """
    found = []
    values = pa.array(sorted(wanted), pa.string())
    for path in _paths(directory, files):
        with path.open("rb") as source:
            file = pq.ParquetFile(source, pre_buffer=False)
            for index in range(file.num_row_groups):
                column_of = file.read_row_group(index, columns=[column]).column(column)
                rows = pc.is_in(column_of, values)
                if pc.any(rows).as_py():
                    for batch in file.iter_batches(256, row_groups=[index], columns=schema.names):
                        rows_of = batch.filter(pc.is_in(batch.column(column), values))
                        if len(rows_of):  # an empty batch of so many columns is not small
                            found.append(rows_of)
    if not found:
        return schema.empty_table()
    return media_store(directory).bring_in(
        pa.Table.from_batches(found).select(schema.names).cast(schema)
    )


def digest_dataset(directory: Place) -> str:
    """Hash of a data set's rows."""
    return digest_rows(stream(directory, batch_size=64))


def _paths(directory: Place, files: Sequence[str] | None) -> list[Place]:
    return data_files(directory) if files is None else [directory / name for name in files]
