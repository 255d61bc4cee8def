"""Media as a page shows them: small, inside the page, and as they were judged."""

from __future__ import annotations

import base64

from factory.media.clips import describe, is_clip, is_plain, orientation, read_clip, write_clip
from factory.media.grids import thumbnail
from factory.media.kinds import kind_of
from factory.media.orientation import MIRRORED
from factory.media.pictures import MediaError
from jobs.pages.report import Picture, ShownPart
from schemas.places import Place
from schemas.rows import Media, Prompt

_PICTURE_SIZE = 384  # pixels; larger pictures are shown smaller


_MAX_CLIP_BYTES = 4 * 1024**2
#: Frames of a clip that is written anew for the page.
_MAX_FRAMES = 64
_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "MP4": "video/mp4"}


class ReportError(ValueError):
    """An artifact that is there and cannot be read."""


def show(media: Media | None) -> Picture | None:
    """A picture for the page; None where it is too large for one, or broken, as media may be for
    which pairs are rejected.
    """
    if media is None:
        return None
    try:
        # What older code recorded of other media is their size as stored.
        seen = media if is_plain(media.data) else describe(media.data)
        small = _small(seen)
    except MediaError:
        return None
    if small is None:
        return None
    kind = kind_of(small) or "PNG"
    return Picture(_uri(_TYPES[kind], small), kind == "MP4", seen.width, seen.height)


def show_parts(prompt: Prompt) -> tuple[ShownPart, ...]:
    """What a page shows of a prompt beside its text, in order: the medium that it is about, or all
    parts of one that has several.
    """
    parts = prompt.parts or prompt.in_full[:-1]
    return tuple(ShownPart(part.role, part.text, show(part.media)) for part in parts)


def _small(media: Media) -> bytes | None:
    """What stands in the page for a medium; None for a clip that is too large.

    Raises:
        MediaError: it cannot be read.
    """
    if not is_clip(media.data):
        return thumbnail(media.data, _PICTURE_SIZE)
    if len(media.data) > _MAX_CLIP_BYTES:
        return None
    # All browsers turn a clip as its matrix says, and not all mirror it.
    if orientation(media.data) in MIRRORED:
        return write_clip(read_clip(media, _MAX_FRAMES), media).data
    return media.data


def _size(data: bytes, path: Place) -> tuple[int, int]:
    try:
        media = describe(data)
    except MediaError as error:
        raise ReportError(f"{path}: cannot be read as a picture: {error}") from None
    return media.width, media.height


def _uri(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"
