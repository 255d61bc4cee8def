"""How what was drawn becomes bytes: without loss, or by quality, as the recipe says.

What is stored is what judges are shown and what a candidate is known by, so an encoding is part of
what is made. The same pixels give the same bytes. Left out: reading (`pictures`, `clips`).
"""

from __future__ import annotations

import io
from collections.abc import Collection

import numpy as np
from PIL import Image

from factory.media.clips import AV1, Frames, encode_av1, encode_clip
from factory.media.pictures import MAX_PIXELS, MediaError, Pixels, encode_png
from schemas.recipe import CLIP_FORMATS, PICTURE_FORMATS, Encoding
from schemas.rows import UNDERSTANDING, Media, Task


class EncodingError(ValueError):
    """An encoding that does not fit what is drawn, or that this machine cannot write."""


def encode(drawn: Pixels | Frames, fps: float, encoding: Encoding) -> Media:
    """A picture of uint8 RGB pixels [H, W, 3], or a clip of frames [T, H, W, 3].

    Args:
        drawn: what to store.
        fps: frames a second of a clip.
        encoding: of the recipe.

    Raises:
        EncodingError: a format of clips for a picture, or the other way round.
        MediaError: not pixels of that shape, or more than the format has room for.
    """
    height, width = drawn.shape[-3:-1]
    if drawn.ndim == 3:
        return Media(_picture(drawn, encoding), width, height)
    return Media(_clip(drawn, fps, encoding), width, height, len(drawn), fps)


def is_exact(drawn: Pixels | Frames, encoding: Encoding) -> bool:
    """Whether what `encode` makes of it is decoded to the same pixels."""
    height, width = drawn.shape[-3:-1]
    is_kept = drawn.ndim == 3 and encoding.format in (None, "png", "webp-lossless")
    return is_kept and height * width <= MAX_PIXELS


def check_encoding(encoding: Encoding, tasks: Collection[Task], key: str) -> None:
    """Refuse an encoding that does not fit what is asked for, before anything is drawn.

    Args:
        encoding: of the recipe.
        tasks: of the prompts.
        key: of the recipe, under which it stands.

    Raises:
        EncodingError: says which key does not fit which task.
    """
    if encoding.format is None:
        return
    wrong = sorted(task for task in tasks if encoding.format not in _formats(task))
    if wrong:
        known = ", ".join(_formats(wrong[0]))
        advice = f"has one of {known}" if known else "stores no media: leave the section out"
        raise EncodingError(f"{key}.format: {encoding.format}, but {wrong[0]} {advice}")
    if encoding.format == "av1" and not _can_write(AV1):
        raise EncodingError(f"{key}.format: av1, but PyAV has no {AV1} here; h264 is always there")


def _formats(task: Task) -> Collection[str]:
    if task in UNDERSTANDING:
        return ()
    return PICTURE_FORMATS if task == "image_generation" else CLIP_FORMATS


def _can_write(codec: str) -> bool:
    import av

    return codec in av.codecs_available


def _picture(pixels: Pixels, encoding: Encoding) -> bytes:
    kind = encoding.format or "png"
    if kind == "png":
        return encode_png(pixels)
    if kind == "jpeg":  # colour at full resolution, as of clips
        return _saved(pixels, "JPEG", quality=encoding.rate, subsampling=0)
    if kind == "webp":
        return _saved(pixels, "WEBP", quality=encoding.rate, method=4)
    if kind == "webp-lossless":
        return _saved(pixels, "WEBP", lossless=True, method=4)
    raise EncodingError(f"a picture cannot be stored as {kind}, which is for clips")


def _saved(pixels: Pixels, kind: str, **options: int | bool | None) -> bytes:
    buffer = io.BytesIO()
    try:
        Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, kind, **options)
    except (OSError, ValueError) as error:  # WebP and JPEG have a largest side
        size = " × ".join(map(str, pixels.shape[1::-1]))
        raise MediaError(f"{size} pixels cannot be stored as {kind}: {error}") from error
    return buffer.getvalue()


def _clip(frames: Frames, fps: float, encoding: Encoding) -> bytes:
    kind = encoding.format or "h264"
    rate = encoding.rate if encoding.rate is not None else CLIP_FORMATS["h264"]
    if kind == "h264":
        return encode_clip(frames, fps, rate)
    if kind == "av1":
        return encode_av1(frames, fps, rate)
    raise EncodingError(f"a clip cannot be stored as {kind}, which is for pictures")
