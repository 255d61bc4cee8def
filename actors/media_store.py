"""Media too large for a table: stored once, in packs (`media_pack`), and referred to by the table.

    keep             the table with references and bytes: for who is next, and needs both
    without_bytes    the table with references alone: to be written
    put_out          both at once
    fetching         a row whose media are read when somebody looks at them
    bring_in         the table with bytes again, read by range
    stream_in        the same of a table of any size, a few rows at a time
    take_over        the packs of another root, linked or copied, so that a root is whole by itself

A reference says the SHA-256 of what it refers to, so a reader can tell that it is what the table
meant. Objects of one medium each (`ROOT/objects/ab/ab34…`), which older roots have, are read too.
Left out: removing packs to which nothing refers any more (`jobs.tools.clean`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.fs import FileInfo, FileSelector, FileType

from actors.media_pack import Whereabouts, packs, whereabouts
from actors.storage import arrow_path, explained, link_or_copy, place, write_whole
from schemas.columns import IMAGE
from schemas.media_columns import map_media, media_arrays
from schemas.places import DATA, OBJECTS, PACKS, Place
from schemas.rows import Group, Media

#: Media nearer to each other than this are read at once: a request takes as long as these bytes.
_GAP = 64 * 1024
_THREADS = 8
#: Of media that are held at a time where a table is streamed in, unless one row has more.
_BYTES_AT_ONCE = 64 * 1024**2
#: Of a medium whose reference does not say how large it is.
_USUAL_BYTES = 4 * 1024**2


class MediaReferenceError(ValueError):
    """A reference in a table that leads to no medium, to another one, or out of the store."""


def without_bytes(table: pa.Table) -> pa.Table:
    """The table without the bytes of media to which it refers."""
    has_both = any(_is_referred(images) for images in media_arrays(table))
    return map_media(table, _drop_bytes) if has_both else table


@dataclass(frozen=True)
class MediaStore:
    """The media of one root.

    root: of the recipe.
    max_inline_bytes: media of more bytes are put out.
    """

    root: str
    max_inline_bytes: int

    def put_out(self, table: pa.Table) -> pa.Table:
        """The table with its large media written to a pack and only referred to."""
        return without_bytes(self.keep(table))

    def keep(self, table: pa.Table) -> pa.Table:
        """The table with its large media written to a pack and referred to, their bytes beside the
        references. Equal media are written once, and those that have a reference are not.
        """
        if table.get_total_buffer_size() <= self.max_inline_bytes:  # all of it, media and more
            return table
        if not any(map(self._is_large, media_arrays(table))):
            return table
        media: dict[str, memoryview] = {}
        digests: list[list[str | None]] = []

        def look(images: pa.StructArray) -> pa.StructArray:
            digests.append(self._add(images, media))
            return images

        map_media(table, look)
        references = self._write(media)
        of_images = iter(digests)
        return map_media(table, lambda images: _with_paths(images, next(of_images), references))

    def bring_in(self, table: pa.Table, *, with_references: bool = False) -> pa.Table:
        """The table with the bytes of all its media, and without references.

        Args:
            table: of any of the schemas.
            with_references: leave them beside the bytes, for rows that are written to this root
                again: their media then are not.

        Raises:
            MediaReferenceError: a medium is missing or is not what the table says.
        """
        away = {path for images in media_arrays(table) for path in _away(images)}
        is_clean = with_references or not any(map(_is_referred, media_arrays(table)))
        if not away and is_clean:
            return table
        data = self._read(away)
        return map_media(table, lambda images: _filled(images, data, with_references))

    def stream_in(self, table: pa.Table, *, with_references: bool = False) -> Iterator[pa.Table]:
        """The table as by `bring_in`, in as many tables as it takes: rows without their pixels are
        small, and what is read of them at once is not a thing to hold with all its media.
        """
        if table.num_rows > 1 and _num_bytes_away(table) > _BYTES_AT_ONCE:
            half = table.num_rows // 2
            for few in (table.slice(0, half), table.slice(half)):
                yield from self.stream_in(few, with_references=with_references)
        else:
            yield self.bring_in(table, with_references=with_references)

    def fetching(self, group: Group) -> Group:
        """The group, whose media are each read when somebody asks for its bytes."""
        prompt = group.prompt
        parts = tuple(replace(part, media=self._fetching(part.media)) for part in prompt.parts)
        return replace(
            group,
            prompt=replace(prompt, media=self._fetching(prompt.media), parts=parts),
            candidates=tuple(
                replace(candidate, media=self._fetching(candidate.media))
                for candidate in group.candidates
            ),
        )

    def _fetching(self, media: Media | None) -> Media | None:
        if media is None or media.stored is not None or media.path is None:
            return media
        fields = {name: value for name, value in vars(media).items() if name != "store"}
        return FetchedMedia(**fields, store=self)

    def files(self) -> frozenset[str]:
        """The packs and objects that are there, as references name them."""
        filesystem, top = arrow_path(place(self.root))
        listed: list[FileInfo] = []
        for folder in (PACKS, OBJECTS):
            at = f"{top}/{folder}"
            with explained(place(self.root)):
                listed += filesystem.get_file_info(
                    FileSelector(at, recursive=True, allow_not_found=True)
                )
        return frozenset(
            one.path.removeprefix(top).lstrip("/") for one in listed if one.type == FileType.File
        )

    def read(self, reference: str) -> bytes:
        """One medium.

        Raises:
            MediaReferenceError: it is missing or is not what the reference says.
        """
        return bytes(self._read([reference])[reference])

    def take_over(self, table: pa.Table, source: MediaStore) -> pa.Table:
        """The table, whose references lead into another root, once they lead to the same in this
        one: packs are linked, or copied where storage cannot link. Drivers may race, and what is
        there already stays.

        Raises:
            MediaReferenceError: a pack is missing, or a reference is none.
        """
        if place(source.root).absolute() == place(self.root).absolute():
            return table
        paths = {
            path
            for images in media_arrays(table)
            for path in images.field("path").drop_null().to_pylist()
        }
        # A path beside bytes may be anybody's, and is only a name.
        away = {path for images in media_arrays(table) for path in _away(images)}
        files = {_whereabouts(path).file for path in paths if path in away or whereabouts(path)}
        for file in sorted(files):
            target = place(self.root) / file
            try:
                link_or_copy(place(source.root) / file, target)
            except FileNotFoundError:
                raise _missing(place(source.root) / file) from None
        return table

    def _is_large(self, images: pa.StructArray) -> bool:
        lengths = pc.binary_length(images.field("bytes"))
        return (pc.max(lengths).as_py() or 0) > self.max_inline_bytes

    def _add(self, images: pa.StructArray, media: dict[str, memoryview]) -> list[str | None]:
        """The digest of each medium that is to be written; those that are new are added."""
        data = images.field("bytes")
        paths = images.field("path").to_pylist()
        digests: list[str | None] = [None] * len(images)
        for row, length in enumerate(pc.binary_length(data).to_pylist()):
            is_large = length is not None and length > self.max_inline_bytes
            if is_large and not _refers(paths[row]):
                view = memoryview(data[row].as_buffer())
                digests[row] = digest = hashlib.sha256(view).hexdigest()
                media.setdefault(digest, view)
        return digests

    def _write(self, media: Mapping[str, memoryview]) -> dict[str, str]:
        references: dict[str, str] = {}
        for pack in packs(media):
            # Also where it is there: one that nothing refers to might just be cleared away.
            write_whole(place(self.root) / pack.file, b"".join(pack.pieces))
            references.update(pack.references)
        return references

    def _read(self, references: Iterable[str]) -> dict[str, memoryview]:
        """Media by their references: a few ranges of each file."""
        by_file: dict[str, dict[str, Whereabouts]] = {}
        for reference in references:
            where = _whereabouts(reference)
            by_file.setdefault(where.file, {})[reference] = where
        media: dict[str, memoryview] = {}
        if not by_file:
            return media
        with ThreadPoolExecutor(min(_THREADS, len(by_file))) as pool:
            for found in pool.map(self._read_file, by_file.values()):
                media.update(found)
        return media

    def _read_file(self, wanted: Mapping[str, Whereabouts]) -> dict[str, memoryview]:
        """Media that lie in one file, by their references."""
        target = place(self.root) / next(iter(wanted.values())).file
        filesystem, path = arrow_path(target)
        media: dict[str, memoryview] = {}
        try:
            with explained(target), filesystem.open_input_file(path) as file:
                size = file.size()
                for few in _neighbours(wanted, size):
                    start, end = few[0].start, max(one.end for one in few)
                    file.seek(start)
                    data = memoryview(file.read_buffer(end - start))
                    for one in few:
                        media[one.reference] = data[one.start - start : one.end - start]
        except FileNotFoundError:
            raise _missing(target) from None
        for reference, where in wanted.items():
            if hashlib.sha256(media[reference]).hexdigest() != where.digest:
                raise MediaReferenceError(f"{target}: the bytes are not those of {reference!r}")
        return media


@dataclass(frozen=True)
class FetchedMedia(Media):
    """A medium that lies outside its row and is read on demand; as a row it stays a reference."""

    store: MediaStore | None = field(default=None, repr=False, compare=False)

    @cached_property
    def _fetched(self) -> bytes:
        assert self.store is not None and self.path is not None  # noqa: PT018
        return self.store.read(self.path)

    @property
    def data(self) -> bytes:
        return self._fetched


@dataclass(frozen=True, order=True)
class _Range:
    start: int
    end: int
    reference: str


def _neighbours(wanted: Mapping[str, Whereabouts], size: int) -> Iterator[list[_Range]]:
    """Ranges of a file of `size` bytes in order, those together that are read at once."""
    ranges = sorted(
        _Range(min(one.offset, size), min(one.offset + (one.length or size), size), reference)
        for reference, one in wanted.items()
    )
    few: list[_Range] = []
    for one in ranges:
        if few and one.start - few[-1].end > _GAP:
            yield few
            few = []
        few.append(one)
    yield few


def _missing(target: Place) -> MediaReferenceError:
    return MediaReferenceError(f"{target}: the media that a table refers to are missing")


def _whereabouts(reference: str) -> Whereabouts:
    where = whereabouts(reference)
    if where is None:  # never a path made of a foreign string
        raise MediaReferenceError(f"{reference!r:.100} does not name a media object")
    return where


def _refers(path: str | None) -> bool:
    return path is not None and whereabouts(path) is not None


def _num_bytes_away(table: pa.Table) -> int:
    """Of the media that are only referred to, as far as the references say."""
    paths = [path for images in media_arrays(table) for path in _away(images)]
    return sum(_whereabouts(path).length or _USUAL_BYTES for path in paths)


def _away(images: pa.StructArray) -> list[str]:
    """The references of media that are only referred to."""
    is_away = pc.and_(pc.is_null(images.field("bytes")), pc.is_valid(images.field("path")))
    paths: list[str] = images.field("path").filter(is_away).to_pylist()
    return paths


def _is_referred(images: pa.StructArray) -> bool:
    """Whether some of the media are there and referred to as well."""
    has_both = pc.and_(pc.is_valid(images.field("bytes")), pc.is_valid(images.field("path")))
    return any(map(_refers, images.field("path").filter(has_both).to_pylist()))


def _drop_bytes(images: pa.StructArray) -> pa.StructArray:
    is_referred = pa.array(map(_refers, images.field("path").to_pylist()), pa.bool_())
    data = pc.if_else(is_referred, pa.scalar(None, pa.binary()), images.field("bytes"))
    return _images(images, data, images.field("path"))


def _with_paths(
    images: pa.StructArray, digests: Sequence[str | None], references: Mapping[str, str]
) -> pa.StructArray:
    paths = [
        path if digest is None else references[digest]
        for path, digest in zip(images.field("path").to_pylist(), digests, strict=True)
    ]
    return _images(images, images.field("bytes"), pa.array(paths, pa.string()))


def _filled(
    images: pa.StructArray, media: Mapping[str, memoryview], with_references: bool
) -> pa.StructArray:
    inline = images.field("bytes")
    paths = images.field("path").to_pylist()
    data: list[memoryview | None] = []
    for row, is_null in enumerate(inline.is_null().to_pylist()):
        path = paths[row]
        if not is_null:
            data.append(memoryview(inline[row].as_buffer()))
        else:
            data.append(None if path is None else media[path])
        if not with_references and (is_null or _refers(path)):
            paths[row] = None
    brought = pa.array(data, pa.binary())
    if isinstance(brought, pa.ChunkedArray):  # what an array of bytes cannot hold
        raise MediaReferenceError(
            f"{len(data)} media of more than 2 GiB together: read fewer rows at a time"
        )
    return _images(images, brought, pa.array(paths, pa.string()))


def _images(like: pa.StructArray, data: pa.Array, paths: pa.Array) -> pa.StructArray:
    mask = like.is_null() if like.null_count else None
    return pa.StructArray.from_arrays([data, paths], fields=list(IMAGE), mask=mask)


def media_store(directory: Place, max_inline_bytes: int = 0) -> MediaStore:
    """The media to which a data set's rows refer: those of the root in whose data folder it lies,
    or its own.
    """
    at = directory
    while at.name and at.name != DATA and at.parent != at:
        at = at.parent
    root = at.parent if at.name == DATA else directory
    return MediaStore(str(root), max_inline_bytes)
