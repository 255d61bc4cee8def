"""How rows become a data set exactly once.

    write tasks -> parts -> (joining, on the way) -> settle -> files that the manifest names

Each write task of Ray Data leaves a part, a Parquet file that is either whole or cannot be opened:
its footer comes last, and S3 shows an object when it is complete. So the parts that can be opened
are the record of what is done, whoever wrote them and however it ended; a resumed run reads their
ids and does the rest. `settle` then looks at every part: it leaves out rows that two runs both
made, joins small parts to files of a size fit for streaming, and counts and hashes what remains.
What `jobs.datasets.joining` did of that while parts were still being made is not done again.
Nothing is deleted before the manifest is there, so drivers that race cannot take each other's
rows: see docs/decisions/0012.
"""

from __future__ import annotations

import os
import uuid
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from actors.storage import explained
from factory.ids import Ids, numbers_of, positions, to_numbers, to_text
from factory.scratch import Scratch
from jobs.datasets.files import file_batches, parquet, without, write_file
from schemas.columns import SchemaError, check_schema, upgraded
from schemas.digests import add_up_rows, digest_text
from schemas.places import Place
from schemas.recipe import Storage

_THREADS = 16
_ROWS_AT_ONCE = 64
_DRAFTS_AT_ONCE = 256
_IDS_AT_ONCE = 8192
_AT_ONCE_BYTES = 8 * 1024**2
#: Parts of at least this share of a file's size stay as they are.
_LARGE_ENOUGH = 0.25
#: How the names begin of what runs write: parts, parts of rows made again, and settled files.
_WRITTEN = ("part-", "retry-", "rows-")
#: The columns of ids; each kind of row is known by the first that it has.
_KEYS = ("pair_id", "label_id", "prompt_id")

Count = Callable[[pa.Table], Mapping[str, int]]


class IncompleteError(ValueError):
    """Rows that were to be made and are not there."""


@dataclass(frozen=True)
class Settled:
    """The rows of a finished data set: its files, its digest, and sums over its rows."""

    files: tuple[str, ...]
    digest: str
    counts: dict[str, int]


@dataclass(frozen=True, eq=False)
class Part:
    """A part that can be opened: its name, its size, and the numbers of its rows' ids, in order."""

    name: str
    num_bytes: int
    ids: Ids


@dataclass(frozen=True, eq=False)
class Joined:
    """A file that was made of parts while others were still being written (`datasets.joining`).

    part: the file, as a part of its own.
    sources: the names of the parts.
    total, counts: the sum of its rows' hashes, and what was counted in them.
    """

    part: Part
    sources: tuple[str, ...]
    total: int
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Finish:
    """What becomes of parts that are drafts, as they are settled.

    schema: of the drafts.
    work: from a table of them to the same rows as the data set has them.
    """

    schema: pa.Schema
    work: Callable[[pa.Table], pa.Table]


def read_parts(directory: Place, key: str, prefix: str = "") -> list[Part]:
    """The parts of a directory, by name; files that a killed writer left torn are passed over.

    Their ids lie in a scratch file.

    Args:
        directory: of the data set.
        key: the column of the rows' ids.
        prefix: of the parts' names.

    Raises:
        SchemaError: a file has no such column, or no ids in it; names the file.
    """
    names = [name for name in file_names(directory) if name.startswith(prefix)]
    return named_parts(directory, names, key)


def file_names(directory: Place) -> list[str]:
    """The Parquet files of a directory but its notes and inputs."""
    names = (path.name for path in directory.glob("*.parquet"))
    return sorted(name for name in names if not name.startswith("_"))


def named_parts(directory: Place, names: Sequence[str], key: str) -> list[Part]:
    """The parts of these names; see `read_parts`."""
    with ThreadPoolExecutor(_THREADS) as pool:
        found: list[tuple[str, int]] = []
        scratch, bounds = Scratch(np.uint64), [0]
        for part in pool.map(lambda name: _read_part(directory, name, key), names):
            if part is not None:
                found.append((part.name, part.num_bytes))
                scratch.add(part.ids)
                bounds.append(len(scratch))
    ids = scratch.array()
    return [
        Part(*one, ids[begin:end])
        for one, (begin, end) in zip(found, pairwise(bounds), strict=True)
    ]


def _read_part(directory: Place, name: str, key: str) -> Part | None:
    path = directory / name
    with explained(path):
        try:
            with path.open("rb") as source:
                num_bytes = source.seek(0, os.SEEK_END)
                file = parquet(source, path)
                if key not in file.schema_arrow.names:
                    raise SchemaError(f"{path}: column {key!r} is missing")
                batches = file.iter_batches(_IDS_AT_ONCE, columns=[key])
                ids = [to_numbers(batch.column(0)) for batch in batches]
                return Part(name, num_bytes, _joined(ids))
        except (pa.ArrowInvalid, FileNotFoundError):  # torn, or cleared away by who completed it
            return None
        except SchemaError:
            raise
        except ValueError as error:
            raise SchemaError(f"{path}: {error}") from None


def ids_of(parts: Sequence[Part]) -> Ids:
    """The different ids of all rows of some parts, as numbers in ascending order."""
    return np.unique(_joined([part.ids for part in parts]))


def _joined(ids: Sequence[Ids]) -> Ids:
    return np.concatenate(ids) if ids else np.empty(0, np.uint64)


def is_large(num_bytes: int, layout: Storage) -> bool:
    """Whether a part of so many bytes stays as it is."""
    return num_bytes >= _LARGE_ENOUGH * layout.file_bytes


def settle(
    parts: Sequence[Part],
    directory: Place,
    schema: pa.Schema,
    layout: Storage,
    *,
    joined: Sequence[Joined] = (),
    wanted: Iterable[str] | None = None,
    count: Count | None = None,
    finish: Finish | None = None,
) -> Settled:
    """Turn parts into the files of a data set.

    Args:
        parts: all others that there are; a row that is in several is taken from the first.
        directory: of the data set.
        schema: that the parts must have, and that the files have.
        layout: sizes of files and row groups.
        joined: files that were made of parts already, with the same `count`. They come before all
            others and stay as they are, unless rows of them are left out.
        wanted: the ids that must be there, where that is known; others are left out.
        count: what to count in a table of rows; the counts are summed.
        finish: what parts need that are drafts; all of them are then written anew.

    Raises:
        IncompleteError: an id is missing.
        SchemaError: a part has other columns.
    """
    import ray

    parts = [*(one.part for one in joined), *parts]
    left_out = rows_left_out(parts, wanted)
    known = {one.part.name: (one.total, one.counts) for one in joined}
    planned = _plan(parts, left_out, layout, known, is_draft=finish is not None)
    jobs = [_Job(*one, directory, schema, layout, count) for one in planned]
    results = {job.file: known[job.file] for job in jobs if job.file in known}
    left = [job for job in jobs if job.file not in known]
    if len(left) == 1:  # a worker's start would cost more than to join the parts of one file
        results[left[0].file] = _settle(left[0], finish)
    elif left:
        task = ray.remote(num_cpus=1)(_settle)
        shared = ray.put(finish)
        made = ray.get([task.remote(job, shared) for job in left])
        results.update(zip((job.file for job in left), made, strict=True))
    counts: Counter[str] = Counter()
    for _, found in results.values():
        counts.update(found)
    return Settled(
        tuple(job.file for job in jobs),
        digest_text(total for total, _ in results.values()),
        dict(counts),
    )


def rows_left_out(parts: Sequence[Part], wanted: Iterable[str] | None = None) -> list[_Rows]:
    """The rows to leave out of each part, in order: those of which an earlier row is a copy, and
    those that are not wanted. 8 bytes of each row are held at a time.

    Raises:
        IncompleteError: a wanted row is missing.
    """
    every = _joined([part.ids for part in parts])
    every.sort()
    again = np.unique(every[1:][every[1:] == every[:-1]])  # ids of several rows
    left = None
    if wanted is not None:
        left = np.unique(numbers_of(wanted))
        missing = left[positions(left, every) < 0]
        if missing.size:
            examples = ", ".join(map(to_text, missing[:3]))
            raise IncompleteError(
                f"{len(missing)} of {len(left)} rows are missing, such as {examples}; "
                "run the same command again"
            )
    del every
    is_taken = np.zeros(len(again), dtype=np.bool_)
    left_out: list[_Rows] = []
    for part in parts:
        is_out = np.zeros(len(part.ids), dtype=np.bool_)
        if left is not None:
            is_out = positions(part.ids, left) < 0
        at = positions(part.ids, again)
        rows = np.flatnonzero(at >= 0)
        at = at[rows]
        is_first = np.zeros(len(rows), dtype=np.bool_)
        is_first[np.unique(at, return_index=True)[1]] = True
        is_out[rows] |= is_taken[at] | ~is_first
        is_taken[at] = True
        left_out.append(np.flatnonzero(is_out))
    return left_out


def unfinished(directory: Place) -> list[tuple[Place, _Rows]]:
    """The Parquet files of a directory without a manifest, each with the rows to pass over, so that
    every row is read once; a file that holds no row of its own is left out.

    A run that ended before its manifest leaves parts and the settled files that were made of them,
    and two runs may both have made a row. As in `settle`, the first file that holds a row has it.
    Only what runs write is looked at: in files of other names every row counts.

    Raises:
        ValueError: a row of a file that is named as runs name theirs has no id.
    """
    names = file_names(directory)
    written = [name for name in names if name.startswith(_WRITTEN)]
    key = _key(directory, written) if len(written) > 1 else None
    found = named_parts(directory, written, key) if key is not None else []
    left_out = dict(zip((part.name for part in found), rows_left_out(found), strict=True))
    gone = {part.name for part in found if len(left_out[part.name]) == len(part.ids)}
    nothing = np.empty(0, np.int64)
    return [(directory / name, left_out.get(name, nothing)) for name in names if name not in gone]


def _key(directory: Place, names: Sequence[str]) -> str | None:
    """The column by which the rows of some files are known; None where they are of no kind of ours,
    or none of them can be opened.
    """
    for name in names:
        try:
            path = directory / name
            with path.open("rb") as source:
                columns = parquet(source, path).schema_arrow.names
        except (pa.ArrowInvalid, FileNotFoundError):
            continue
        return next((one for one in _KEYS if one in columns), None)
    return None


_Rows = npt.NDArray[np.int64]
_Sources = tuple[tuple[str, tuple[int, ...]], ...]  # parts, and their rows that are left out


def _plan(
    parts: Sequence[Part],
    left_out: Sequence[_Rows],
    layout: Storage,
    joined: Container[str] = (),
    *,
    is_draft: bool = False,
) -> Iterator[tuple[_Sources, str | None]]:
    """What becomes of the parts: (sources, name of the file made of them, or None to keep one)."""
    small: list[tuple[str, tuple[int, ...]]] = []
    size = 0.0
    for part, out in zip(parts, left_out, strict=True):
        if len(out) == len(part.ids):
            continue
        stays = part.name in joined or is_large(part.num_bytes, layout)
        if stays and not is_draft and not len(out):
            yield ((part.name, ()),), None
            continue
        if small and size + part.num_bytes > layout.file_bytes:
            yield tuple(small), new_name()
            small, size = [], 0.0
        small.append((part.name, tuple(out.tolist())))
        size += part.num_bytes * (1 - len(out) / len(part.ids))
    if len(small) == 1 and not small[0][1] and not is_draft:
        yield tuple(small), None
    elif small:
        yield tuple(small), new_name()


def new_name() -> str:
    """Of a file of joined parts. No other driver writes one of this name: of two that join the same
    parts, the slower one would write over the file that the manifest names, of parts that are being
    cleared away.
    """
    return f"rows-{uuid.uuid4().hex[:16]}.parquet"


@dataclass(frozen=True)
class _Job:
    sources: _Sources
    target: str | None
    directory: Place
    schema: pa.Schema
    layout: Storage
    count: Count | None

    @property
    def file(self) -> str:
        """The file that the rows are in at the end."""
        return self.target or self.sources[0][0]


def _settle(job: _Job, finish: Finish | None = None) -> tuple[int, Mapping[str, int]]:
    """Read the rows of one file-to-be, write them where it has a name, hash and count them."""
    total, counts = 0, Counter[str]()

    def look(table: pa.Table) -> pa.Table:
        nonlocal total
        total += add_up_rows(table)
        counts.update(counted(table, job.count))
        return table

    tables = map(look, _rows(job) if finish is None else _finished(job, finish))
    if job.target is None:
        for _ in tables:
            pass
    else:
        target = job.directory / job.target
        write_file(target, tables, job.schema, job.layout.row_group_bytes)
    return total, counts


def counted(table: pa.Table, count: Count | None) -> Mapping[str, int]:
    """What is counted in a table: its rows, where nothing else is said."""
    return count(table) if count is not None else {"rows": table.num_rows}


def _finished(job: _Job, finish: Finish) -> Iterator[pa.Table]:
    return map(finish.work, _rows(replace(job, schema=finish.schema), _DRAFTS_AT_ONCE))


def _rows(job: _Job, num_at_once: int = _ROWS_AT_ONCE) -> Iterator[pa.Table]:
    for name, left_out in job.sources:
        path = job.directory / name
        with open_part(path) as (source, _):
            yield from rows_of(source, path, job.schema, left_out, num_at_once)


@contextmanager
def open_part(path: Place) -> Iterator[tuple[IO[bytes], int]]:
    """A part to read all of, and its bytes. A small one is read at once: most of its columns are
    smaller than what it takes to ask for one.
    """
    with path.open("rb") as source:
        num_bytes = source.seek(0, os.SEEK_END)
        if num_bytes > _AT_ONCE_BYTES:
            yield source, num_bytes
        else:
            source.seek(0)
            yield pa.BufferReader(source.read()), num_bytes


def rows_of(
    source: IO[bytes],
    path: Place,
    schema: pa.Schema,
    left_out: Sequence[int] = (),
    num_at_once: int = _ROWS_AT_ONCE,
) -> Iterator[pa.Table]:
    """The rows of an open part, a few at a time, in the columns of `schema`.

    Raises:
        SchemaError: it has other columns; names `path`.
    """
    file = parquet(source, path)
    found = file.schema_arrow
    check_schema(found, schema, str(path))
    names = [name for name in schema.names if name in found.names]
    batches = file_batches(file, num_at_once, columns=names)
    for batch in without(batches, left_out) if left_out else batches:
        yield upgraded(pa.Table.from_batches([batch]), schema)


__all__ = [
    "Finish",
    "IncompleteError",
    "Joined",
    "Part",
    "SchemaError",
    "Settled",
    "named_parts",
    "read_parts",
    "settle",
]
