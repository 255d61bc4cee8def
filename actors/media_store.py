"""Media too large for a table, kept as objects of their own: `ROOT/objects/ab/ab34…`.

An object is named by the SHA-256 of its bytes, so writing it twice is writing it once, several data
sets share it, and a reader can tell that it is what the table meant. The table holds the name where
it would hold the bytes. Left out: removing objects to which nothing refers any more.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from actors.storage import place, write_whole
from schemas.columns import IMAGE
from schemas.media_columns import map_media, media_arrays
from schemas.places import DATA, OBJECTS, Place

_NAME = re.compile(OBJECTS + r"/([0-9a-f]{2})/(\1[0-9a-f]{62})")


class MediaReferenceError(ValueError):
    """A reference in a table that leads to no object, to another one, or out of the store."""


def _is_away(images: pa.StructArray) -> bool:
    """Whether some of the media are only referred to."""
    away = pc.and_(pc.is_null(images.field("bytes")), pc.is_valid(images.field("path")))
    return bool(pc.any(away).as_py())


@dataclass(frozen=True)
class MediaStore:
    """The objects of one root.

    root: of the recipe.
    max_inline_bytes: media of more bytes are put out.
    """

    root: str
    max_inline_bytes: int

    def put_out(self, table: pa.Table) -> pa.Table:
        """The table with its large media written as objects and referred to."""
        if table.get_total_buffer_size() <= self.max_inline_bytes:  # all of it, media and more
            return table
        has_large = any(map(self._is_large, media_arrays(table)))
        return map_media(table, self._put_out) if has_large else table

    def keep(self, table: pa.Table) -> pa.Table:
        self.put_out(table)
        return table

    def take_over(self, table: pa.Table, other: MediaStore) -> pa.Table:
        return other.bring_in(table)

    def bring_in(self, table: pa.Table) -> pa.Table:
        """The table with the bytes of all its media.

        Raises:
            MediaReferenceError: an object is missing or is not what the table says.
        """
        has_away = any(map(_is_away, media_arrays(table)))
        return map_media(table, self._bring_in) if has_away else table

    def _is_large(self, images: pa.StructArray) -> bool:
        return (
            pc.max(pc.binary_length(images.field("bytes"))).as_py() or 0
        ) > self.max_inline_bytes

    def _put_out(self, images: pa.StructArray) -> pa.StructArray:
        if not self._is_large(images):
            return images
        rows = images.to_pylist()
        for row in rows:
            if row is not None and row["bytes"] and len(row["bytes"]) > self.max_inline_bytes:
                row["path"], row["bytes"] = self._write(row["bytes"]), None
        return pa.array(rows, IMAGE)

    def _bring_in(self, images: pa.StructArray) -> pa.StructArray:
        if not _is_away(images):
            return images
        rows = images.to_pylist()
        for row in rows:
            if row is not None and row["bytes"] is None and row["path"] is not None:
                row["bytes"], row["path"] = self._read(row["path"]), None
        return pa.array(rows, IMAGE)

    def _write(self, data: bytes) -> str:
        name = hashlib.sha256(data).hexdigest()
        path = f"{OBJECTS}/{name[:2]}/{name}"
        target = place(self.root) / path
        if target.is_file():
            return path
        write_whole(target, data)
        return path

    def _read(self, path: str) -> bytes:
        found = _NAME.fullmatch(path)
        if found is None:  # never a path made of a foreign string
            raise MediaReferenceError(f"{path!r:.100} does not name a media object")
        target = place(self.root) / path
        try:
            data = target.read_bytes()
        except FileNotFoundError:
            raise MediaReferenceError(f"{target}: the media object is missing") from None
        if hashlib.sha256(data).hexdigest() != found[2]:
            raise MediaReferenceError(f"{target}: the bytes are not those of its name")
        return data


def media_store(directory: Place, max_inline_bytes: int = 0) -> MediaStore:
    """The objects to which a data set's rows refer: those of the root in whose data folder it lies,
    or its own.
    """
    at = directory
    while at.name and at.name != DATA and at.parent != at:
        at = at.parent
    root = at.parent if at.name == DATA else directory
    return MediaStore(str(root), max_inline_bytes)


def without_bytes(table: pa.Table) -> pa.Table:
    """To come."""
    return table
