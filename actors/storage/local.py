"""Directories of a file system that is mounted here; shared ones (NFS) included.

A file becomes visible by a rename or a hard link, so it is there as a whole or not at all.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from actors.storage.backend import Backend, StorageError

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class Local(Backend):
    """Paths without a scheme."""

    scheme = ""

    def place(self, path: str) -> Path:
        return Path(path)

    def filesystem(self) -> Any:
        from pyarrow.fs import LocalFileSystem

        return LocalFileSystem()

    def local_path(self, path: str) -> Path:
        return Path(path)

    def write_whole(self, path: str, data: bytes) -> None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            draft.write_bytes(data)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)

    def write_new(self, path: str, data: bytes) -> None:
        target = Path(path)
        draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            with draft.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, target)  # fails where the target exists, unlike a rename
        finally:
            draft.unlink(missing_ok=True)

    def replace(self, path: str, old: bytes, new: bytes) -> None:
        target = Path(path)
        lock = target.with_name(f".{target.name}.lock")
        # Two that replace at once: one has the lock, the other is refused.
        self.write_new(str(lock), b"")
        try:
            if target.read_bytes() != old:
                raise FileExistsError(f"{target}: has changed")
            self.write_whole(path, new)
        finally:
            lock.unlink(missing_ok=True)

    def link_or_copy(self, path: str, target: str) -> None:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target)
        except FileExistsError:
            pass
        except FileNotFoundError:
            raise
        except OSError:  # on another disk, or one without links
            draft = Path(target).with_name(f".{Path(target).name}.{uuid.uuid4().hex}")
            try:
                shutil.copyfile(path, draft)
                draft.replace(target)
            finally:
                draft.unlink(missing_ok=True)
        os.utime(target)

    def remove(self, path: str) -> None:
        shutil.rmtree(path, ignore_errors=True)

    def check_writable(self, path: str) -> None:
        parent = _nearest(path)
        if not parent.is_dir():
            raise StorageError(f"{path}: {parent} is a file, not a directory")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise StorageError(f"{path}: {parent} is not writable")

    def check_exclusive(self, path: str) -> None:
        parent = _nearest(path)
        probe = parent / f".probe-{uuid.uuid4().hex}"
        try:
            self.write_new(str(probe), b"")
            with suppress(FileExistsError):
                self.write_new(str(probe), b"")
                raise StorageError(f"{path}: in {parent} a file can be made twice")
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise StorageError(f"{path}: {parent}: {error.strerror}") from None
            raise StorageError(
                f"{path}: {parent} has no hard links ({error.strerror}), by which one alone of "
                "several drivers completes an artifact; use another file system"
            ) from None
        finally:
            probe.unlink(missing_ok=True)


def _nearest(path: str) -> Path:
    """What is there already of a path that is yet to be made."""
    parent = Path(path).absolute()
    while not parent.exists():
        parent = parent.parent
    return parent
