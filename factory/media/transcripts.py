"""What a model answered before and now, for people to look at: one HTML page without a single
outside resource. Everything that comes from data is escaped, and the page's policy lets a browser
load nothing but the pictures in it. Clips are shown by their middle frame.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from factory.media.clips import decode_clip, decode_still
from factory.media.grids import thumbnail
from factory.media.pictures import encode_png
from factory.prompt_parts import in_words
from schemas.rows import Media, Prompt

_PICTURE_SIZE = 192  # pixels
_HEAD = """<!doctype html>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5em; color: #262a30 }
table { border-collapse: collapse }
th, td { text-align: left; vertical-align: top; padding: .5em 1em; border-bottom: 1px solid #ddd }
td { max-width: 32em; overflow-wrap: anywhere; white-space: pre-wrap }
img { min-width: 96px; image-rendering: pixelated }
.changed { font-weight: 600 }
.none { color: #8a1f11; font-style: italic }
</style>
"""


@dataclass(frozen=True)
class Exchange:
    """A question, and what was answered by whom; None is an answer that came to no end.

    before: by the reference.
    now: by the policy.
    """

    question: Prompt
    before: str | None
    now: str | None


def transcript(title: str, exchanges: Sequence[Exchange]) -> str:
    """The page: a row for each question, with the answer of the reference and that of now.

    Raises:
        MediaError: a question's medium cannot be read.
    """
    rows = "".join(map(_row, exchanges))
    heads = "".join(f"<th>{one}" for one in ("", "question", "reference", "now"))
    head = escape(title)
    return f"{_HEAD}<title>{head}</title>\n<h1>{head}</h1>\n<table>\n<tr>{heads}\n{rows}</table>\n"


def _row(one: Exchange) -> str:
    encoded = (
        base64.b64encode(_picture(media)).decode() for media in one.question.media_of("question")
    )
    shown = "".join(f'<img alt="" src="data:image/png;base64,{picture}">' for picture in encoded)
    mark = ' class="changed"' if one.now != one.before else ""
    question = escape(in_words(one.question))
    return f"<tr><td>{shown}<td>{question}<td>{_said(one.before)}<td{mark}>{_said(one.now)}\n"


def _said(answer: str | None) -> str:
    if answer is None:
        return '<span class="none">came to no end</span>'
    return escape(answer) or '<span class="none">empty</span>'


def _picture(media: Media) -> bytes:
    """What was asked about as a small PNG."""
    if media.num_frames > 1:
        pixels = decode_clip(media.data, 3)[1]
    else:
        pixels = decode_still(media.data)
    return thumbnail(encode_png(pixels), _PICTURE_SIZE)
