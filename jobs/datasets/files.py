"""Parquet files: the only place where one is opened, read or written.

    one file      parquet, sizes, num_rows, read_columns, row_batches        write_table, write_file
                  streamed_batches                                writer_to, RowGroups
    several       scan, with a filter

What a *data set* is, and which of its files count, is said elsewhere: `parts`, `reading`. Rows come
as they lie there: media that are only referred to stay references. Ray Data reads and writes files
of its own accord (`writing.write_parts`), with the options from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from actors.storage import arrow_path
from schemas.columns import check_version, upgraded
from schemas.places import Place

if TYPE_CHECKING:
    import pyarrow.dataset as ds

#: Of rows in a file, from 0.
Indices = Sequence[int] | npt.NDArray[np.int64]

_THREADS = 16
#: How the names of the Parquet columns end that hold the bytes of media.
_BYTES = ".image.bytes"
#: Of a column, where a file is streamed: each is a request where storage is remote.
_STREAMED_BYTES = 4 * 1024**2
#: Bytes of a table that is written as it is; smaller ones are first joined.
_LARGE_CHUNK = 1024**2
_FEW_TABLES = 8  # that are joined to one before there are more


# ------------------------------------------------------------------------------------- reading


def parquet(source: IO[bytes], path: Place, buffer_bytes: int = 0) -> pq.ParquetFile:
    """An open Parquet file, for its schema, its number of rows, and its rows a few at a time.

    Args:
        source: the file.
        path: of it, for messages.
        buffer_bytes: of a column that are read at once; its whole part of a row group where 0.

    Raises:
        pyarrow.ArrowInvalid: it is none, or is torn; names `path`.
        SchemaError: a newer factory wrote it; names `path`.
    """
    try:
        # By default pyarrow keeps all that it has read of a file until the last row of it.
        file = pq.ParquetFile(source, pre_buffer=False, buffer_size=buffer_bytes)
    except pa.ArrowInvalid as error:
        raise pa.ArrowInvalid(f"{path}: {error}") from None
    check_version(file.schema_arrow, str(path))
    return file


@dataclass(frozen=True)
class Size:
    """Of a Parquet file, by its footer: rows, and bytes of them in memory, about."""

    num_rows: int
    num_bytes: int


def sizes(files: Iterable[Place]) -> list[Size]:
    """How large Parquet files are, by their footers.

    Raises:
        SchemaError: a newer factory wrote one.
    """

    def of_file(path: Place) -> Size:
        with path.open("rb") as source:
            footer = parquet(source, path).metadata
            groups = range(footer.num_row_groups)
            return Size(footer.num_rows, sum(footer.row_group(at).total_byte_size for at in groups))

    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(of_file, files))


def num_rows(files: Iterable[Place]) -> int:
    """Rows of Parquet files, by their footers.

    Raises:
        SchemaError: a newer factory wrote one.
    """
    return sum(one.num_rows for one in sizes(files))


def read_columns(
    path: Place, columns: Sequence[str] | None = None, schema: pa.Schema | None = None
) -> pa.Table:
    """Columns of a whole Parquet file, for those that fit in memory.

    Args:
        path: of the file.
        columns: to read; all of them where None.
        schema: to read it as; columns that it has and the file lacks are null.
    """
    num_rows([path])  # refuses rows of a newer factory
    filesystem, name = arrow_path(path)
    names = None if columns is None else list(columns)
    # Folders that happen to be named KEY=VALUE are no columns.
    return pq.read_table(
        name, columns=names, schema=schema, filesystem=filesystem, partitioning=None
    )


def row_batches(
    path: Place,
    batch_size: int,
    columns: Sequence[str] | None = None,
    left_out: Indices = (),
    *,
    has_bytes: bool = True,
) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, a few at a time, for files that need not fit in memory.

    Args:
        path: of the file.
        batch_size: rows of a batch at most.
        columns: to read; all of them where None.
        left_out: indices of rows that are passed over, ascending.
        has_bytes: whether the bytes of media that lie in the rows are read; else they are null.
    """
    with path.open("rb") as source:
        file = parquet(source, path)
        read = file_batches(file, batch_size, columns=columns, has_bytes=has_bytes)
        yield from without(read, left_out) if len(left_out) else read


def streamed_batches(
    path: Place, batch_size: int, columns: Sequence[str], left_out: Indices = ()
) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file as by `row_batches`, with as little of it in memory as can be, and
    as much of a small file as of a large one: a few MiB of each column, one after the other.
    """
    filesystem, name = arrow_path(path)
    with filesystem.open_input_file(name) as source:
        file = parquet(source, path, _STREAMED_BYTES)
        batches = file.iter_batches(batch_size, columns=list(columns), use_threads=False)
        yield from without(batches, left_out) if len(left_out) else batches


def file_batches(
    file: pq.ParquetFile,
    batch_size: int,
    row_groups: Sequence[int] | None = None,
    columns: Sequence[str] | None = None,
    *,
    has_bytes: bool = True,
) -> Iterator[pa.RecordBatch]:
    """The rows of an open Parquet file, or of some of its row groups; see `row_batches`.

    A column may be a part of one, such as `candidates.list.element.measures`: the rest of it is
    then null. What the file lacks is left out.
    """
    if has_bytes:
        yield from file.iter_batches(batch_size, row_groups=row_groups, columns=columns)
        return
    leaves = [file.schema.column(at).path for at in range(file.metadata.num_columns)]
    names = leaves if columns is None else columns
    wanted = [
        leaf
        for leaf in leaves
        if any(leaf == name or leaf.startswith(f"{name}.") for name in names)
        and not leaf.endswith(_BYTES)
    ]
    there = {leaf.partition(".")[0] for leaf in wanted}
    schema = pa.schema([field for field in file.schema_arrow if field.name in there])
    for batch in file.iter_batches(batch_size, row_groups=row_groups, columns=wanted):
        yield from upgraded(pa.Table.from_batches([batch]), schema).to_batches()


def without(batches: Iterable[pa.RecordBatch], left_out: Indices) -> Iterator[pa.RecordBatch]:
    """Batches of rows but for those at some indices, counted from the first batch's first row."""
    out = np.asarray(left_out, np.int64)
    start = 0
    for batch in batches:
        is_kept = np.ones(batch.num_rows, np.bool_)
        is_kept[out[(out >= start) & (out < start + batch.num_rows)] - start] = False
        start += batch.num_rows
        if is_kept.any():
            yield batch if is_kept.all() else batch.filter(pa.array(is_kept))


def scan(
    files: Sequence[Place],
    *,
    columns: Sequence[str] | None = None,
    where: Any = None,
    schema: pa.Schema | None = None,
    batch_size: int = 1024,
) -> ds.Scanner:
    """The rows of Parquet files of one root that fit a condition.

    Args:
        files: at least one.
        columns: to read; all of them where None.
        where: an expression of `pyarrow.compute`.
        schema: of the rows; the first file's where None.
        batch_size: rows of a batch at most.
    """
    import pyarrow.dataset as ds  # a tenth of a second, which workers that write need not spend

    num_rows(files)  # refuses rows of a newer factory
    sources = [arrow_path(path) for path in files]
    options = ds.ParquetFragmentScanOptions(pre_buffer=False)  # as in `parquet`
    # By default 64 row groups may be read ahead, each of which the recipe lets be 32 MiB.
    return ds.dataset(
        [path for _, path in sources],
        schema=schema,
        format=ds.ParquetFileFormat(default_fragment_scan_options=options),
        filesystem=sources[0][0],
    ).scanner(
        columns=None if columns is None else list(columns),
        filter=where,
        batch_size=batch_size,
        batch_readahead=1,
        fragment_readahead=1,
    )


# ------------------------------------------------------------------------------------- writing


def writer_options(schema: pa.Schema, *, is_compressed: bool = True) -> dict[str, Any]:
    """How Parquet is written everywhere: zstd, but for media, which are compressed already, and for
    small parts, which are soon joined: a column's compressor takes longer to set up than to work.

    Without dictionaries, since media never repeat and zstd finds what does, and without statistics,
    which of media would be copies of their first bytes.
    """
    plain: dict[str, Any] = {"use_dictionary": False, "write_statistics": False}
    if not is_compressed:
        return {"compression": "NONE", **plain}
    names = [name for field in schema for name in _leaves(field.name, field.type)]
    text = [name for name in names if not name.endswith(_BYTES)]
    return {
        "compression": {name: "ZSTD" if name in text else "NONE" for name in names},
        "compression_level": dict.fromkeys(text, 1),
        **plain,
    }


def _leaves(name: str, type_: pa.DataType) -> Iterator[str]:
    """The columns of a Parquet file that a column of a table becomes."""
    if pa.types.is_list(type_):
        yield from _leaves(f"{name}.list.element", type_.value_type)
    elif pa.types.is_struct(type_):
        for field in type_:
            yield from _leaves(f"{name}.{field.name}", field.type)
    else:
        yield name


def write_table(
    path: Place,
    table: pa.Table,
    row_group_size: int | None = None,
    *,
    is_compressed: bool = True,
) -> None:
    """Write a table as a Parquet file.

    Args:
        path: of the file.
        table: its rows.
        row_group_size: rows of a row group at most; pyarrow's choice where None.
        is_compressed: see `writer_options`.
    """
    filesystem, name = arrow_path(path)
    options = writer_options(table.schema, is_compressed=is_compressed)
    pq.write_table(table, name, row_group_size, filesystem=filesystem, **options)


def writer_to(sink: IO[bytes], schema: pa.Schema) -> pq.ParquetWriter:
    """A Parquet file that is written to an open file, a table at a time; to be closed."""
    return pq.ParquetWriter(sink, schema, **writer_options(schema))


def write_file(
    path: Place, tables: Iterable[pa.Table], schema: pa.Schema, row_group_bytes: int
) -> None:
    """Write tables, one after the other, as a Parquet file with row groups of about so many bytes;
    no more of them than that are held at a time.
    """
    filesystem, name = arrow_path(path)
    with (
        filesystem.open_output_stream(name, compression=None) as sink,
        RowGroups(sink, schema, row_group_bytes) as groups,
    ):
        for table in tables:
            groups.add(table)


class RowGroups:
    """A Parquet file that is written to an open file, in row groups of about so many bytes; no more
    than that is held at a time. The file is whole when the context is left.
    """

    def __init__(self, sink: IO[bytes], schema: pa.Schema, row_group_bytes: int) -> None:
        self._writer = writer_to(sink, schema)
        self._row_group_bytes = row_group_bytes
        self._held: list[pa.Table] = []
        self._num_loose = 0  # tables of `_held`, the last of them, that are as they came
        self._num_bytes = 0

    def __enter__(self) -> RowGroups:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def add(self, table: pa.Table) -> None:
        """Append rows."""
        self._held.append(table)
        self._num_loose += 1
        self._num_bytes += _num_bytes(table)
        if self._num_bytes >= self._row_group_bytes:
            self._write()
        elif self._num_loose == _FEW_TABLES:  # little is then left to join when all are there
            self._held[-_FEW_TABLES:] = [_in_one(self._held[-_FEW_TABLES:])]
            self._num_loose = 0

    def close(self) -> None:
        """Write what is held, and the end of the file."""
        if self._held:
            self._write()
        self._writer.close()

    def _write(self) -> None:
        table = _in_one(self._held)
        self._writer.write_table(table, row_group_size=table.num_rows)
        self._held, self._num_loose, self._num_bytes = [], 0, 0


def _num_bytes(table: pa.Table) -> int:
    """Bytes of a table, or of the little memory of which it is a part: to look which of it is its
    own takes as long as to write it.
    """
    whole = table.get_total_buffer_size()
    return int(whole if whole < _LARGE_CHUNK else table.nbytes)


def _in_one(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables as one; of small chunks, which are slow to write, one is made."""
    table = pa.concat_tables(tables)
    is_small = sum(map(_num_bytes, tables)) < len(tables) * _LARGE_CHUNK
    return table.combine_chunks() if is_small else table
