"""Where a brought table lies, which of its files hold rows, and those rows in pieces of work.

    path -> Folder here, in an object store or on a hub -> Table -> Piece, Piece, …

    a file                              CSV, JSON Lines, JSON, Parquet, Arrow, a WebDataset tar
    a folder with `metadata.csv`        or .jsonl, .parquet: Hugging Face's folders of pictures
    a folder of Parquet or of tars      also below it, as hub data sets lie, with or without splits
    what `save_to_disk` wrote           of one split or of several
    a folder with one other table

A piece travels to whoever works on it: rows of text tables go along, which hold no media; of the
others only where they stand does. Left out: fetching URLs, and code that comes with a data set.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from actors.hub_data import HubData, HubDataError
from actors.storage import is_address, place
from actors.weights import is_hub_name
from factory.labels.streams import BrokenRow, Row
from jobs.datasets import foreign
from jobs.datasets.files import parquet
from jobs.datasets.foreign_media import MediaFolder
from jobs.rounds.workspace import InputError
from schemas.places import Place
from schemas.recipe import BroughtTable

#: In the order in which a folder's files are taken for its table.
_ENDINGS = foreign.SUFFIXES
#: What Hugging Face writes beside the rows.
_BESIDE = ("dataset_info.json", "dataset_infos.json", "state.json", "dataset_dict.json")
_SPLITS = ("train", "test", "validation", "valid", "val", "dev", "eval", "heldout")
_ROWS_A_PIECE = 64  # of a text table, each of which may name a large medium
_ROWS_OF_GROUPS = 64  # of Parquet: row groups are joined up to so many
_WHOLE_FILE = 16 * 1024**2  # bytes of a table up to which its digest is of all of them
_ENDS = 1024**2
_SOON_COUNTED = 64 * 1024**2  # bytes of a text table


class Folder(Protocol):
    """What a table lies in; it travels to workers."""

    def names(self) -> list[str]:
        """Files that may be tables or say how they lie, relative to the folder, in order."""

    def file(self, name: str) -> Place:
        """A file of it, to be opened."""

    def medium(self, table: str, name: str) -> bytes:
        """A medium that a row of one of its tables names, beside that table. Raises OSError."""


@dataclass(frozen=True)
class PlacedFolder:
    """A folder here or in an object store.

    path: of it.
    key: of the recipe, that names where its media lie.
    media: the folder below which rows name media; each table's own where None.
    """

    path: str
    key: str
    media: str | None = None

    def names(self) -> list[str]:
        folder = place(self.path)
        top = [one for one in folder.glob("*") if one.suffix in _ENDINGS]
        deep = folder.rglob("*") if not any(_holds_rows(one.name) for one in top) else iter(top)
        prefix = f"{str(folder).rstrip('/')}/"
        found = (str(one).removeprefix(prefix) for one in deep if one.suffix in _ENDINGS)
        return sorted(one for one in found if not one.startswith(".") and "/." not in one)

    def file(self, name: str) -> Place:
        return place(self.path) / name

    def medium(self, table: str, name: str) -> bytes:
        root = self.file(table).parent if self.media is None else place(self.media)
        return MediaFolder(root, self.key)(name)


@dataclass(frozen=True)
class HubFolder:
    """A data set of a hub, at one commit."""

    data: HubData

    def names(self) -> list[str]:
        return [one for one in self.data.names() if one.endswith(_ENDINGS)]

    def file(self, name: str) -> Place:
        return self.data.local(name)

    def medium(self, table: str, name: str) -> bytes:
        if "://" in name or name.startswith("/") or ".." in name.split("/"):
            raise OSError(f"is no file of {self.data.name}, and nothing else is fetched")
        beside, slash, _ = table.rpartition("/")
        try:
            return self.data.local(f"{beside}{slash}{name}").read_bytes()
        except HubDataError as error:
            raise OSError(str(error)) from None


@dataclass(frozen=True)
class Piece:
    """Some rows of a table.

    name: of no other piece of it; names are in the order of the rows.
    file: in which they stand.
    first: number of the first row in its file, from 1.
    row_groups: of a Parquet file, which.
    rows: as they were read, of a text table.
    """

    name: str
    file: str
    first: int
    row_groups: tuple[int, ...] | None = None
    rows: tuple[Row, ...] | None = None


@dataclass(frozen=True)
class Table:
    """The files of a brought table.

    shown: how messages call the folder.
    folder: in which they lie.
    files: relative to it, in order.
    """

    shown: str
    folder: Folder
    files: tuple[str, ...]

    def where(self, file: str) -> str:
        """A file, as messages name it."""
        return f"{self.shown}/{file}"

    def __str__(self) -> str:
        num = len(self.files)
        return self.where(self.files[0]) if num == 1 else f"{num} files of {self.shown}"

    def columns(self) -> list[str]:
        """Its columns, as far as its first rows tell."""
        first = self.file(0)
        if first.suffix == ".parquet":
            with first.open("rb") as source:
                return list(parquet(source, first).schema_arrow.names)
        names: dict[str, None] = {}
        for _, row in self.head(_ROWS_A_PIECE):
            names |= dict.fromkeys(() if isinstance(row, BrokenRow) else row)
        return list(names)

    def file(self, at: int) -> Place:
        """One of its files, to be opened."""
        return self.folder.file(self.files[at])

    def head(self, num: int) -> list[tuple[str, Row]]:
        """Its first rows, each with where it stands.

        Raises:
            InputError: the file cannot be read.
        """
        name = self.files[0]
        rows = itertools.islice(foreign.read(self.file(0)), num)
        with foreign.named(self.where(name)):
            return [(f"{self.where(name)}: row {n}", row) for n, row in enumerate(rows, start=1)]

    def num_rows(self) -> int | None:
        """Where that is soon said: by Parquet's footers, and by counting in small text tables.

        Raises:
            InputError: a file cannot be read.
        """
        total = 0
        for at, name in enumerate(self.files):
            path = self.file(at)
            with foreign.named(self.where(name)), path.open("rb") as source:
                if path.suffix == ".parquet":
                    total += parquet(source, path).metadata.num_rows
                elif path.suffix in foreign.TEXT and source.seek(0, 2) <= _SOON_COUNTED:
                    total += sum(1 for _ in foreign.read(path))
                else:
                    return None
        return total

    def pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """Its rows in pieces of work, one file after the other.

        Args:
            columns: that are read, where a table has them.

        Raises:
            InputError: a file cannot be read.
        """
        for at, name in enumerate(self.files):
            path = self.file(at)
            with foreign.named(self.where(name)):
                if path.suffix in foreign.TEXT:
                    yield from self._of_text(at, path, columns)
                elif path.suffix == ".parquet":
                    yield from self._of_row_groups(at, path)
                else:
                    yield Piece(f"{at:06d}-{1:09d}-whole", name, 1)

    def _of_text(self, at: int, path: Place, columns: Sequence[str]) -> Iterator[Piece]:
        rows = foreign.read(path)
        first = 1
        while few := tuple(itertools.islice(rows, _ROWS_A_PIECE)):
            kept = tuple(_only(row, columns) for row in few)
            yield Piece(f"{at:06d}-{first:09d}-{len(few)}", self.files[at], first, rows=kept)
            first += len(few)

    def _of_row_groups(self, at: int, path: Place) -> Iterator[Piece]:
        with path.open("rb") as source:
            metadata = parquet(source, path).metadata
            sizes = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
        first, num = 1, 0
        few: list[int] = []
        for group, size in enumerate(sizes):
            few.append(group)
            num += size
            if num >= _ROWS_OF_GROUPS or group == len(sizes) - 1:
                yield Piece(f"{at:06d}-{first:09d}-{num}", self.files[at], first, tuple(few))
                first, num, few = first + num, 0, []

    def rows(self, piece: Piece, columns: Sequence[str]) -> Iterator[tuple[str, int, Row]]:
        """The rows of a piece, each with its file and its number there.

        Raises:
            InputError: the file cannot be read.
        """
        where = self.where(piece.file)
        with foreign.named(where):
            rows: Iterator[Row]
            if piece.rows is not None:
                rows = iter(piece.rows)
            else:
                rows = foreign.read(self.folder.file(piece.file), columns, piece.row_groups)
            for number, row in enumerate(rows, start=piece.first):
                yield where, number, row

    def digest(self) -> str:
        """What the table is: names, sizes and bytes of its files, of large ones of both ends alone.
        A hub's is known by its commit.
        """
        if isinstance(self.folder, HubFolder):
            return self.folder.data.commit[:16]
        whole = hashlib.sha256()
        for at, name in enumerate(self.files):
            with self.file(at).open("rb") as source:
                size = source.seek(0, 2)
                whole.update(f"{name}\0{size}\0".encode())
                for start in [0] if size <= _WHOLE_FILE else [0, size - _ENDS]:
                    source.seek(start)
                    whole.update(source.read(size if size <= _WHOLE_FILE else _ENDS))
        return whole.hexdigest()[:16]


def find_table(spec: BroughtTable, key: str) -> Table:
    """The table that a section of the recipe names.

    Raises:
        InputError: there is none, or several; names `key` and says what there is.
    """
    where = place(spec.path)
    is_here = where.is_dir() or where.is_file()
    if spec.revision is not None and is_here:
        raise InputError(f"{key}.revision: is of a hub's name, and {spec.path} lies here")
    if spec.media is not None and not place(spec.media).is_dir():
        raise InputError(f"{key}.media: {spec.media}: no such folder")
    if where.is_file():
        if where.suffix not in _ENDINGS:
            raise InputError(f"{key}.path: {spec.path}: is none of {', '.join(_ENDINGS)}")
        folder = PlacedFolder(str(where.parent), f"{key}.media", spec.media)
        return Table(str(where.parent), folder, (where.name,))
    if where.is_dir():
        folder = PlacedFolder(spec.path, f"{key}.media", spec.media)
        return Table(spec.path.rstrip("/"), folder, _table_files(folder, spec, key))
    if is_address(spec.path) or not is_hub_name(spec.path):
        raise InputError(
            f"{key}.path: {spec.path}: there is no such file or folder, and it is no hub name"
        )
    try:
        hub = HubFolder(HubData.of(spec.path, spec.revision))
        files = _table_files(hub, spec, key)
    except HubDataError as error:
        raise InputError(f"{key}.path: {error}") from None
    return Table(f"{spec.path}@{hub.data.commit[:12]}", hub, files)


def _table_files(folder: Folder, spec: BroughtTable, key: str) -> tuple[str, ...]:
    names = folder.names()
    states = [one for one in names if one.rpartition("/")[2] == "state.json"]
    if states:  # as `save_to_disk` leaves it
        state = _of_split(states, spec, key)
        if len(state) > 1:
            raise InputError(f"{key}.path: {spec.path}: holds several data sets: {_few(state)}")
        return _saved(folder, state[0], key)
    for kind in _kinds(names):
        return tuple(_of_split(kind, spec, key))
    raise InputError(f"{key}.path: {spec.path}: holds no table ({', '.join(_ENDINGS)})")


def _kinds(names: Sequence[str]) -> Iterator[list[str]]:
    """Files that may be the rows of a data set, the likeliest first."""
    rows = [one for one in names if _holds_rows(one)]
    metadata = [one for one in rows if one.rpartition("/")[2].startswith("metadata.")]
    if metadata:
        yield metadata
    for ending in _ENDINGS:
        if found := [one for one in rows if one.endswith(ending)]:
            yield found


def _holds_rows(name: str) -> bool:
    return name.endswith(_ENDINGS) and name.rpartition("/")[2] not in _BESIDE


def _of_split(names: Sequence[str], spec: BroughtTable, key: str) -> list[str]:
    """The files of the split that the recipe names, or of the only one that there is."""
    if spec.split is not None:
        found = [one for one in names if _is_of(one, spec.split)]
        if not found:
            raise InputError(
                f"{key}.split: no file of {spec.path} is of {spec.split!r}; there are {_few(names)}"
            )
        return found
    splits = [one for one in _SPLITS if any(_is_of(name, one) for name in names)]
    if len(splits) > 1:
        raise InputError(
            f"{key}.split: {spec.path} holds {' and '.join(splits)}: say which, as {splits[0]}"
        )
    text = [one for one in names if one.endswith(foreign.TEXT)]
    if len(text) > 1 and not splits:
        raise InputError(f"{key}.path: {spec.path} holds several tables: {_few(text)}; name one")
    return list(names)


def _is_of(name: str, split: str) -> bool:
    return re.search(rf"(^|[/._-]){re.escape(split.strip('/'))}([/._-]|$)", name) is not None


def _saved(folder: Folder, state: str, key: str) -> tuple[str, ...]:
    """The files that a saved data set says it consists of."""
    prefix = state.removesuffix("state.json")
    try:
        said = json.loads(folder.file(state).read_text())
        files = tuple(f"{prefix}{one['filename']}" for one in said["_data_files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{key}.path: {state}: says of no files ({error!r})") from None
    if any("/" in one.removeprefix(prefix) for one in files):
        raise InputError(f"{key}.path: {state}: names files outside of its folder")
    return files


def _only(row: Row, columns: Sequence[str]) -> Row:
    """What is asked for of a row."""
    if isinstance(row, BrokenRow):
        return row
    return {key: one for key, one in row.items() if key in columns}


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more
