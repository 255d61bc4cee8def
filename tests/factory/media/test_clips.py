"""Clips: what is encoded comes back, frames are chosen by time, damage is never painted over."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from factory.media.clips import (
    decode_clip,
    describe,
    encode_clip,
    read_clip,
    sample_times,
    write_clip,
)
from factory.media.pictures import MediaError, encode_png
from schemas.rows import Media

#: Eight frames, each of one grey level: 0, 30, … 210.
LEVELS = [30 * index for index in range(8)]
FRAMES = np.stack([np.full((32, 48, 3), level, np.uint8) for level in LEVELS])


def levels(frames: np.ndarray) -> list[int]:
    """The grey level of each frame, to the nearest of `LEVELS`."""
    return [30 * round(float(frame.mean()) / 30) for frame in frames]


def uneven_clip(durations: list[int]) -> bytes:
    """A clip whose i-th frame is shown for `durations[i]` tenths of a second."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv444p"
        stream.options = {"bf": "0"}
        stream.codec_context.time_base = Fraction(1, 10)
        starts = np.cumsum([0, *durations[:-1]])
        for pixels, start in zip(FRAMES, starts, strict=False):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = int(start), Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def test_what_is_encoded_comes_back() -> None:
    rng = np.random.default_rng(0)
    smooth = np.repeat(np.repeat(rng.integers(0, 256, (5, 4, 5, 3), np.uint8), 8, 1), 8, 2)
    data = encode_clip(smooth, 8)
    assert data == encode_clip(smooth, 8)
    back = decode_clip(data, 5)
    assert back.shape == smooth.shape
    assert np.abs(back.astype(int) - smooth).mean() < 3


def test_a_clip_of_other_frames_lasts_as_long() -> None:
    like = Media(b"", 32, 32, 8, 4.0)
    frames = np.stack([np.full((16, 32, 3), level, np.uint8) for level in (40, 90, 140, 190)])
    made = write_clip(frames, like)
    assert (made.width, made.height, made.num_frames, made.fps) == (32, 16, 4, 2.0)
    assert made == describe(made.data)
    assert len(read_clip(made, 16)) == 4
    assert read_clip(made, 2).mean(axis=(1, 2, 3)) == pytest.approx([90, 190], abs=4)


def test_a_row_says_what_its_bytes_hold() -> None:
    clip = describe(encode_clip(FRAMES, 12.5))
    assert (clip.width, clip.height, clip.num_frames) == (48, 32, 8)
    assert clip.fps == pytest.approx(12.5)
    picture = describe(encode_png(FRAMES[3]))
    assert (picture.width, picture.height, picture.num_frames) == (48, 32, 1)


@pytest.mark.parametrize(
    ("num", "expected"),
    [
        (8, LEVELS),
        (4, [30, 90, 150, 210]),
        (2, [60, 180]),
        (1, [120]),
        (16, [level for level in LEVELS for _ in range(2)]),
    ],
)
def test_frames_are_spread_evenly(num: int, expected: list[int]) -> None:
    assert levels(decode_clip(encode_clip(FRAMES, 8), num)) == expected


def test_frames_are_chosen_by_time_and_not_by_index() -> None:
    """Three frames; the second is shown for eight tenths of the ten that the clip lasts."""
    data = uneven_clip([1, 8, 1])
    assert levels(decode_clip(data, 5)) == [30, 30, 30, 30, 30 * 2]
    # by index, the second frame would be one of three
    assert levels(decode_clip(data, 10)) == [0, *[30] * 8, 60]


def test_sample_times_against_a_slow_count() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        starts = sorted(rng.choice(200, size=rng.integers(1, 9), replace=False).tolist())
        end = starts[-1] + int(rng.integers(1, 50))
        num = int(rng.integers(1, 12))
        middles = [starts[0] + (end - starts[0]) * (2 * i + 1) / (2 * num) for i in range(num)]
        shown = [max(start for start in starts if start <= middle) for middle in middles]
        assert sample_times(starts, end, num) == shown


def test_an_unreadable_clip_is_an_error_and_never_black_frames() -> None:
    data = encode_clip(FRAMES, 8)
    for broken in (b"", b"not a clip", data[: len(data) // 2], encode_png(FRAMES[0])):
        with pytest.raises(MediaError):
            decode_clip(broken, 4)
    with pytest.raises(MediaError):
        describe(data[: len(data) // 2])


def test_damage_inside_a_clip_is_an_error_or_leaves_the_frames_alone() -> None:
    """Bytes are zeroed at many places; nothing but an error or a like picture may come of it."""
    rng = np.random.default_rng(2)
    noise = rng.integers(0, 256, (8, 32, 48, 3), np.uint8)
    data = encode_clip(noise, 8)
    whole = decode_clip(data, 8)
    refused = 0
    for at in range(1000, len(data) - 2000, len(data) // 40):
        damaged = data[:at] + bytes(64) + data[at + 64 :]
        try:
            read = decode_clip(damaged, 8)
        except MediaError:
            refused += 1
        else:
            assert not (read == 0).all(axis=(1, 2, 3)).any()
            assert read.shape == whole.shape
    assert refused > 10


def test_clips_too_large_to_unpack_are_refused() -> None:
    with pytest.raises(MediaError, match="are more than"):
        decode_clip(encode_clip(FRAMES, 8), 8, max_pixels=1000)


def test_only_frames_are_encoded() -> None:
    for wrong in (FRAMES[0], FRAMES.astype(float), FRAMES[:0]):
        with pytest.raises(MediaError, match="expected uint8"):
            encode_clip(wrong, 8)


def test_the_end_of_a_file_may_not_be_missing(tmp_path: Path) -> None:
    """A download that stopped: the index at the end is gone."""
    data = encode_clip(FRAMES, 8)
    with pytest.raises(MediaError):
        decode_clip(data[:-400], 2)
