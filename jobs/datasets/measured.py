"""Groups whose candidates are measured, read without media and by many workers at once.

Rows hold what was measured of a candidate where it was made, and no pixel is read. Older rows do
not, nor do rows of somebody else: their media are brought in and measured here, on the workers, a
few rows at a time, and let go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.media_store import MediaStore, media_store
from factory.media.measures import all_measures
from jobs.datasets.files import Indices, file_batches, parquet, without
from jobs.datasets.reading import JUDGED, sources_of
from schemas.arrow import groups_from_table, groups_to_table
from schemas.columns import GROUPS, check_schema, upgraded
from schemas.places import Place
from schemas.rows import Group

Made = TypeVar("Made")

_ROWS_OF_A_TASK = 2048
_ROWS_AT_ONCE, _ROWS_WITH_MEDIA = 1024, 16
_TASKS_AHEAD = 64  # whose results wait for the driver


@dataclass(frozen=True)
class Stretch:
    """Some rows of a file.

    path: of the file.
    row_groups: their indices.
    left_out: indices of rows that are passed over, counted from the first of these.
    """

    path: Place
    row_groups: tuple[int, ...]
    left_out: tuple[int, ...] = ()


def stretches(files: Iterable[tuple[Place, Indices]]) -> Iterator[Stretch]:
    """The rows of some files, each with the rows to pass over, cut into pieces of work."""
    for path, left_out in files:
        with path.open("rb") as source:
            metadata = parquet(source, path).metadata
            sizes = [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]
        out, begin, num = np.asarray(left_out, np.int64), 0, 0
        few: list[int] = []
        for at, size in enumerate(sizes):
            few.append(at)
            num += size
            if num >= _ROWS_OF_A_TASK or at == len(sizes) - 1:
                mine = out[(out >= begin) & (out < begin + num)] - begin
                yield Stretch(path, tuple(few), tuple(mine.tolist()))
                begin, num, few = begin + num, 0, []


def rows_of(stretch: Stretch, schema: pa.Schema, batch_size: int) -> Iterator[pa.Table]:
    """The rows of a stretch as they lie there, a few at a time.

    Raises:
        SchemaError: the file has other columns.
    """
    with stretch.path.open("rb") as source:
        file = parquet(source, stretch.path)
        check_schema(file.schema_arrow, schema, str(stretch.path))
        names = [name for name in schema.names if name in file.schema_arrow.names]
        read = file_batches(file, batch_size, stretch.row_groups, names)
        for batch in without(read, stretch.left_out):
            yield upgraded(pa.Table.from_batches([batch]), schema)


@dataclass
class MeasuredGroups:
    """The groups of a stretch, a few at a time, with measures and without the bytes of media.

    num_measured: candidates whose media were brought in for it, so far.

    Args:
        stretch: which.
        columns: to read, or parts of some; all but replies where None.
    """

    stretch: Stretch
    columns: Sequence[str] | None = None
    num_measured: int = 0

    def __iter__(self) -> Iterator[list[Group]]:
        path = self.stretch.path
        names = JUDGED.names if self.columns is None else self.columns
        store = media_store(path.parent)
        out, begin = np.asarray(self.stretch.left_out, np.int64), 0
        with path.open("rb") as source:
            file = parquet(source, path)
            check_schema(file.schema_arrow, GROUPS, str(path))
            for at in self.stretch.row_groups:
                num = file.metadata.row_group(at).num_rows
                mine = out[(out >= begin) & (out < begin + num)] - begin
                begin += num
                read = file_batches(file, _ROWS_AT_ONCE, [at], names, has_bytes=False)
                tables = [_as_groups(one) for one in without(read, mine)]
                if not any(map(lacks_measures, tables)):
                    yield from map(groups_from_table, tables)
                    continue
                with_media = file_batches(file, _ROWS_WITH_MEDIA, [at], JUDGED.names)
                for one in without(with_media, mine):
                    yield self._measure(_as_groups(one), store)

    def _measure(self, table: pa.Table, store: MediaStore) -> list[Group]:
        groups = groups_from_table(store.bring_in(table, with_references=True))
        self.num_measured += sum(map(num_unmeasured, groups))
        return list(map(_let_go, groups))


def _as_groups(batch: pa.RecordBatch) -> pa.Table:
    return upgraded(pa.Table.from_batches([batch]), GROUPS)


def lacks_measures(table: pa.Table) -> bool:
    """Whether a medium of some candidate was not measured."""
    for chunk in table.column("candidates").chunks:
        candidates = chunk.flatten()
        measures, media, error = (
            pc.is_null(pc.struct_field(candidates, name)) for name in ("measures", "media", "error")
        )
        if pc.any(pc.and_(pc.and_(measures, pc.invert(media)), error)).as_py():
            return True
    return False


def _let_go(group: Group) -> Group:
    """The group, its candidates with their measures and without the bytes of their media."""
    measured = zip(group.candidates, all_measures(group.candidates), strict=True)
    candidates = (
        replace(one, measures=measures, media=one.media and replace(one.media, stored=None))
        for one, measures in measured
    )
    return replace(group, candidates=tuple(candidates))


def each_in_a_task(
    work: Callable[..., Made], pieces: Iterable[object], *arguments: object
) -> Iterator[Made]:
    """What `work` makes of each piece and the arguments, in Ray tasks, as they come."""
    import ray

    task = ray.remote(num_cpus=1)(work)
    running: list[object] = []
    for piece in pieces:
        running.append(task.remote(piece, *arguments))
        while len(running) >= _TASKS_AHEAD:
            done, running = ray.wait(running)
            yield from ray.get(done)
    while running:
        done, running = ray.wait(running)
        yield from ray.get(done)


def read_measured(directory: Place, files: Sequence[str] | None = None) -> list[Group]:
    """All groups of a data set in the order of their prompts' ids, with measures and without the
    bytes of media, for sets that fit in memory without them.

    Args:
        directory: of the data set.
        files: names of its files, where it is not complete yet.
    """
    groups: list[Group] = []
    num_measured = 0
    for some, num in each_in_a_task(_all_of, stretches(sources_of(directory, files))):
        groups += some
        num_measured += num
    tell_measured(directory, num_measured)
    return sorted(groups, key=lambda group: group.prompt.prompt_id)


def _all_of(stretch: Stretch) -> tuple[list[Group], int]:
    found = MeasuredGroups(stretch)
    groups = [group for some in found for group in some]
    return groups, found.num_measured


def tell_measured(directory: Place, num: int) -> None:
    """Say how many candidates had no measures in their rows, where there were any."""
    if num:
        print(
            f"{directory.name}: {num} candidates have no measures in their rows; they were read "
            "with their media and measured",
            flush=True,
        )


def with_measures(groups: Sequence[Group], store: MediaStore) -> list[Group]:
    """Groups whose candidates are measured, but for those of groups that failed as a whole. Media
    that were only referred to are let go again.

    Args:
        groups: as they were read, with references or media.
        store: where the references lead.
    """
    return [
        _with_measures(one, store) if one.error is None and num_unmeasured(one) else one
        for one in groups
    ]


def _with_measures(group: Group, store: MediaStore) -> Group:
    whole = group
    if any(one.media is not None and one.media.stored is None for one in group.candidates):
        whole = groups_from_table(store.bring_in(groups_to_table([group])))[0]
    measured = zip(group.candidates, all_measures(whole.candidates), strict=True)
    candidates = (replace(one, measures=measures) for one, measures in measured)
    return replace(group, candidates=tuple(candidates))


def num_unmeasured(group: Group) -> int:
    """How many of its candidates are there and have no measures."""
    return sum(one.measures is None and one.error is None for one in group.candidates)
