"""What object stores have in common: keys in buckets, reached through an Arrow file system.

Left out: renaming, which object stores do not have.
"""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, ClassVar, Literal, Self

from actors.storage.backend import Backend, StorageError

#: What was copied before this is copied again: its age says since when nobody asked for it.
_FRESH = timedelta(hours=1)


@dataclass(frozen=True)
class ObjectStore(Backend):
    """The part of a backend that needs nothing but its file system."""

    bucket_name: ClassVar[re.Pattern[str]] = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")

    def place(self, path: str) -> ObjectPath:
        bucket, _, key = path.partition("/")
        if "@" in bucket:
            raise StorageError(
                f"{self.address('***@')}: credentials belong in the environment, not in an address"
            )
        if self.bucket_name.fullmatch(bucket) is None:
            raise StorageError(f"{self.address(path)}: {bucket!r} is not the name of a bucket")
        return ObjectPath(self, bucket, ()) / key

    def write_whole(self, path: str, data: bytes) -> None:
        self.place(path).write_bytes(data)

    def link_or_copy(self, path: str, target: str) -> None:
        with self.explained(self.address(path)):
            there = self.filesystem().get_file_info(target)
            if there.mtime is None or there.mtime < datetime.now(UTC) - _FRESH:
                if self.filesystem().get_file_info(path).type.name != "File":
                    raise FileNotFoundError(self.address(path))
                self.filesystem().copy_file(path, target)  # on the server's side

    def remove(self, path: str) -> None:
        with self.explained(self.address(path)):
            if self.filesystem().get_file_info(path).type.name == "Directory":
                self.filesystem().delete_dir(path)

    def check_writable(self, path: str) -> None:
        probe = self.place(path) / f".probe-{uuid.uuid4().hex}"
        probe.write_bytes(b"")
        probe.unlink(missing_ok=True)


@dataclass(frozen=True, order=True)
class ObjectPath:
    """An object, or what begins with its key: the part of `pathlib.Path` in `schemas.places`.

    Directories are only names: `mkdir` does nothing. An object is there as a whole or not at all.
    """

    store: ObjectStore
    bucket: str
    parts: tuple[str, ...]

    @property
    def path(self) -> str:
        """As Arrow takes it."""
        return "/".join((self.bucket, *self.parts))

    @property
    def key(self) -> str:
        return "/".join(self.parts)

    def __str__(self) -> str:
        return self.store.address(self.path)

    @property
    def name(self) -> str:
        return self.parts[-1] if self.parts else self.bucket

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix

    @property
    def parent(self) -> Self:
        return type(self)(self.store, self.bucket, self.parts[:-1])

    def __truediv__(self, key: str) -> Self:
        parts = tuple(part for part in key.split("/") if part)
        if any(part in (".", "..") for part in parts):
            raise StorageError(f"{self}/{key}: '.' and '..' mean nothing in an object store")
        return type(self)(self.store, self.bucket, (*self.parts, *parts))

    def absolute(self) -> Self:
        return self

    def as_uri(self) -> str:
        return str(self)

    def exists(self) -> bool:
        return self._type() is not None

    def is_file(self) -> bool:
        return self._type() == "file"

    def is_dir(self) -> bool:
        return self._type() == "directory"

    def _type(self) -> str | None:
        with self.store.explained(self):
            type_ = self.store.filesystem().get_file_info(self.path).type.name
        return None if type_ == "NotFound" else type_.lower()

    def open(self, mode: Literal["rb"]) -> IO[bytes]:
        with self.store.explained(self):
            file = self.store.filesystem().open_input_file(self.path)
        return io.BufferedReader(file, 1024**2)

    def read_bytes(self) -> bytes:
        with (
            self.store.explained(self),
            self.store.filesystem().open_input_stream(self.path, compression=None) as file,
        ):
            data: bytes = file.readall()
            return data

    def read_text(self, encoding: str | None = None) -> str:
        return self.read_bytes().decode(encoding or "utf-8")

    def write_bytes(self, data: bytes) -> int:
        with (
            self.store.explained(self),
            self.store.filesystem().open_output_stream(self.path, compression=None) as file,
        ):
            file.write(data)
        return len(data)

    def write_text(self, data: str, encoding: str | None = None) -> int:
        return self.write_bytes(data.encode(encoding or "utf-8"))

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: a key needs no directory."""

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            with self.store.explained(self):
                self.store.filesystem().delete_file(self.path)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def glob(self, pattern: str) -> Iterator[Self]:
        """What lies directly here and whose name fits."""
        return (path for path in self._list(is_deep=False) if fnmatchcase(path.name, pattern))

    def rglob(self, pattern: str) -> Iterator[Self]:
        """Everything below whose name fits."""
        return (path for path in self._list(is_deep=True) if fnmatchcase(path.name, pattern))

    def _list(self, *, is_deep: bool) -> Iterator[Self]:
        from pyarrow.fs import FileSelector

        selector = FileSelector(self.path, recursive=is_deep, allow_not_found=True)
        with self.store.explained(self):
            listed = self.store.filesystem().get_file_info(selector)
        for info in listed:
            yield type(self)(self.store, self.bucket, tuple(info.path.split("/")[1:]))
