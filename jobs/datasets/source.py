"""Parquet files as a source of Ray Data that asks no worker before its pipeline starts.

Ray's own reader reads a sample on a worker, to guess how large blocks become in memory, and waits
for that worker's start while no other worker is asked for. The footers say it too. A task reads a
file, a few rows at a time; into how many blocks Ray cuts what comes of it is the caller's to say.
Left out: conditions and projections that are pushed down; rows come whole, as the schema has them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from actors.blocks import packed
from jobs.datasets.files import Size, row_batches, sizes
from schemas.columns import upgraded
from schemas.places import Place

#: Of rows that are read at a time, in memory.
_BYTES_AT_ONCE = 16 * 1024**2


class ParquetFiles(Datasource):
    """Files of one root; what older rows lack is null."""

    def __init__(
        self, files: Sequence[Place], schema: pa.Schema, rows_a_block: int | None = None
    ) -> None:
        """Look at their footers.

        Args:
            files: to read.
            schema: of the rows.
            rows_a_block: of the blocks as which rows travel (`actors.blocks`); None for rows.

        Raises:
            SchemaError: a newer factory wrote one.
        """
        super().__init__()
        self.files = list(zip(files, sizes(files), strict=True))
        self.schema = schema
        self.rows_a_block = rows_a_block

    def estimate_inmemory_data_size(self) -> int:
        return sum(size.num_bytes for _, size in self.files)

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[ReadTask]:
        """A task for each file, however many blocks there are to be."""
        return [
            ReadTask(
                partial(self._read, path, size),
                BlockMetadata(
                    num_rows=self._num_rows(size),
                    size_bytes=size.num_bytes,
                    input_files=[str(path)],
                    exec_stats=None,
                ),
                schema=self.schema if self.rows_a_block is None else None,
                per_task_row_limit=per_task_row_limit,
            )
            for path, size in self.files
        ]

    def _num_rows(self, size: Size) -> int:
        """Of what is read of a file."""
        return math.ceil(size.num_rows / (self.rows_a_block or 1))

    def _read(self, path: Place, size: Size) -> Iterator[pa.Table]:
        if self.rows_a_block is None:
            return _rows(path, size, self.schema)
        return map(packed, _batches(path, self.rows_a_block, self.schema))


def _rows(path: Place, size: Size, schema: pa.Schema) -> Iterator[pa.Table]:
    if not size.num_rows:
        yield schema.empty_table()
        return
    at_once = max(size.num_rows * _BYTES_AT_ONCE // max(size.num_bytes, 1), 1)
    yield from _batches(path, min(at_once, size.num_rows), schema)


def _batches(path: Place, num_rows: int, schema: pa.Schema) -> Iterator[pa.Table]:
    for batch in row_batches(path, num_rows, schema.names):
        yield upgraded(pa.Table.from_batches([batch]), schema)
