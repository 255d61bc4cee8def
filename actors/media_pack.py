"""Packs: many media in one file of a good size, an uncompressed tar that stock tools open.

    media/ab/ab12….tar#0f3c….png@512+10240    a reference: pack, member, offset, length

A pack is named by the SHA-256 of its bytes and a member by that of the medium. Nothing else is in
it, no time and no owner, so the same media in the same order are the same pack, whoever writes it
and however often. A reference says where in the pack its medium lies: it is read without the rest.
Packs are never changed. Left out: reading and writing them, which `media_store` does.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from schemas.places import OBJECTS, PACKS

#: Of media in a pack: enough for few files, and little enough to be held while it is written.
PACK_BYTES = 256 * 1024**2

_REFERENCE = re.compile(
    PACKS + r"/([0-9a-f]{2})/(\1[0-9a-f]{62})\.tar"
    r"#([0-9a-f]{64})\.[a-z0-9]{1,5}@([0-9]{1,15})\+([0-9]{1,15})"
)
#: What referred to a medium before there were packs: an object of its own, named by its hash.
_OBJECT = re.compile(OBJECTS + r"/([0-9a-f]{2})/(\1[0-9a-f]{62})")
_BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True)
class Whereabouts:
    """What a reference says.

    file: of the root, in which the medium lies.
    digest: SHA-256 of the medium.
    offset, length: in bytes; a length of None is all of the file.
    """

    file: str
    digest: str
    offset: int = 0
    length: int | None = None


def whereabouts(reference: str) -> Whereabouts | None:
    """What a reference says; None of a string that is none. Nothing of a foreign string becomes a
    path but what has the form of a digest.
    """
    packed = _REFERENCE.fullmatch(reference)
    if packed is not None:
        start, pack, digest, offset, length = packed.groups()
        return Whereabouts(f"{PACKS}/{start}/{pack}.tar", digest, int(offset), int(length))
    alone = _OBJECT.fullmatch(reference)
    return None if alone is None else Whereabouts(reference, alone[2])


@dataclass(frozen=True)
class Pack:
    """The bytes of a pack, in pieces, and where its media lie in it.

    file: its path in the root.
    references: by the digest of each medium.
    """

    file: str
    pieces: tuple[bytes | memoryview, ...]
    references: Mapping[str, str]


def packs(media: Mapping[str, memoryview]) -> Iterator[Pack]:
    """Packs of media, given by their digests: as few as there can be of `PACK_BYTES` at most, but
    that a larger medium has one of its own. Nothing is copied.
    """
    few: dict[str, memoryview] = {}
    num_bytes = 0
    for digest, data in media.items():
        if few and num_bytes + len(data) > PACK_BYTES:
            yield _pack(few)
            few, num_bytes = {}, 0
        few[digest] = data
        num_bytes += len(data)
    if few:
        yield _pack(few)


def _pack(media: Mapping[str, memoryview]) -> Pack:
    pieces: list[bytes | memoryview] = []
    members: dict[str, str] = {}
    end = 0
    for digest, data in media.items():
        name = f"{digest}.{ending(data)}"
        members[digest] = f"{name}@{end + _BLOCK}+{len(data)}"
        padding = bytes(-len(data) % _BLOCK)
        pieces += (_header(name, len(data)), data, padding)
        end += _BLOCK + len(data) + len(padding)
    pieces.append(bytes(2 * _BLOCK))  # how a tar ends
    whole = hashlib.sha256()
    for piece in pieces:
        whole.update(piece)
    file = f"{PACKS}/{whole.hexdigest()[:2]}/{whole.hexdigest()}.tar"
    references = {digest: f"{file}#{member}" for digest, member in members.items()}
    return Pack(file, tuple(pieces), references)


def _header(name: str, num_bytes: int) -> bytes:
    """One block: the name is short, and GNU's form has room for a size of any length."""
    member = tarfile.TarInfo(name)
    member.size = num_bytes
    return member.tobuf(tarfile.GNU_FORMAT)


def ending(data: memoryview) -> str:
    """The ending of a file's name, for tools that go by it."""
    start = bytes(data[:12])
    if start.startswith(b"\x89PNG"):
        return "png"
    if start.startswith(b"\xff\xd8\xff"):
        return "jpg"
    if start[:4] == b"RIFF" and start[8:] == b"WEBP":
        return "webp"
    return "mp4" if start[4:8] == b"ftyp" else "bin"
