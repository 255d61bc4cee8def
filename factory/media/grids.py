"""Pictures for people: a captioned grid, and smaller copies. Bytes in, bytes out.

Small pictures are enlarged by whole pixels, so that a viewer sees what the model drew and not what
a filter made of it. The same input gives the same bytes under one version of Pillow.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from factory.media.clips import decode_still, is_clip
from factory.media.pictures import MediaError, is_plain

_GAP = 8
_INK = (38, 42, 48)
_PAPER = (255, 255, 255)
_EMPTY = (236, 236, 232)
_CROSS = (200, 200, 196)
_FONT_SIZE = 15


def picture_grid(
    rows: Sequence[Sequence[bytes | None]],
    columns: Sequence[str],
    captions: Sequence[str],
    cell: int = 128,
) -> bytes:
    """A PNG with a captioned row for each prompt and a titled column for each label.

    Args:
        rows: encoded pictures, one sequence for each caption, one picture for each column; None,
            and what cannot be read, is drawn as an empty cell.
        columns: titles.
        captions: drawn at the left of the rows, wrapped, cut off where they are too long.
        cell: width and height of a cell in pixels.

    Raises:
        ValueError: the rows do not fit columns and captions.
    """
    if len(rows) != len(captions) or any(len(row) != len(columns) for row in rows):
        raise ValueError("a grid needs a caption for each row and a column for each picture")
    font = ImageFont.load_default(_FONT_SIZE)
    line = _FONT_SIZE + 4
    left, top = 2 * cell + _GAP, line + 2 * _GAP
    width = left + len(columns) * (cell + _GAP) + _GAP
    sheet = Image.new("RGB", (width, top + len(rows) * (cell + _GAP)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, title in enumerate(columns):
        x = left + index * (cell + _GAP)
        fitted = _wrap(draw, font, title, cell, 1)
        draw.text((x, _GAP), fitted[0] if fitted else "", _INK, font)
    for at, (row, caption) in enumerate(zip(rows, captions, strict=True)):
        y = top + at * (cell + _GAP)
        lines = _wrap(draw, font, f"{at + 1}. {caption}", left - 3 * _GAP, cell // line)
        for number, text in enumerate(lines):
            draw.text((_GAP, y + number * line), text, _INK, font)
        for index, data in enumerate(row):
            sheet.paste(_tile(data, cell), (left + index * (cell + _GAP), y))
    return _png(sheet)


def thumbnail(data: bytes, size: int) -> bytes:
    """A picture no larger than `size` on either side. One that is small enough stays as it is where
    any viewer sees it as it was judged: upright, opaque and of 8 bits.

    Raises:
        MediaError: the bytes are no picture that can be read.
    """
    smaller = Image.fromarray(decode_still(data))
    if max(smaller.size) <= size and not is_clip(data) and is_plain(data):
        return data
    smaller.thumbnail((size, size), Image.Resampling.LANCZOS)
    return _png(smaller)


def _tile(data: bytes | None, cell: int) -> Image.Image:
    tile = Image.new("RGB", (cell, cell), _EMPTY)
    picture = _picture(data)
    if picture is None:
        draw = ImageDraw.Draw(tile)
        draw.line((0, 0, cell, cell), _CROSS)
        draw.line((0, cell, cell, 0), _CROSS)
        return tile
    factor = cell / max(picture.size)
    if factor >= 1:
        scale = int(factor)
        picture = picture.resize(
            (picture.width * scale, picture.height * scale), Image.Resampling.NEAREST
        )
    else:
        picture.thumbnail((cell, cell), Image.Resampling.LANCZOS)
    tile.paste(picture, ((cell - picture.width) // 2, (cell - picture.height) // 2))
    return tile


def _picture(data: bytes | None) -> Image.Image | None:
    try:
        return None if data is None else Image.fromarray(decode_still(data))
    except MediaError:
        return None


def _wrap(
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    text: str,
    width: int,
    num_lines: int,
) -> list[str]:
    """`text` in at most `num_lines` lines of at most `width` pixels, with an ellipsis if cut."""
    lines: list[str] = []
    # Words, so control characters and line breaks in a prompt cannot leave their row.
    words = "".join(one if one.isprintable() else " " for one in text).split()
    while words and len(lines) < num_lines:
        fitting = 1
        while (
            fitting < len(words) and draw.textlength(" ".join(words[: fitting + 1]), font) <= width
        ):
            fitting += 1
        lines.append(" ".join(words[:fitting]))
        words = words[fitting:]
    if lines and words:
        lines[-1] += " …"
    return [_cut(draw, font, one, width) for one in lines]


def _cut(
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    text: str,
    width: int,
) -> str:
    """`text` shortened to `width` pixels, with an ellipsis where something is missing."""
    if draw.textlength(text, font) <= width:
        return text
    kept = text.rstrip(" …")
    while kept and draw.textlength(kept + "…", font) > width:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=False, compress_level=6)
    return buffer.getvalue()
