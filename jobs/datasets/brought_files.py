"""Files of a brought table, row by row: Parquet, Arrow, CSV, JSON, JSON Lines, WebDataset tars.

    read_parquet, read_arrow, read_csv, read_json, read_lines, read_tar    a file -> its rows
    MediaFolder                                                           media that rows name

Rows are plain dictionaries; what they mean is for others to say (`factory.brought`). Files may lie
here or in an object store; those of labels, which lie here, are read by `foreign`. Nothing is
unpickled, nothing is fetched, and no name in a row leads out of its folder.
"""

from __future__ import annotations

import csv
import errno
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from actors.storage import StorageError, local_path
from factory.labels.streams import BrokenRow, objects
from jobs.datasets.files import file_batches, parquet
from schemas.places import Place

_ROWS_AT_ONCE = 16  # rows hold media
_CHARACTERS_AT_ONCE = 1 << 20
#: Members of a tar of more bytes are refused before they are read.
MAX_MEMBER = 1024**3
#: What the members of a WebDataset sample are called that hold a picture or a clip.
_MEDIA = ("png", "jpg", "jpeg", "webp", "mp4")
_TEXT = ("txt", "text", "caption", "cls")

#: A table with a line of names gives what a line has beyond them under None.
Row = dict[str, Any]


def read_parquet(
    path: Place, columns: Sequence[str] | None = None, row_groups: Sequence[int] | None = None
) -> Iterator[Row | BrokenRow]:
    """The rows of a Parquet file, or of some of its row groups.

    Args:
        path: of the file.
        columns: to read; all of them where None.
        row_groups: their indices; all of them where None.
    """
    with path.open("rb") as source:
        file = parquet(source, path)
        for batch in file_batches(file, _ROWS_AT_ONCE, row_groups, columns):
            yield from _rows_of(batch)


def read_arrow(path: Place, columns: Sequence[str] | None = None) -> Iterator[Row | BrokenRow]:
    """The rows of a file in Arrow's stream format, as Hugging Face's `save_to_disk` writes it."""
    with path.open("rb") as source, pa.ipc.open_stream(source) as stream:
        names = [name for name in columns or stream.schema.names if name in stream.schema.names]
        for batch in stream:
            for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
                yield from _rows_of(batch.select(names).slice(start, _ROWS_AT_ONCE))


def _rows_of(batch: pa.RecordBatch) -> Iterator[Row | BrokenRow]:
    try:
        yield from batch.to_pylist()
        return
    except (ValueError, OverflowError, pa.ArrowException):  # one by one: the others can be read
        pass
    for start in range(batch.num_rows):
        try:
            yield from batch.slice(start, 1).to_pylist()
        except (ValueError, OverflowError, pa.ArrowException) as error:  # as invalid UTF-8
            yield BrokenRow(f"cannot be read: {error}")


def read_csv(path: Place) -> Iterator[Row]:
    """The rows of a table with a line of names; its values are text."""
    with path.open("rb") as file, TextIOWrapper(file, "utf-8-sig", newline="") as lines:
        yield from csv.DictReader(lines, strict=True)


def read_json(path: Place) -> Iterator[Row | BrokenRow]:
    """The objects of a JSON array, or of JSON one after another."""
    with path.open("rb") as file, TextIOWrapper(file, "utf-8-sig") as text:
        for row in objects(iter(lambda: text.read(_CHARACTERS_AT_ONCE), "")):
            yield row if isinstance(row, BrokenRow) else dict(row)


def read_lines(path: Place) -> Iterator[Row | BrokenRow]:
    """The objects of JSON Lines; a file that begins with an array is read as one."""
    with path.open("rb") as file, TextIOWrapper(file, "utf-8-sig", newline="\n") as lines:
        for line in lines:
            text = line.strip()
            if text.startswith("["):
                break
            if text:
                yield _object(text)
        else:
            return
    yield from read_json(path)


def _object(text: str) -> Row | BrokenRow:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        return BrokenRow(f"is not JSON: {error}")
    return row if isinstance(row, dict) else BrokenRow(f"is {type(row).__name__}, not an object")


def read_tar(path: Place) -> Iterator[Row | BrokenRow]:
    """The samples of a WebDataset tar: members that follow each other and have one name up to its
    first dot. What comes after the dot is the column; `media` is the first picture or clip, and
    `__key__` the name.
    """
    with path.open("rb") as source, tarfile.open(fileobj=source, mode="r|") as members:
        sample: Row | BrokenRow = {}
        key = None
        for member in members:
            name = PurePosixPath(member.name)
            if not member.isfile() or name.name.startswith("."):
                continue
            stem, _, ending = name.name.partition(".")
            its_key = str(name.parent / stem)
            if its_key != key:
                if sample:
                    yield sample
                sample, key = {"__key__": its_key}, its_key
            if isinstance(sample, dict):
                sample = _with_member(sample, ending, members, member)
        if sample:
            yield sample


def _with_member(
    sample: Row, ending: str, members: tarfile.TarFile, member: tarfile.TarInfo
) -> Row | BrokenRow:
    if ending in sample:
        return BrokenRow(f"sample {sample['__key__']!r} has two members {ending!r}")
    if member.size > MAX_MEMBER:
        return BrokenRow(f"{member.name!r} has {member.size} bytes, more than {MAX_MEMBER}")
    file = members.extractfile(member)
    assert file is not None  # it is a regular file
    data = file.read()
    kind = ending.rpartition(".")[2].lower()
    try:
        if kind == "json":
            sample[ending] = json.loads(data)
        elif kind in _TEXT:
            sample[ending] = data.decode("utf-8-sig")
        else:
            sample[ending] = data
    except (ValueError, RecursionError) as error:
        return BrokenRow(f"member {member.name!r} cannot be read: {error}")
    if kind in _MEDIA:
        sample.setdefault("media", data)
    return sample


@dataclass(frozen=True)
class MediaFolder:
    """Reads media below one directory. Names come from data: they may not lead out of it.

    root: of the folder, local or not.
    key: what a user gives to have them read elsewhere, for messages.
    """

    root: Place
    key: str

    def __call__(self, name: str) -> bytes:
        """The bytes of a medium.

        Raises:
            OSError: there is none, it lies elsewhere, or it is named by a URL.
        """
        if "://" in name:
            raise OSError(
                errno.EINVAL,
                f"is a URL, and nothing is fetched: download it below {self.root} and name the "
                "file in its place",
            )
        here = local_path(self.root)
        try:
            if here is not None:
                return self._read(here, name)
            if name.startswith("/") or ".." in name.split("/"):
                raise self._outside()
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            raise OSError(
                errno.ENOENT, f"no such file below {self.root} (see {self.key})"
            ) from None
        except (ValueError, StorageError) as error:  # a null byte; a name that S3 has not
            raise OSError(errno.EINVAL, str(error)) from None

    def _read(self, here: Path, name: str) -> bytes:
        root = here.resolve()
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise self._outside()
        return path.read_bytes()

    def _outside(self) -> OSError:
        return OSError(errno.EACCES, f"lies outside of the media directory {self.root}")
