"""Where files lie: local directories, and S3 under `s3://bucket/key`. No other file knows.

`place` turns a path of the recipe into a `pathlib.Path` or an `S3Path`, which offers the same.
Arrow's file systems read and write; botocore does the one thing that they cannot: a conditional
put. Which server, region and profile: from the environment (`AWS_ENDPOINT_URL`, `AWS_REGION`,
`AWS_PROFILE`), into which `configure` puts what the recipe says, so that Arrow, botocore, Ray's
workers and MLflow all hear the same. Credentials come from the usual chain of the SDKs on each
machine; they are in no recipe and travel nowhere. Left out: other object stores, and renaming,
which S3 does not have.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal, Self
from urllib.parse import urlsplit

from schemas.places import Place
from schemas.recipe import Storage

SCHEME = "s3://"
#: Where workers keep copies of models; a recipe's `storage.cache` sets it.
CACHE = "PREFERENCE_FACTORY_CACHE"

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_SHARED = (*_ENDPOINTS, "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", CACHE)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_MAX_ATTEMPTS = 8  # of a request: with the SDK's back-off this outlasts a restart of the server
_TIMEOUT_S = 30.0


class StorageError(ValueError):
    """A place that cannot be read or written; the message names it and says what to look at."""


def configure(settings: Storage) -> None:
    """Put what the recipe says about storage into the environment, for this process and for those
    that it starts. What the recipe leaves out stays as the environment has it.
    """
    given = {
        "AWS_ENDPOINT_URL": settings.endpoint,
        "AWS_ENDPOINT_URL_S3": settings.endpoint,
        "AWS_REGION": settings.region,
        "AWS_DEFAULT_REGION": settings.region,
        "AWS_PROFILE": settings.profile,
        CACHE: settings.cache,
    }
    os.environ.update({key: value for key, value in given.items() if value is not None})
    filesystem.cache_clear()


def shared_environment() -> dict[str, str]:
    """What workers on other machines need to know; no credentials."""
    return {key: os.environ[key] for key in _SHARED if key in os.environ}


def place(path: str | Path) -> Place:
    """The place that a path of the recipe names.

    Raises:
        StorageError: an address that is not `s3://bucket/key`; the message never repeats
            credentials that it may carry.
    """
    text = str(path)
    if not text.startswith(SCHEME):
        if "://" in text:
            raise StorageError(
                f"{text.partition('://')[0]}://: only local paths and s3:// are read"
            )
        return Path(text)
    if "@" in text.removeprefix(SCHEME).split("/")[0]:
        raise StorageError("s3://***@: credentials belong in the environment, not in an address")
    bucket, _, key = text.removeprefix(SCHEME).partition("/")
    if _BUCKET.fullmatch(bucket) is None:
        raise StorageError(f"{text}: {bucket!r} is not the name of a bucket")
    parts = tuple(part for part in key.split("/") if part)
    if any(part in (".", "..") for part in parts):
        raise StorageError(f"{text}: '.' and '..' mean nothing in an object store")
    return S3Path(bucket, parts)


def is_remote(path: str | Place) -> bool:
    """Whether a path lies in an object store."""
    return str(path).startswith(SCHEME)


@lru_cache(maxsize=1)
def filesystem() -> Any:
    """Arrow's S3 file system as the environment describes it. It pickles without credentials."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    endpoint = next((os.environ[key] for key in _ENDPOINTS if os.environ.get(key)), None)
    where: dict[str, str] = {}
    if endpoint is not None:
        url = urlsplit(endpoint)
        where = {"scheme": url.scheme, "endpoint_override": url.netloc}
    return S3FileSystem(
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=_MAX_ATTEMPTS),
        connect_timeout=_TIMEOUT_S,
        request_timeout=_TIMEOUT_S,
        **where,
    )


def arrow_path(at: str | Place) -> tuple[Any, str]:
    """A place as Arrow and Ray want it: a file system and a path on it."""
    at = place(at) if isinstance(at, str) else at
    if isinstance(at, S3Path):
        return filesystem(), at.path
    from pyarrow.fs import LocalFileSystem

    return LocalFileSystem(), str(at.absolute())


@contextmanager
def explained(what: object) -> Iterator[None]:
    """Turn what Arrow says about an object store into one sentence with advice.

    Raises:
        FileNotFoundError: as it came.
        StorageError: anything else that went wrong.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError(f"{what}: {_advice(str(error))}") from None


def _advice(text: str) -> str:
    server = next((os.environ[key] for key in _ENDPOINTS if os.environ.get(key)), "AWS")
    if any(word in text for word in ("ACCESS_DENIED", "INVALID_ACCESS_KEY", "SIGNATURE", "403")):
        return (
            f"{server} refuses the credentials; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, in the environment"
        )
    if "NO_SUCH_BUCKET" in text or "bucket does not exist" in text:
        return f"{server} has no such bucket; make it first"
    if "NETWORK_CONNECTION" in text or "curlCode" in text:
        return f"no answer from {server}; is storage.endpoint (or AWS_ENDPOINT_URL) right?"
    return text


@dataclass(frozen=True, order=True)
class S3Path:
    """An object, or what begins with its key: the part of `pathlib.Path` in `schemas.places`.

    Directories are only names: `mkdir` does nothing. An object is there as a whole or not at all.
    """

    bucket: str
    parts: tuple[str, ...]

    @property
    def path(self) -> str:
        return "/".join((self.bucket, *self.parts))

    @property
    def key(self) -> str:
        return "/".join(self.parts)

    def __str__(self) -> str:
        return SCHEME + self.path

    @property
    def name(self) -> str:
        return self.parts[-1] if self.parts else self.bucket

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix

    @property
    def parent(self) -> Self:
        return type(self)(self.bucket, self.parts[:-1])

    def __truediv__(self, key: str) -> Self:
        below = place(f"{SCHEME}{self.bucket}/{key}")
        assert isinstance(below, S3Path)
        return type(self)(self.bucket, (*self.parts, *below.parts))

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
        with explained(self):
            found = filesystem().get_file_info(self.path).type.name
        return None if found == "NotFound" else found.lower()

    def open(self, mode: Literal["rb"]) -> IO[bytes]:
        with explained(self):
            file = filesystem().open_input_file(self.path)
        return io.BufferedReader(file, 1024**2)

    def read_bytes(self) -> bytes:
        with explained(self), filesystem().open_input_stream(self.path, compression=None) as file:
            data: bytes = file.readall()
            return data

    def read_text(self, encoding: str | None = None) -> str:
        return self.read_bytes().decode(encoding or "utf-8")

    def write_bytes(self, data: bytes) -> int:
        with explained(self), filesystem().open_output_stream(self.path, compression=None) as file:
            file.write(data)
        return len(data)

    def write_text(self, data: str, encoding: str | None = None) -> int:
        return self.write_bytes(data.encode(encoding or "utf-8"))

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: a key needs no directory."""

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            with explained(self):
                filesystem().delete_file(self.path)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def glob(self, pattern: str) -> Iterator[Self]:
        """What lies directly here and whose name fits."""
        return (one for one in self._list(is_deep=False) if fnmatchcase(one.name, pattern))

    def rglob(self, pattern: str) -> Iterator[Self]:
        """Everything below whose name fits."""
        return (one for one in self._list(is_deep=True) if fnmatchcase(one.name, pattern))

    def _list(self, *, is_deep: bool) -> Iterator[Self]:
        from pyarrow.fs import FileSelector

        selector = FileSelector(self.path, recursive=is_deep, allow_not_found=True)
        with explained(self):
            found = filesystem().get_file_info(selector)
        for one in found:
            yield type(self)(self.bucket, tuple(one.path.split("/")[1:]))


def write_whole(at: Place, data: bytes) -> None:
    """Write a file, in the place of one that may be there: readers see the old or the new one."""
    if isinstance(at, S3Path):
        at.write_bytes(data)
        return
    target = Path(str(at))
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        draft.write_bytes(data)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def write_new(at: Place, data: bytes) -> None:
    """Write a file that must not be there yet, whole or not at all.

    Of several that try at once, on whatever machines, exactly one succeeds.

    Raises:
        FileExistsError: it is there already, with other bytes or by another writer.
    """
    if isinstance(at, S3Path):
        _put(at, data, {"IfNoneMatch": "*"})
        return
    target = Path(str(at))
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, target)  # fails where the target exists, unlike a rename
    finally:
        draft.unlink(missing_ok=True)


def replace(at: Place, old: bytes, new: bytes) -> None:
    """Write a file in the place of the one that was read as `old`.

    Raises:
        FileExistsError: somebody else has written it in the meantime.
    """
    if isinstance(at, S3Path):
        # The ETag of an object put in one piece is the MD5 of its bytes.
        tag = hashlib.md5(old, usedforsecurity=False).hexdigest()
        _put(at, new, {"IfMatch": f'"{tag}"'})
        return
    target = Path(str(at))
    lock = target.with_name(f".{target.name}.lock")
    write_new(lock, b"")  # two that replace at once: one has the lock, the other is refused
    try:
        if target.read_bytes() != old:
            raise FileExistsError(f"{target}: has changed")
        write_whole(at, new)
    finally:
        lock.unlink(missing_ok=True)


def _put(at: S3Path, data: bytes, condition: dict[str, str]) -> None:
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.session import get_session

    settings = Config(
        retries={"max_attempts": _MAX_ATTEMPTS, "mode": "standard"}, connect_timeout=_TIMEOUT_S
    )
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    endpoint = next((os.environ[key] for key in _ENDPOINTS if os.environ.get(key)), None)
    client = get_session().create_client(
        "s3", config=settings, region_name=region, endpoint_url=endpoint
    )
    try:
        client.put_object(Bucket=at.bucket, Key=at.key, Body=data, **condition)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status not in (409, 412):
            raise StorageError(f"{at}: {_advice(f'{status} {error}')}") from None
        # A put whose answer was lost is sent again and then finds itself.
        if at.read_bytes() != data:
            raise FileExistsError(f"{at}: is there already") from None
    except BotoCoreError as error:
        raise StorageError(f"{at}: {_advice(f'NETWORK_CONNECTION {error}')}") from None
    finally:
        client.close()


def remove(directory: Place) -> None:
    """Delete a directory with all that is in it; nothing where there is none."""
    if isinstance(directory, S3Path):
        with explained(directory):
            if filesystem().get_file_info(directory.path).type.name == "Directory":
                filesystem().delete_dir(directory.path)
        return
    shutil.rmtree(str(directory), ignore_errors=True)


def check_writable(root: Place) -> None:
    """Refuse a place that cannot be written, before anything is made.

    Raises:
        StorageError: says which directory or server refuses.
    """
    if isinstance(root, S3Path):
        probe = root / f".probe-{uuid.uuid4().hex}"
        probe.write_bytes(b"")
        probe.unlink(missing_ok=True)
        return
    at = Path(str(root)).absolute()
    while not at.exists():
        at = at.parent
    if not at.is_dir():
        raise StorageError(f"{root}: {at} is a file, not a directory")
    if not os.access(at, os.W_OK | os.X_OK):
        raise StorageError(f"{root}: {at} is not writable")


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
    if not isinstance(source, S3Path):
        return Path(str(source))
    from pyarrow.fs import FileSelector, LocalFileSystem, copy_files

    with explained(source):
        found = filesystem().get_file_info(source.path)
        files = [found]
        if found.type.name == "Directory":
            below = filesystem().get_file_info(FileSelector(source.path, recursive=True))
            files = [one for one in below if one.type.name == "File"]
        elif found.type.name == "NotFound":
            raise FileNotFoundError(f"{source}: there is nothing")
    listing = sorted((one.path, one.size, one.mtime_ns) for one in files)
    version = hashlib.sha256(json.dumps(listing).encode()).hexdigest()[:16]
    target = _cache() / version / source.name
    if target.exists():
        return target
    _cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_cache()) as directory:
        draft = Path(directory) / "copy" / source.name
        (draft.parent if found.type.name == "File" else draft).mkdir(parents=True)
        with explained(source):
            copy_files(source.path, str(draft), filesystem(), LocalFileSystem())
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
    return str(local_copy(path)) if is_remote(path) else path


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
    if not isinstance(target, S3Path):
        local = Path(str(target))
        local.mkdir(parents=True, exist_ok=True)
        yield local
        return
    from pyarrow.fs import LocalFileSystem, copy_files

    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)
        with explained(target):
            copy_files(directory, target.path, LocalFileSystem(), filesystem())
