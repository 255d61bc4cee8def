"""What is at hand already of prompts that are to be drawn and judged.

    places (groups of any root, finished or begun) -> index of prompt ids -> rows of a few prompts

A run takes from earlier ones what has the key of what it would pay for (`factory.keys`); here the
rows are found, and what may be taken at all is told from what may not. The index holds 16 bytes a
row on disk; rows are read by row group, those of neighbouring prompts together, so a source that
was made of the same prompts in the same order is read once. Left out: sorting sources that lie in
quite another order, which are read again for each few hundred prompts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from actors.media_store import MediaStore, media_store
from factory.ids import Ids, numbers_of, positions, to_numbers
from factory.scratch import Scratch
from jobs.datasets.files import parquet
from jobs.datasets.reading import data_files
from schemas import manifest
from schemas.arrow import groups_from_table
from schemas.columns import GROUPS, check_schema, upgraded
from schemas.manifest import Parent
from schemas.places import Place
from schemas.rows import Candidate, Group

#: How the names of files begin in which a running pipeline keeps what is drawn and not yet judged.
DRAWN = "_drawn"
_GROUPS_HELD = 4  # row groups, decoded


@dataclass(frozen=True)
class Source:
    """Rows that may be taken from.

    files: their Parquet files.
    is_own: they were left by an earlier run of the same work, whose candidates are known by
        generator and seed where they have no key.
    are_ids_known: rows from before there were keys were drawn by the very weights that are to draw
        now, so that their ids tell their candidates apart.
    """

    directory: Place
    files: tuple[Place, ...]
    is_own: bool = False
    are_ids_known: bool = False

    @classmethod
    def own(cls, directory: Place) -> Source:
        """What an earlier run of the same work has drawn and not judged."""
        return cls(directory, tuple(sorted(directory.glob(f"{DRAWN}-*.parquet"))), is_own=True)

    @classmethod
    def of(cls, directory: Place, generators: Iterable[Parent] = ()) -> Source:
        """A data set of groups or candidates, finished or begun.

        Args:
            directory: of the data set.
            generators: that are to draw now, as parents: what lies there without keys is taken
                where it was made by these alone.
        """
        files = (*data_files(directory), *Source.own(directory).files)
        made = manifest.read(directory)
        theirs = {one.digest for one in (made.parents if made else ()) if one.role == "generator"}
        ours = {one.digest for one in generators}
        return cls(directory, files, are_ids_known=bool(theirs) and theirs <= ours)

    def may_take(self, group: Group) -> Group:
        """A row of it without what nobody may take."""
        left = group.without_attempts()
        if self.is_own:
            return left
        return replace(
            left,
            candidates=tuple(filter(self._is_known, left.candidates)),
            replies=tuple(reply for reply in left.replies if reply.key is not None),
        )

    def _is_known(self, candidate: Candidate) -> bool:
        if candidate.drawn is None:
            return self.are_ids_known
        return candidate.drawn.key is not None


class AtHand:
    """The rows of some sources that are of wanted prompts."""

    def __init__(
        self, sources: Sequence[Source], wanted: Ids, store: MediaStore | None = None
    ) -> None:
        """Read the ids of all sources.

        Args:
            sources: in the order in which what is in several is taken.
            wanted: ids of prompts.
            store: of the root that takes; media that lie in another one are linked or copied there.
                None to look only.

        Raises:
            SchemaError: a file holds no groups, or those of a newer factory.
        """
        self._files = [(source, path) for source in sources for path in source.files]
        self._store = store
        self._held: OrderedDict[tuple[int, int], pa.Table] = OrderedDict()
        wanted = np.unique(wanted)
        ids, file, row = Scratch(np.uint64), Scratch(np.int64), Scratch(np.int64)
        for number, (_, path) in enumerate(self._files):
            for start, found in _ids(path):
                rows = np.flatnonzero(positions(found, wanted) >= 0)
                ids.add(found[rows])
                file.add(np.full(len(rows), number))
                row.add(rows + start)
        order = np.argsort(ids.array(), kind="stable")  # the first source stays first
        self._ids, self._file, self._row = (one.array()[order] for one in (ids, file, row))

    def __len__(self) -> int:
        """Prompts of which there is anything."""
        return len(self.ids())

    def ids(self) -> Ids:
        """Their ids, ascending."""
        return np.unique(self._ids)

    def groups(self, groups: Sequence[Group]) -> list[Group]:
        """Groups with what is at hand of each: candidates and replies of all sources, whatever was
        asked for there.
        """
        found = self._rows([group.prompt.prompt_id for group in groups])
        filled = []
        for group in groups:
            rows = found.get(group.prompt.prompt_id, [])
            filled.append(
                replace(
                    group,
                    candidates=(*group.candidates, *(c for one in rows for c in one.candidates)),
                    replies=(*group.replies, *(r for one in rows for r in one.replies)),
                )
            )
        return filled

    def _rows(self, ids: Sequence[str]) -> dict[str, list[Group]]:
        numbers = numbers_of(ids)
        begin = np.searchsorted(self._ids, numbers, "left")
        end = np.searchsorted(self._ids, numbers, "right")
        places = [at for one, other in zip(begin, end, strict=True) for at in range(one, other)]
        found: dict[str, list[Group]] = {}
        for file in sorted({int(self._file[at]) for at in places}):
            source, _ = self._files[file]
            rows = sorted(int(self._row[at]) for at in places if self._file[at] == file)
            for group in groups_from_table(self._taken_over(source, self._read(file, rows))):
                found.setdefault(group.prompt.prompt_id, []).append(source.may_take(group))
        return found

    def _taken_over(self, source: Source, table: pa.Table) -> pa.Table:
        if self._store is None:
            return table
        return self._store.take_over(table, media_store(source.directory))

    def _read(self, file: int, rows: Sequence[int]) -> pa.Table:
        """Some rows of a file, ascending."""
        _, path = self._files[file]
        with path.open("rb") as opened:
            source = parquet(opened, path)
            check_schema(source.schema_arrow, GROUPS, str(path))
            tables, start = [], 0
            for number in range(source.num_row_groups):
                size = source.metadata.row_group(number).num_rows
                inside = [row - start for row in rows if start <= row < start + size]
                start += size
                if inside:
                    held = self._held.get((file, number))
                    if held is None:
                        held = upgraded(source.read_row_group(number), GROUPS)
                        self._hold((file, number), held)
                    tables.append(held.take(pa.array(inside)))
        return pa.concat_tables(tables)

    def _hold(self, key: tuple[int, int], table: pa.Table) -> None:
        self._held[key] = table
        while len(self._held) > _GROUPS_HELD:
            self._held.popitem(last=False)


def _ids(path: Place) -> Iterator[tuple[int, Ids]]:
    """The ids of a file's rows by row group, each with the number of its first row; none of a file
    that a killed writer left torn.
    """
    start = 0
    try:
        with path.open("rb") as opened:
            source = parquet(opened, path)
            for number in range(source.num_row_groups):
                ids = to_numbers(source.read_row_group(number, columns=["prompt_id"]).column(0))
                yield start, ids
                start += len(ids)
    except (pa.ArrowInvalid, FileNotFoundError):
        return
