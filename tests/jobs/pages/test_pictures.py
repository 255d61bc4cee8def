"""What a page can show of media, by its first bytes."""

import base64
import io
import struct

import numpy as np
import pytest
from PIL import Image

from factory.media import clips, orientation
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
    assert head == "data:image/jpeg;base64"  # of what is shown
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


CORNER = np.zeros((20, 40, 3), np.uint8)
CORNER[:10, :20] = 220


def body(found) -> bytes:
    return base64.b64decode(found.uri.partition(",")[2])


@pytest.mark.parametrize("number", [6, 7])
def test_a_picture_is_shown_as_it_was_judged_by_any_browser(number):
    """Browsers differ in whose EXIF they follow: what is turned is written anew, upright."""
    exif = Image.Exif()
    exif[0x0112] = number
    buffer = io.BytesIO()
    Image.fromarray(CORNER).save(buffer, "PNG", exif=exif)
    found = show(Media(buffer.getvalue(), 40, 20))  # the size as older code recorded it
    assert (found.width, found.height) == (20, 40)
    with Image.open(io.BytesIO(body(found))) as shown:
        assert shown.getexif().get(0x0112) is None
        assert np.array_equal(np.asarray(shown), orientation.turned(CORNER, number))


def with_matrix(data: bytes, a: int, b: int, c: int, d: int) -> bytes:
    at = data.index(b"tkhd") + 44
    matrix = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    return data[:at] + matrix + data[at + 36 :]


def test_a_turned_clip_is_turned_by_the_browser_and_a_mirrored_one_is_written_anew():
    clip = encode_clip(np.stack([CORNER] * 3), 3.0)
    turned = with_matrix(clip, 0, 1, -1, 0)
    found = show(Media(turned, 40, 20, 3, 3.0))
    assert body(found) == turned
    assert (found.width, found.height) == (20, 40)
    mirrored = show(Media(with_matrix(clip, -1, 0, 0, 1), 40, 20, 3, 3.0))
    assert clips.is_plain(body(mirrored))
    (first, *_) = clips.decode_clip(body(mirrored), 3)
    assert np.abs(first.astype(int) - CORNER[:, ::-1]).mean() < 5
    assert clips.describe(body(mirrored)).num_frames == 3


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", b"RIFF0000WAVE", b"0000WEBP0000", encoded("PNG")[:40]]
)
def test_other_and_broken_media_are_not_shown(data):
    assert show(Media(data, 40, 20)) is None
    assert show(None) is None
