"""Label rows: where they lie, and how they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from actors.media_store import media_store
from actors.storage import place
from factory.labels.repeats import Repeats
from jobs.datasets.files import num_rows, read_columns, scan
from jobs.datasets.reading import data_files
from jobs.rounds.workspace import InputError, Round
from schemas import manifest
from schemas.arrow import labels_from_table
from schemas.columns import LABELS
from schemas.digests import add_up_rows, digest_text
from schemas.places import Place
from schemas.results import LabelsSeen

Split = Literal["train", "heldout"]


_LABELS_AT_ONCE = 64  # rows hold media
#: How labels are called and used, and not what they say.
_NO_CONTENT = ["label_id", "split"]


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
    if not files:
        return
    where = None if split is None else pc.field("split") == split
    scanner = scan(files, where=where, schema=LABELS, batch_size=_LABELS_AT_ONCE)
    store = media_store(files[0].parent)  # data sets of one root share their media
    for batch in scanner.to_batches():
        for table in store.stream_in(pa.Table.from_batches([batch])):
            yield from table.to_batches()


def num_labels(files: Sequence[Place], split: Split | None = None) -> int:
    """How many labels of a split there are; the media stay where they are."""
    if split is None:
        return num_rows(files)
    tables = (read_columns(path, ["split"]) for path in files)
    return sum(table.filter(pc.field("split") == split).num_rows for table in tables)


def labels_seen(files: Sequence[Place], split: Split | None = None) -> LabelsSeen:
    """What the labels of a split are: a digest of all that they say, and those that repeat or
    contradict each other. Their media are read.
    """
    repeats, num, total = Repeats(), 0, 0
    for batch in label_batches(files, split):
        table = pa.Table.from_batches([batch])
        total += add_up_rows(table.drop_columns(_NO_CONTENT))
        for label in labels_from_table(table):
            repeats.add(label)
            num += 1
    counts = repeats.counts()
    return LabelsSeen(digest_text([total]), num, counts["duplicate"], counts["contradictory"])
