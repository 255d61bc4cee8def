import base64
import re

import numpy as np
import pytest

from factory.media.clips import encode_clip
from factory.media.pictures import MediaError, decode, encode_png
from factory.media.transcripts import Exchange, transcript
from schemas.rows import Media, Prompt

PIXELS = np.full((32, 32, 3), 90, np.uint8)


def asked(text: str, media: Media | None = None) -> Prompt:
    return Prompt.of(text, "image_understanding", media=media or Media(encode_png(PIXELS), 32, 32))


def test_what_is_said_is_shown_escaped_and_what_changed_is_marked():
    evil = '<script>alert("1")</script>'
    page = transcript(
        evil,
        [
            Exchange(asked(evil), evil, evil),
            Exchange(asked("what colour ?"), "red", "blue & green"),
            Exchange(asked("where ?"), None, ""),
        ],
    )
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") == 5
    assert '<td class="changed">blue &amp; green' in page
    assert page.count('class="changed"') == 2
    assert page.count("came to no end") == page.count(">empty<") == 1
    assert page.count("data:image/png;base64,") == 3
    assert "http:" not in page
    assert "https:" not in page


def test_a_clip_is_shown_by_its_middle_frame():
    frames = np.stack([np.full((32, 32, 3), value, np.uint8) for value in (0, 128, 255)])
    clip = Media(encode_clip(frames, 3.0), 32, 32, 3, 3.0)
    page = transcript("", [Exchange(asked("?", clip), "", "")])
    shown = re.search(r"base64,([^\"]+)", page)
    assert shown is not None
    assert decode(base64.b64decode(shown[1])).mean() == pytest.approx(128, abs=3)


def test_a_broken_medium_is_an_error():
    with pytest.raises(MediaError):
        transcript("", [Exchange(asked("?", Media(b"no picture", 32, 32)), "", "")])
