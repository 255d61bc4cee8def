"""The samples of WebDataset tars as rows.

Members that follow each other and have one name up to its first dot are a sample. Nothing is
unpacked to a disk and nothing is unpickled.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from factory.labels.streams import BrokenRow, Row
from schemas.places import Place

#: Members of a tar of more bytes are refused before they are read.
MAX_MEMBER = 1024**3
#: What the members of a sample are called that hold a picture or a clip.
_MEDIA = ("png", "jpg", "jpeg", "webp", "mp4")
_TEXT = ("txt", "text", "caption", "cls")

_Sample = dict[str, Any]


def samples(path: Place) -> Iterator[Row]:
    """The samples of a tar. What comes after a name's first dot is the column; `media` is the first
    picture or clip, and `__key__` the name.

    Raises:
        tarfile.TarError, OSError: the file cannot be read, or is torn.
    """
    with path.open("rb") as source, tarfile.open(fileobj=source, mode="r|") as members:
        sample: _Sample | BrokenRow = {}
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
    sample: _Sample, ending: str, members: tarfile.TarFile, member: tarfile.TarInfo
) -> _Sample | BrokenRow:
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
