"""Label rows: where they lie, and how they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from actors.media_store import media_store
from actors.storage import arrow_path, place
from jobs.datasets.reading import data_files, num_rows
from jobs.rounds.workspace import InputError, Round
from schemas import manifest
from schemas.arrow import (
    LABELS,
    labels_from_table,
)
from schemas.places import Place
from schemas.rows import Label

Split = Literal["train", "heldout"]


_LABELS_AT_ONCE = 64  # rows hold media


def label_files(path: str) -> list[Place]:
    """The Parquet files of label rows: one file, or those of a complete data set.

    Raises:
        InputError: there are none.
    """
    found = place(path)
    if found.is_file():
        return [found]
    if not found.is_dir():
        raise InputError(f"labels.path: {path}: no such file")
    files = data_files(found)
    if manifest.read(found) is None or not files:
        raise InputError(f"labels.path: {path}: is no complete data set: it has no manifest")
    return files


def label_files_so_far(at: Round) -> list[Place]:
    """The label files of this round and all before it."""
    return [path for one in (*at.earlier(), at) for path in data_files(one.directory("labels"))]


def label_batches(files: Sequence[Place], split: Split | None = None) -> Iterator[pa.RecordBatch]:
    """Label rows in the order of their files, a few at a time."""
    # By default pyarrow keeps all that it has read of a file until the last row of it.
    options = ds.ParquetFragmentScanOptions(pre_buffer=False)
    parquet = ds.ParquetFileFormat(default_fragment_scan_options=options)
    sources = [arrow_path(path) for path in files]
    scanner = ds.dataset(
        [path for _, path in sources],
        schema=LABELS,
        format=parquet,
        filesystem=sources[0][0] if sources else None,
    ).scanner(
        filter=None if split is None else ds.field("split") == split,
        batch_size=_LABELS_AT_ONCE,
        batch_readahead=1,
        fragment_readahead=1,
    )
    if not files:
        return
    store = media_store(files[0].parent)  # data sets of one root share their objects
    for batch in scanner.to_batches():
        yield from store.bring_in(pa.Table.from_batches([batch])).to_batches()


def heldout_labels(at: Round) -> Iterator[Label]:
    """The held-out labels so far."""
    for batch in label_batches(label_files_so_far(at), "heldout"):
        yield from labels_from_table(batch)


def num_labels(files: Sequence[Place], split: Split | None = None) -> int:
    """How many labels of a split there are; the media stay where they are."""
    if split is None:
        return num_rows(files)
    sources = [arrow_path(path) for path in files]
    tables = (pq.read_table(path, columns=["split"], filesystem=fs) for fs, path in sources)
    return sum(table.filter(pc.field("split") == split).num_rows for table in tables)
