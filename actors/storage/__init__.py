"""Where files lie: local directories, and object stores under `SCHEME://bucket/key`.

Whoever reads or writes asks this module and never what kind of storage it has. `BACKENDS` holds
the kinds; `backend.py` says what one must offer. Left out: renaming, which object stores do not
have.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actors.storage.backend import Backend, StorageError
from actors.storage.local import Local
from actors.storage.objects import ObjectPath, ObjectStore
from actors.storage.s3 import S3
from schemas.places import Place, why_no_place
from schemas.recipe import Storage
from schemas.recipe_file import without_credentials

#: The kinds of storage, by the scheme of their addresses.
BACKENDS: dict[str, Backend] = {backend.scheme: backend for backend in (Local(), S3())}
#: Where workers keep copies of models; a recipe's `storage.cache` sets it.
CACHE = "PREFERENCE_FACTORY_CACHE"


def configure(settings: Storage) -> None:
    """Put what the recipe says about storage into the environment, for this process and for those
    that it starts. What the recipe leaves out stays as the environment has it.
    """
    if settings.cache is not None:
        os.environ[CACHE] = settings.cache
    for backend in BACKENDS.values():
        backend.configure(settings)


def shared_environment() -> dict[str, str]:
    """What workers on other machines need to know; no credentials."""
    shared = {CACHE: os.environ[CACHE]} if CACHE in os.environ else {}
    for backend in BACKENDS.values():
        shared |= backend.shared_environment()
    return shared


# -------------------------------------------------------------------------------------- places


def is_address(path: str) -> bool:
    """Whether a path of the recipe begins with a scheme: it is neither local nor a hub's name."""
    return "://" in path


def place(path: str | Path) -> Place:
    """The place that a path of the recipe names.

    Raises:
        StorageError: an address of no known kind, or that names no bucket, or what is no place to
            some who read it; the message never repeats credentials that it may carry.
    """
    why = why_no_place(str(path))
    if why:
        raise StorageError(f"{without_credentials(str(path))!r}: {why}")
    backend, rest = _resolved(path)
    return backend.place(rest)


def _resolved(at: str | Place) -> tuple[Backend, str]:
    """The backend of a place, and the path by which it knows it."""
    scheme, mark, rest = str(at).partition("://")
    if not mark:
        return BACKENDS[""], str(at)
    if scheme not in BACKENDS:
        known = " and ".join(["local paths", *(f"{name}://" for name in BACKENDS if name)])
        raise StorageError(f"{scheme}://: only {known} are read")
    return BACKENDS[scheme], rest


def arrow_path(at: str | Place) -> tuple[Any, str]:
    """A place as Arrow and Ray want it: a file system and a path on it."""
    at = place(at) if isinstance(at, str) else at
    backend, path = _resolved(at.absolute())
    return backend.filesystem(), path


def local_path(at: str | Place) -> Path | None:
    """The path of a place on this machine's own file system, where a database can lie and a file
    be appended to; None where it lies elsewhere.
    """
    backend, path = _resolved(at)
    return backend.local_path(path)


@contextmanager
def explained(at: Place) -> Iterator[None]:
    """Turn what Arrow says about a place into one sentence with advice.

    Raises:
        FileNotFoundError: as it came.
        StorageError: anything else that went wrong.
    """
    backend, _ = _resolved(at)
    with backend.explained(at):
        yield


# ------------------------------------------------------------------------------------- writing


def write_whole(at: Place, data: bytes) -> None:
    """Write a file, in the place of one that may be there: readers see the old or the new one."""
    backend, path = _resolved(at)
    backend.write_whole(path, data)


def write_new(at: Place, data: bytes) -> None:
    """Write a file that must not be there yet, whole or not at all.

    Of several that try at once, on whatever machines, exactly one succeeds.

    Raises:
        FileExistsError: it is there already, with other bytes or by another writer.
    """
    backend, path = _resolved(at)
    backend.write_new(path, data)


def replace(at: Place, old: bytes, new: bytes) -> None:
    """Write a file in the place of the one that was read as `old`.

    Raises:
        FileExistsError: somebody else has written it in the meantime.
    """
    backend, path = _resolved(at)
    backend.replace(path, old, new)


def link_or_copy(source: Place, target: Place) -> None:
    """Give a file that is never changed a second path, in the same storage without its bytes
    passing through here. Several may do so at once; its age is then counted from now.

    Raises:
        FileNotFoundError: there is no such file.
    """
    backend, path = _resolved(source)
    other, target_path = _resolved(target)
    if backend is other:
        backend.link_or_copy(path, target_path)
    else:
        other.write_whole(target_path, source.read_bytes())


def remove(directory: Place) -> None:
    """Delete a directory with all that is in it; nothing where there is none."""
    backend, path = _resolved(directory)
    backend.remove(path)


def check_writable(root: Place) -> None:
    """Refuse a place that cannot be written, before anything is made.

    Raises:
        StorageError: says which directory or server refuses.
    """
    backend, path = _resolved(root)
    backend.check_writable(path)


def check_exclusive(root: Place) -> None:
    """Refuse a place in which several drivers could all be told that they alone have written a
    file: before anything is made.

    Raises:
        StorageError: says which server ignores what.
    """
    backend, path = _resolved(root)
    backend.check_exclusive(path)


# ---------------------------------------------------------------- copies on this machine's disk


def local_copy(path: str | Place) -> Path:
    """A local path to the same file or directory, fetched to the cache where it lies elsewhere.

    A copy is known by the names, sizes and times of what was copied, so a model that is written
    again is fetched again. Several workers of a machine may fetch at once: the first to finish
    moves its copy into place.

    Raises:
        FileNotFoundError: there is nothing at the path.
        StorageError: it cannot be read.
    """
    source = place(path) if isinstance(path, str) else path
    here = local_path(source)
    if here is not None:
        return here
    from pyarrow.fs import FileSelector, LocalFileSystem, copy_files

    filesystem, key = arrow_path(source)
    with explained(source):
        info = filesystem.get_file_info(key)
        files = [info]
        if info.type.name == "Directory":
            below = filesystem.get_file_info(FileSelector(key, recursive=True))
            files = [file for file in below if file.type.name == "File"]
        elif info.type.name == "NotFound":
            raise FileNotFoundError(f"{source}: there is nothing")
    listing = sorted((file.path, file.size, file.mtime_ns) for file in files)
    version = hashlib.sha256(json.dumps(listing).encode()).hexdigest()[:16]
    target = _cache() / version / source.name
    if target.exists():
        return target
    _cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_cache()) as directory:
        draft = Path(directory) / "copy" / source.name
        (draft.parent if info.type.name == "File" else draft).mkdir(parents=True)
        with explained(source):
            copy_files(key, str(draft), filesystem, LocalFileSystem())
        try:
            draft.parent.rename(target.parent)
        except OSError:
            if not target.exists():  # else another worker was faster
                raise
    return target


def local_model(path: str) -> str:
    """What `from_pretrained` takes: a local directory or a hub name, as it came, or the local copy
    of a model that lies in an object store.
    """
    return str(local_copy(path)) if is_address(path) else path


def _cache() -> Path:
    given = os.environ.get(CACHE)
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "preference-factory"


@contextmanager
def working_directory(target: Place) -> Iterator[Path]:
    """A local directory to write files to that belong at `target`; uploaded at the end where the
    target lies elsewhere, large files in several parts.
    """
    here = local_path(target)
    if here is not None:
        here.mkdir(parents=True, exist_ok=True)
        yield here
        return
    from pyarrow.fs import LocalFileSystem, copy_files

    filesystem, key = arrow_path(target)
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)
        with explained(target):
            copy_files(directory, key, LocalFileSystem(), filesystem)


__all__ = [
    "BACKENDS",
    "CACHE",
    "Backend",
    "ObjectPath",
    "ObjectStore",
    "StorageError",
    "arrow_path",
    "check_exclusive",
    "check_writable",
    "configure",
    "explained",
    "is_address",
    "link_or_copy",
    "local_copy",
    "local_model",
    "local_path",
    "place",
    "remove",
    "replace",
    "shared_environment",
    "working_directory",
    "write_new",
    "write_whole",
]
