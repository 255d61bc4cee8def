"""Records of an export to files: as a stream, in shards, and so that a killed run goes on.

    SPLIT/00000-<digest>.parquet   a shard, named by what its records say
    media/ab/<sha256>.png          a medium, where rows name the path of its file
    .export/00000.json             what is done: a note for each slice, until the export is complete

A slice is so many rows of what is read, in their order; each split has one file of it. Files are
written beside their place and moved there when they are whole, then the slice is noted with the row
at which the next one begins. A run that goes on reads the notes. Slices are cut by rows and bytes
alone, so it writes the very files that an undisturbed run writes. In memory are the records of one
row group.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from actors.media_pack import ending
from actors.storage import arrow_path, explained, local_path, write_whole
from factory.exports.columns import MediaMode
from factory.exports.record import Frames, Raw, Record
from factory.media.clips import decode_clip
from factory.media.pictures import encode_png
from jobs.datasets.files import writer_to
from schemas.places import PACKS, Place
from schemas.rows import Media, Origin

NOTES = ".export"
_GROUP_BYTES = 8 * 1024**2
_GROUP_ROWS = 512
_THREADS = 8
_COPIED_AT_ONCE = 8 * 1024**2
#: Examples of rows that were left out, kept for each reason.
_EXAMPLES = 3
#: Different licences that are told apart; data sets that name more have a row each.
_LICENCES = 200


class RecordError(ValueError):
    """A record that cannot be written; names the exporter and says why."""


@dataclass(frozen=True)
class Layout:
    """How records are written.

    exporter: its name, for messages.
    schema: of the Parquet files; None where records are written as a JSON array.
    media: inline, or as files.
    from_table: what leads from a table to where paths are meant from: "" or "../".
    slice_rows, slice_bytes: at which a slice ends; never where both are None.
    """

    exporter: str
    schema: pa.Schema | None
    media: MediaMode
    from_table: str = ""
    slice_rows: int | None = None
    slice_bytes: int | None = None

    @property
    def ending(self) -> str:
        """Of the files."""
        return "json" if self.schema is None else "parquet"


@dataclass(frozen=True)
class Note:
    """What became of a slice.

    files: its shards, by split.
    splits: records, by split.
    left_out: rows that the format cannot hold, by reason.
    examples: some of them, by reason: "row id: detail".
    licences: records, by what their rows say of licence and source.
    num_read: rows.
    num_bytes: of the records' media.
    source, row: where the next slice begins: of which source, at which of its rows.
    """

    files: dict[str, str]
    splits: dict[str, int]
    left_out: dict[str, int]
    examples: dict[str, list[str]]
    licences: dict[str, int]
    num_read: int
    num_bytes: int
    source: int
    row: int


def read_notes(directory: Place) -> list[Note]:
    """The slices that are done, in order."""
    notes = []
    for path in sorted((directory / NOTES).glob("*.json")):
        notes.append(Note(**json.loads(path.read_bytes())))
    return notes


@dataclass
class Slice:
    """A slice that is being written."""

    directory: Place
    layout: Layout
    number: int
    num_read: int = 0
    num_bytes: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    licences: Counter[str] = field(default_factory=Counter)
    _shards: dict[str, _Shard] = field(default_factory=dict)

    def add(self, split: str, record: Record, owner: Origin | None) -> None:
        """Write a record.

        Args:
            split: to which it belongs.
            record: as the format has it.
            owner: what is known of where its prompt comes from.

        Raises:
            RecordError: it does not fit the columns.
        """
        shard = self._shards.get(split)
        if shard is None:
            maker = _JsonShard if self.layout.schema is None else _ParquetShard
            shard = self._shards[split] = maker(self.directory, split, self.layout)
        self.num_bytes += shard.add(record)
        self.splits[split] += 1
        told = (owner.license, owner.source) if owner is not None else ()
        name = ", ".join(one for one in told if one) or "not told"
        if name not in self.licences and len(self.licences) >= _LICENCES:
            name = "others"
        self.licences[name] += 1

    def leave_out(self, reason: str, example: str) -> None:
        """Count a row that the format cannot hold."""
        self.left_out[reason] += 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < _EXAMPLES:
            examples.append(example)

    @property
    def is_full(self) -> bool:
        rows, size = self.layout.slice_rows, self.layout.slice_bytes
        return (rows is not None and self.num_read >= rows) or (
            size is not None and self.num_bytes >= size
        )

    def close(self, source: int, row: int) -> Note:
        """Move the files to their place and note the slice as done.

        Args:
            source: where the next slice begins.
            row: likewise.
        """
        files = {split: shard.deliver(self.number) for split, shard in sorted(self._shards.items())}
        note = Note(
            files,
            dict(self.splits),
            dict(self.left_out),
            self.examples,
            dict(self.licences),
            self.num_read,
            self.num_bytes,
            source,
            row,
        )
        (self.directory / NOTES).mkdir(parents=True, exist_ok=True)
        target = self.directory / NOTES / f"{self.number:06}.json"
        write_whole(target, json.dumps(asdict(note)).encode())
        return note

    def abandon(self) -> None:
        """Take away what is half written."""
        for shard in self._shards.values():
            shard.abandon()


def clear_others(directory: Place, notes: Sequence[Note]) -> None:
    """Delete shards that no note names, which runs of other code may have left."""
    named = {(split, name) for note in notes for split, name in note.files.items()}
    for split in sorted({split for split, _ in named}):
        for path in list((directory / split).glob("*")):
            if (split, path.name) not in named:
                path.unlink(missing_ok=True)


# -------------------------------------------------------------------------------------- one file


class _Shard:
    """A file that is being written: records are held until there are enough for a row group."""

    def __init__(self, directory: Place, split: str, layout: Layout) -> None:
        self.directory, self.folder, self.layout = directory, directory / split, layout
        here = local_path(self.folder)
        if here is not None:
            here.mkdir(parents=True, exist_ok=True)
        # Beside its place where that is local, to be moved and not copied.
        handle, name = tempfile.mkstemp(prefix=".draft-", dir=here)
        self.draft = Path(name)
        self.sink: IO[bytes] = open(handle, "wb")  # noqa: SIM115, closed by deliver or abandon
        self._digest = hashlib.sha256()
        self._held: list[Record] = []
        self._files: dict[str, bytes] = {}  # media of the records held, where those are files
        self._held_bytes = 0

    def add(self, record: Record) -> int:
        """Take a record; returns the bytes of its media."""
        said = json.dumps(record, sort_keys=True, default=_told, ensure_ascii=False)
        self._digest.update(said.encode() + b"\n")
        leaves = _Leaves(self.layout.media, self.layout.from_table)
        self._held.append(leaves.settled(record))
        self._files.update(leaves.files)
        self._held_bytes += leaves.num_bytes
        if self._held_bytes >= _GROUP_BYTES or len(self._held) >= _GROUP_ROWS:
            self._flush()
        return leaves.num_bytes

    def _flush(self) -> None:
        _write_media(self.directory, self._files)  # before rows name them
        if self._held:
            self._write(self._held)
        self._held, self._files, self._held_bytes = [], {}, 0

    def _write(self, records: Sequence[Record]) -> None:
        raise NotImplementedError

    def _finish(self) -> None:
        """Write what comes after the last record."""

    def deliver(self, number: int) -> str:
        """Finish the file, move it to its place, and return its name."""
        self._flush()
        self._finish()
        self.sink.close()
        name = f"{number:05}-{self._digest.hexdigest()[:16]}.{self.layout.ending}"
        target = self.folder / name
        here = local_path(target)
        if here is not None:
            self.draft.chmod(0o644)  # a temporary file is its owner's alone
            self.draft.replace(here)
            return name
        filesystem, key = arrow_path(target)
        with (
            explained(target),
            self.draft.open("rb") as source,
            filesystem.open_output_stream(key, compression=None) as sink,
        ):
            shutil.copyfileobj(source, sink, _COPIED_AT_ONCE)
        self.draft.unlink()
        return name

    def abandon(self) -> None:
        with suppress(OSError):
            self.sink.close()
        self.draft.unlink(missing_ok=True)


class _ParquetShard(_Shard):
    def __init__(self, directory: Place, split: str, layout: Layout) -> None:
        super().__init__(directory, split, layout)
        assert layout.schema is not None
        self.schema = layout.schema
        self.writer = writer_to(self.sink, self.schema)

    def _write(self, records: Sequence[Record]) -> None:
        try:
            unknown = {name for record in records for name in record} - set(self.schema.names)
            if unknown:
                raise pa.ArrowInvalid(f"no column is named {min(unknown)!r}")
            table = pa.Table.from_pylist(list(records), schema=self.schema)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise RecordError(
                f"{self.layout.exporter}: a record does not fit the columns: {error}"
            ) from None
        self.writer.write_table(table, row_group_size=max(1, table.num_rows))

    def _finish(self) -> None:
        self.writer.close()

    def abandon(self) -> None:
        with suppress(pa.ArrowException, OSError, ValueError):
            self.writer.close()
        super().abandon()


class _JsonShard(_Shard):
    """An array with a record a line."""

    def __init__(self, directory: Place, split: str, layout: Layout) -> None:
        super().__init__(directory, split, layout)
        self._is_first = True

    def _write(self, records: Sequence[Record]) -> None:
        for record in records:
            try:
                line = json.dumps(record, ensure_ascii=False, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise RecordError(f"{self.layout.exporter}: a record is no JSON: {error}") from None
            self.sink.write((b"[\n" if self._is_first else b",\n") + line.encode())
            self._is_first = False

    def _finish(self) -> None:
        self.sink.write(b"[]\n" if self._is_first else b"\n]\n")


def _told(leaf: object) -> object:
    """A medium as the digest of a shard sees it: the ids beside it say which it is."""
    if isinstance(leaf, Raw | Frames):
        return [type(leaf).__name__, _told(leaf.media)]
    if isinstance(leaf, Media):
        return [leaf.width, leaf.height, leaf.num_frames, len(leaf.data)]
    return repr(leaf)


# ----------------------------------------------------------------------------------------- media


class _Leaves:
    """The media of one record: what stands in their place, and the files to write."""

    def __init__(self, media: MediaMode, from_table: str) -> None:
        self.media, self.from_table = media, from_table
        self.files: dict[str, bytes] = {}
        self.num_bytes = 0

    def settled(self, value: Any) -> Any:
        """A record, or a part of it, as it is written."""
        if isinstance(value, dict):
            return {key: self.settled(one) for key, one in value.items()}
        if isinstance(value, list):
            return [settled for one in value for settled in self._items(one)]
        if isinstance(value, Raw):
            self.num_bytes += len(value.media.data)
            return value.media.data
        return self._shown(value) if isinstance(value, Media) else value

    def _items(self, value: Any) -> list[Any]:
        """What an item of a list becomes: the frames of a clip are several."""
        if not isinstance(value, Frames):
            return [self.settled(value)]
        frames = decode_clip(value.media.data, value.num)  # [T, H, W, 3]
        height, width = frames.shape[1:3]
        return [self._shown(Media(encode_png(frame), width, height)) for frame in frames]

    def _shown(self, media: Media) -> Mapping[str, Any] | str:
        self.num_bytes += len(media.data)
        if self.media == "inline":
            return {"bytes": media.data, "path": None}
        digest = hashlib.sha256(media.data).hexdigest()
        name = f"{PACKS}/{digest[:2]}/{digest}.{ending(memoryview(media.data))}"
        self.files[name] = media.data
        return f"{self.from_table}{name}"


def _write_media(directory: Place, files: Mapping[str, bytes]) -> None:
    """Write the files that are not there. Their names are their contents', so a file that is there
    is the same.
    """

    def write(item: tuple[str, bytes]) -> None:
        target = directory / item[0]
        here = local_path(target)
        if here is None or not here.exists():
            write_whole(target, item[1])

    if files:
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(write, files.items()))


def sums(notes: Sequence[Note], what: str) -> dict[str, int]:
    """A count of all slices together, in the order of its names."""
    total: Counter[str] = Counter()
    for note in notes:
        total.update(getattr(note, what))
    return dict(sorted(total.items()))


def shard_names(notes: Sequence[Note]) -> Iterator[str]:
    """All files, in order."""
    for note in notes:
        yield from (f"{split}/{name}" for split, name in sorted(note.files.items()))
