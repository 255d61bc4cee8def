"""What a page can show of media, by its first bytes."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from factory.media.clips import encode_clip
from jobs.pages import pictures
from jobs.pages.pictures import show
from schemas.rows import Media


def encoded(form: str, size: tuple[int, int] = (40, 20)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_small_picture_is_shown_as_it_is(form):
    data = encoded(form)
    found = show(Media(data, 40, 20))
    head, _, body = found.uri.partition(",")
    assert head == f"data:image/{form.lower()};base64"
    assert base64.b64decode(body) == data
    assert (found.is_video, found.width, found.height) == (False, 40, 20)


def test_a_large_picture_is_shown_smaller():
    found = show(Media(encoded("JPEG", (800, 400)), 800, 400))
    head, _, body = found.uri.partition(",")
    assert head == "data:image/png;base64"  # of what is shown
    assert Image.open(io.BytesIO(base64.b64decode(body))).size == (384, 192)
    assert (found.width, found.height) == (800, 400)


def test_a_clip_is_shown_where_the_page_can_hold_it(monkeypatch):
    data = encode_clip(np.zeros((8, 20, 40, 3), np.uint8), 4.0)
    monkeypatch.setattr(pictures, "_MAX_CLIP_BYTES", len(data))
    found = show(Media(data, 40, 20, 8, 4.0))
    assert base64.b64decode(found.uri.partition(",")[2]) == data
    assert found.uri.startswith("data:video/mp4;base64,")
    assert (found.is_video, found.width, found.height) == (True, 40, 20)
    assert show(Media(data + b"x", 40, 20, 8, 4.0)) is None


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", b"RIFF0000WAVE", b"0000WEBP0000", encoded("PNG")[:40]]
)
def test_other_and_broken_media_are_not_shown(data):
    assert show(Media(data, 40, 20)) is None
    assert show(None) is None
