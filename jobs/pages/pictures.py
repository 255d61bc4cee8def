"""Media as a page shows them: small pictures and clips, inside the page."""

from __future__ import annotations

import base64
import io

from PIL import Image

from factory.media.grids import thumbnail
from jobs.pages.report import Picture, ShownPart
from schemas.places import Place
from schemas.rows import Media, Prompt

_PICTURE_SIZE = 384  # pixels; larger pictures are shown smaller


_MAX_CLIP_BYTES = 4 * 1024**2


class ReportError(ValueError):
    """An artifact that is there and cannot be read."""


def show(media: Media | None) -> Picture | None:
    """A picture for the page, None where it is of a kind or size that a page cannot show."""
    if media is None:
        return None
    kind = _mime(media.data)
    if kind == "video/mp4":
        is_small = len(media.data) <= _MAX_CLIP_BYTES
        uri = _uri(kind, media.data)
        return Picture(uri, True, media.width, media.height) if is_small else None
    if kind is None:
        return None

    try:
        smaller = thumbnail(media.data, _PICTURE_SIZE)
    except OSError:  # broken media is one of the reasons for which pairs are rejected
        return None
    return Picture(_uri(_mime(smaller) or kind, smaller), False, media.width, media.height)


def show_parts(prompt: Prompt) -> tuple[ShownPart, ...]:
    """What a page shows of a prompt beside its text, in order: the medium that it is about, or all
    parts of one that has several.
    """
    parts = prompt.parts or prompt.in_full[:-1]
    return tuple(ShownPart(part.role, part.text, show(part.media)) for part in parts)


def _size(data: bytes, path: Place) -> tuple[int, int]:

    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            size: tuple[int, int] = picture.size
            return size
    except (OSError, SyntaxError) as error:  # PIL raises SyntaxError for a broken PNG chunk
        raise ReportError(f"{path}: cannot be read as a picture: {error}") from None


def _mime(data: bytes) -> str | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:8] == b"ftyp":
        return "video/mp4"
    return None


def _uri(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"
