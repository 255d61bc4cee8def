"""What is at hand already of prompts that are to be drawn and judged.

    places (groups of any root, finished or begun) -> index of prompt ids -> rows of a few prompts

A run takes from earlier ones what has the key of what it would pay for (`factory.keys`); here the
rows are found, and what may be taken at all is told from what may not. The index holds 16 bytes a
row on disk; rows are read by row group, those of neighbouring prompts together, so a source that
was made of the same prompts in the same order is read once. Left out: sorting sources that lie in
quite another order, which are read again for each few hundred prompts.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import filterfalse

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from actors.media_pack import whereabouts
from actors.media_store import MediaStore, media_store
from factory.candidates import is_brought
from factory.ids import Ids, numbers_of, positions, to_numbers
from factory.scratch import Scratch
from jobs.datasets.files import parquet
from jobs.datasets.reading import data_files
from schemas import manifest
from schemas.arrow import groups_from_table
from schemas.columns import GROUPS, SchemaError, check_schema, upgraded
from schemas.manifest import Parent
from schemas.places import Place
from schemas.rows import Candidate, Group

Rows = npt.NDArray[np.int64]

#: How the names of files begin in which a running pipeline keeps what is drawn and not yet judged.
DRAWN = "_drawn"
_GROUPS_HELD = 4  # row groups, decoded
_THREADS = 16

_LOGGER = logging.getLogger(__name__)


class SourceError(ValueError):
    """A source that is no longer there."""


@dataclass(frozen=True)
class Source:
    """Rows that may be taken from.

    files: their Parquet files.
    is_own: they were left by an earlier run of the same work, whose candidates are known by
        generator and seed where they have no key.
    are_ids_known: rows from before there were keys were drawn by the very weights that are to draw
        now, so that their ids tell their candidates apart.
    is_brought: its candidates that exist are those that the run is about; of any other source they
        are somebody else's, and only what was said of them is taken.
    is_whole: its rows are taken as they are, verdicts and all.
    """

    directory: Place
    files: tuple[Place, ...]
    is_own: bool = False
    are_ids_known: bool = False
    is_brought: bool = False
    is_whole: bool = False

    @classmethod
    def own(cls, directory: Place) -> Source:
        """What an earlier run of the same work has drawn and not judged."""
        return cls(directory, _drawn(directory), is_own=True)

    @classmethod
    def of(cls, directory: Place, generators: Iterable[Parent] = ()) -> Source:
        """A data set of groups or candidates, finished or begun.

        Args:
            directory: of the data set.
            generators: that are to draw now, as parents: what lies there without keys is taken
                where it was made by these alone.
        """
        made = manifest.read(directory)
        theirs = {one.digest for one in (made.parents if made else ()) if one.role == "generator"}
        ours = {one.digest for one in generators}
        files = (*data_files(directory), *_drawn(directory))
        return cls(directory, files, are_ids_known=bool(theirs) and theirs <= ours)

    def again(self) -> Source:
        """The same source as it lies there now.

        Raises:
            SourceError: there is nothing of it left.
        """
        files = () if self.is_own else tuple(data_files(self.directory))
        files = (*files, *_drawn(self.directory))
        if self.files and not files:
            raise SourceError(f"{self.directory}: its rows were taken away while they were read")
        return replace(self, files=files)

    def may_take(self, group: Group) -> Group:
        """A row of it without what nobody may take."""
        if self.is_whole:
            return group
        left = group.without_attempts()
        if self.is_own:
            return left
        return replace(
            left,
            candidates=tuple(filter(self._is_taken, left.candidates)),
            replies=tuple(reply for reply in left.replies if reply.key is not None),
        )

    def _is_taken(self, candidate: Candidate) -> bool:
        if is_brought(candidate):
            return self.is_brought
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
        self._wanted = np.unique(wanted)
        self._store = store
        self._look(sources)

    def _look(self, sources: Sequence[Source]) -> None:
        """Index what lies there now."""
        self._sources = sources
        self._files = [(source, path) for source in sources for path in source.files]
        self._held: OrderedDict[tuple[int, int], pa.Table] = OrderedDict()
        self._media: frozenset[str] | None = None
        ids, file, row = Scratch(np.uint64), Scratch(np.int64), Scratch(np.int64)

        def of_file(number: int) -> tuple[Ids, Rows]:
            found = prompt_ids(self._files[number][1])
            rows = np.flatnonzero(positions(found, self._wanted) >= 0)
            return found[rows], rows

        with ThreadPoolExecutor(_THREADS) as pool:
            for number, (found, rows) in enumerate(pool.map(of_file, range(len(self._files)))):
                ids.add(found)
                file.add(np.full(len(rows), number))
                row.add(rows)
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

        Raises:
            SourceError: a source is no longer there.
            MediaReferenceError: media of another root, to which its rows refer, are missing.
        """
        found = self.rows([group.prompt.prompt_id for group in groups])
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

    def rows(self, ids: Sequence[str]) -> dict[str, list[Group]]:
        """All rows of some prompts, by id, in the order of the sources. Raises as `groups`."""
        try:
            return self._rows(ids)
        except FileNotFoundError:
            # Another run has completed a source meanwhile: its rows lie in other files now.
            self._look([source.again() for source in self._sources])
            return self._rows(ids)

    def _rows(self, ids: Sequence[str]) -> dict[str, list[Group]]:
        numbers = numbers_of(ids)
        begin = np.searchsorted(self._ids, numbers, "left")
        end = np.searchsorted(self._ids, numbers, "right")
        spans = [np.arange(one, other) for one, other in zip(begin, end, strict=True)]
        places = np.concatenate(spans) if spans else np.empty(0, np.int64)
        files, every = self._file[places], self._row[places]
        found: dict[str, list[Group]] = {}
        for file in np.unique(files).tolist():
            source, path = self._files[file]
            rows: list[int] = np.sort(every[files == file]).tolist()
            table = self._read(file, rows)
            theirs = media_store(source.directory)
            is_ours = self._store is not None and theirs.root == self._store.root
            if self._store is not None and not is_ours:
                table = self._store.take_over(table, theirs)
            taken = list(map(source.may_take, groups_from_table(table)))
            if is_ours:
                taken = self._with_media(taken, path)
            for group in taken:
                found.setdefault(group.prompt.prompt_id, []).append(group)
        return found

    def _with_media(self, groups: Sequence[Group], path: Place) -> list[Group]:
        """Groups without candidates whose media somebody has removed: they are drawn again."""
        if self._media is None:
            assert self._store is not None  # whose media these are
            self._media = self._store.files()
        left = [
            replace(group, candidates=tuple(filterfalse(self._is_lost, group.candidates)))
            for group in groups
        ]
        num = sum(len(group.candidates) for group in groups)
        num -= sum(len(group.candidates) for group in left)
        if num:
            _LOGGER.warning(
                "%s: the media of %d candidates are no longer there; they are drawn again",
                *(path, num),
            )
        return left

    def _is_lost(self, candidate: Candidate) -> bool:
        media = candidate.media
        if media is None or media.stored is not None or media.path is None:
            return False
        where = whereabouts(media.path)
        assert self._media is not None
        return where is None or where.file not in self._media

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


def _drawn(directory: Place) -> tuple[Place, ...]:
    return tuple(sorted(directory.glob(f"{DRAWN}-*.parquet")))


def prompt_ids(path: Place) -> Ids:
    """The ids of the prompts of a file's rows; none of a file that a killed writer left torn.

    Raises:
        SchemaError: it holds no groups, or their ids are none.
    """
    try:
        with path.open("rb") as opened:
            source = parquet(opened, path)
            check_schema(source.schema_arrow, GROUPS, str(path))
            return to_numbers(source.read(columns=["prompt_id"]).column(0))
    except (pa.ArrowInvalid, FileNotFoundError):
        return np.empty(0, np.uint64)
    except SchemaError:
        raise
    except ValueError as error:
        raise SchemaError(f"{path}: {error}") from None
