"""Clearing a root: what is left over, what still counts, and what is too young to tell.

    list all files -> read which media rows refer to, until no new file comes up -> clear the rest

A run writes media before the rows that refer to them, and joins parts before it clears them away.
So media are listed before rows are read, and rows are read again where files came up meanwhile.
What no row refers to yet is young: nothing is touched before its age says that no run is at work
on it, and the age is looked at once more before a file goes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import pyarrow as pa
from pyarrow.fs import FileSelector, FileType

from actors.media_pack import whereabouts
from actors.storage import arrow_path, explained, place
from jobs.datasets.at_hand import DRAWN
from jobs.datasets.files import parquet
from jobs.rounds.workspace import InputError
from schemas import manifest
from schemas.manifest import Manifest
from schemas.places import OBJECTS, PACKS, Place

Kind = Literal["media", "parts", "inputs", "drafts"]
_TOLD: dict[Kind, str] = {
    "media": "packs and objects of media to which no row refers",
    "parts": "Parquet files that the manifest beside them does not name",
    "inputs": "inputs of runs that are over",
    "drafts": "files that were not written to their end",
}

_MEDIA = re.compile(rf"({PACKS}/[0-9a-f]{{2}}/[0-9a-f]{{64}}\.tar)|({OBJECTS}/../[0-9a-f]{{64}})")
_DRAFT = re.compile(rf"({PACKS}|{OBJECTS})/../\.[0-9a-f]{{64}}(\.tar)?\.[0-9a-f]{{32}}")
_INPUT = "_prompts-"
_ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class File:
    """A file of a root: its path there, its size in bytes, and when it was written."""

    path: str
    num_bytes: int
    written: datetime | None


@dataclass(frozen=True)
class Leftover:
    """A file that nothing needs."""

    kind: Kind
    file: File


def clean(root: str, older_than_h: float, *, dry_run: bool = False) -> None:
    """Tell what is left over in a root, and clear it away.

    Args:
        root: of a recipe.
        older_than_h: hours; what is younger stays.
        dry_run: only tell.

    Raises:
        InputError: there is no such root.
        SchemaError: rows of a newer factory, which may refer to media in a way unknown here.
    """
    if not place(root).is_dir():
        raise InputError(f"--root: {root}: no such directory")
    if older_than_h < 0:
        raise InputError(f"--older-than: {older_than_h:g} hours are fewer than none")
    before = datetime.now(UTC) - timedelta(hours=older_than_h)
    left = leftovers(place(root), before)
    for kind, what in _TOLD.items():
        files = [one.file for one in left if one.kind == kind]
        megabytes = sum(file.num_bytes for file in files) / 1e6
        print(f"{len(files)} {what}: {megabytes:.1f} MB", flush=True)
    if dry_run:
        print("nothing was cleared (--dry-run)", flush=True)
        return
    print(f"{_clear_all(place(root), left, before)} files cleared", flush=True)


def leftovers(root: Place, before: datetime) -> list[Leftover]:
    """What nothing needs, of what was written before some time.

    Raises:
        SchemaError: rows of a newer factory.
    """
    listed = _files(root)
    folders = {file.path.rpartition("/")[0] for file in listed if file.path.endswith(".parquet")}
    made = {folder: manifest.read(root / folder) for folder in sorted(folders)}
    left = [
        Leftover(kind, file)
        for file in listed
        if (kind := _kind_of(file.path, made)) is not None and _is_older(file, before)
    ]
    cleared = {one.file.path for one in left}
    referred: set[str] = set()
    looked_at: set[str] = set()
    files = listed
    while new := {file.path for file in files if file.path.endswith(".parquet")} - looked_at:
        for path in new - cleared:
            referred.update(_referred(root / path))
        looked_at |= new
        files = _files(root)
    media = [
        Leftover("media", file)
        for file in listed
        if _MEDIA.fullmatch(file.path) and file.path not in referred and _is_older(file, before)
    ]
    return left + media


def _kind_of(path: str, made_in: Mapping[str, Manifest | None]) -> Kind | None:
    """What kind of leftover a file is that is no medium, by the manifests of the folders; None of
    one that is needed.
    """
    if _DRAFT.fullmatch(path):
        return "drafts"
    folder, _, name = path.rpartition("/")
    if not name.endswith(".parquet"):
        return None
    made = made_in[folder]
    if made is None:  # not complete: all of it may be gone on with
        return None
    if name.startswith(f"{DRAWN}-"):  # of a retry that was killed
        return "parts"
    if name.startswith("_"):
        return "inputs" if name.startswith(_INPUT) else None
    return "parts" if made.files is not None and name not in made.files else None


def _referred(path: Place) -> Iterator[str]:
    """The files of a root in which the media of a Parquet file's rows lie."""
    try:
        with path.open("rb") as source:
            file = parquet(source, path)
            columns = [file.schema.column(at).path for at in range(len(file.schema.names))]
            paths = [one for one in columns if one.endswith("image.path")]
            if not paths:
                return
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=paths):
                for reference in _strings(batch.columns):
                    where = whereabouts(reference)
                    if where is not None:
                        yield where.file
    except (pa.ArrowInvalid, FileNotFoundError):  # torn: without rows; or joined to another one
        return


def _strings(arrays: Iterable[pa.Array]) -> Iterator[str]:
    """The strings in arrays, however deep."""
    for array in arrays:
        if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
            yield from array.drop_null().unique().to_pylist()
        elif pa.types.is_struct(array.type):
            yield from _strings(array.flatten())
        elif pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
            yield from _strings([array.flatten()])


def _files(root: Place) -> list[File]:
    filesystem, top = arrow_path(root)
    with explained(root):
        found = filesystem.get_file_info(FileSelector(top, recursive=True, allow_not_found=True))
    return [
        File(one.path.removeprefix(top).lstrip("/"), one.size, one.mtime)
        for one in found
        if one.type == FileType.File
    ]


def _is_older(file: File, before: datetime) -> bool:
    return file.written is not None and file.written < before


def _clear_all(root: Place, left: Sequence[Leftover], before: datetime) -> int:
    """Delete leftovers, media last; the number of those that went."""
    num = 0
    kept: set[str] = set()
    for one in left:
        if one.file.path in kept:
            continue
        if _clear(root, one, before):
            num += 1
        elif one.kind == "parts":  # in use again, and with it what it refers to
            kept.update(_referred(root / one.file.path))
    return num


def _clear(root: Place, leftover: Leftover, before: datetime) -> bool:
    """Delete a file, unless somebody has written or named it since it was listed."""
    path = leftover.file.path
    filesystem, name = arrow_path(root / path)
    with explained(root / path):
        info = filesystem.get_file_info(name)
    if info.type != FileType.File or not _is_older(File(path, info.size, info.mtime), before):
        return False
    if leftover.kind in ("parts", "inputs"):
        folder = path.rpartition("/")[0]
        if _kind_of(path, {folder: manifest.read(root / folder)}) != leftover.kind:
            return False
    (root / path).unlink(missing_ok=True)
    return True
