"""Clips as MP4 bytes and as frames: encoding, and sampling frames evenly over time.

This is the one place where the bytes of a clip are opened, and the door for bytes that may be a
picture or a clip (`describe`, `decode_still`). Frames are upright, as the display matrix says, and
opaque. They are chosen by their time stamps, and by their index only where a published judge was
trained so (`decode_chosen`): a clip of uneven frame rate, or
one whose last second is a still, is seen as a viewer would see it. A clip that cannot be read to
its chosen frames is an error, and no frame is ever made up. Left out: sound, and pixels that are
not square, which stay as they are stored.
"""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from factory.media import pictures
from factory.media.kinds import kind_of, refusal
from factory.media.orientation import UPRIGHT, has_matrix, of_matrix, shown_size, turned
from factory.media.pictures import MAX_PIXELS, MediaError, Pixels, decode, on_background
from schemas.rows import Media

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

Frames = npt.NDArray[np.uint8]  # T H W 3

#: Clips of more frames are refused before they are unpacked.
MAX_FRAMES = 100_000
#: Constant rate factor of H.264: 0 is lossless, 23 the usual. Models are trained on what it leaves.
_QUALITY = 12
#: FFmpeg's flag of a stream that is a sound's cover.
_ATTACHED_PICTURE = 0x400

#: The encoder of AV1, where PyAV was built with it.
AV1 = "libsvtav1"


def encode_clip(frames: Frames, fps: float, crf: int = _QUALITY) -> bytes:
    """Encode uint8 RGB frames [T, H, W, 3] as MP4 (H.264); the same frames give the same bytes.

    Colour is kept at full resolution (4:4:4): at half, a small thing takes its background's colour.

    Args:
        frames: at least one; any size.
        fps: frames a second.
        crf: constant rate factor, 0 to 51.
    """
    # One thread: how the work is split changes the bytes. No vector code: now and then, on small
    # frames, it gave other bytes for the same pixels.
    options = {"crf": str(crf), "threads": "1", "x264-params": "asm=0"}
    return _encode(frames, fps, "libx264", "yuv444p", options)


def encode_av1(frames: Frames, fps: float, crf: int) -> bytes:
    """Encode uint8 RGB frames [T, H, W, 3] as MP4 (AV1): smaller than H.264, and colour at half the
    resolution (4:2:0), since the encoder knows no other. The same frames give the same bytes.

    Args:
        frames: at least one; any size.
        fps: frames a second.
        crf: constant rate factor, 0 to 63.
    """
    os.environ.setdefault("SVT_LOG", "1")  # else it tells its settings for each clip
    options = {"crf": str(crf), "preset": "8", "svtav1-params": "lp=1"}
    return _encode(frames, fps, AV1, "yuv420p", options)


def _encode(frames: Frames, fps: float, codec: str, colour: str, options: dict[str, str]) -> bytes:
    import av

    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not frames.size:
        raise MediaError(f"expected uint8 [T, H, W, 3], got {frames.dtype} {list(frames.shape)}")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream: Any = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = colour
        stream.options = options
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def is_clip(data: bytes) -> bool:
    """Whether bytes begin as an MP4 does, and not as a picture in MP4's boxes (HEIC, AVIF)."""
    return kind_of(data) == "MP4"


def decode_still(data: bytes, max_pixels: int = MAX_PIXELS) -> Pixels:
    """The pixels [H, W, 3] of a picture, or of the only frame of a clip that has no more.

    Raises:
        MediaError: as of `pictures.decode` and `decode_clip`, or a clip of several frames.
    """
    if not is_clip(data):
        return decode(data, max_pixels)
    num_frames = describe(data).num_frames
    if num_frames > 1:
        raise MediaError(f"a clip of {num_frames} frames, where a picture is wanted")
    (pixels,) = decode_clip(data, 1, max_pixels)
    return np.asarray(pixels)


def decode_clip(data: bytes, num_frames: int, max_pixels: int = MAX_PIXELS) -> Frames:
    """Decode `num_frames` frames of an MP4, evenly over its time, as uint8 RGB [T, H, W, 3].

    The clip's time is cut into `num_frames` equal parts; of each, the frame shown at its middle is
    taken. A clip of fewer frames shows some of them more than once.

    Raises:
        MediaError: broken bytes, another format, no video, a frame that cannot be decoded, or more
            than `max_pixels` in the frames asked for.
    """
    return decode_samples(data, [num_frames], max_pixels)[0]


def decode_samples(
    data: bytes, nums_frames: Sequence[int], max_pixels: int = MAX_PIXELS
) -> list[Frames]:
    """What `decode_clip` gives for each of several numbers of frames, from one pass over the clip.

    Raises:
        MediaError: as for `decode_clip`, of any of them.
    """
    most, is_turned = max(nums_frames), has_matrix(data)
    with _opened(data) as container:
        stream = _video(container)
        _check_pixels(most, stream.width, stream.height, max_pixels)
        times, end = _times(container, stream)
        samples = [sample_times(times, end, num) for num in nums_frames]
        container.seek(0)
        shown: dict[int, Frames] = {}
        for time, frame in _frames(container, stream, {time for one in samples for time in one}):
            _check_pixels(most, frame.width, frame.height, max_pixels)  # as the frame itself says
            shown[time] = _as_shown(frame, is_turned)
    for num, wanted in zip(nums_frames, samples, strict=True):
        missing = len(set(wanted) - set(shown))
        if missing:
            raise MediaError(f"{missing} of the {num} frames asked for cannot be decoded")
    if len({frame.shape for frame in shown.values()}) > 1:
        raise MediaError("its frames are of different sizes")
    return [np.stack([shown[time] for time in wanted]) for wanted in samples]


def decode_chosen(
    data: bytes, choose: Callable[[int, float], Sequence[int]], max_pixels: int = MAX_PIXELS
) -> Frames:
    """The frames of an MP4 [T, H, W, 3] that are chosen by their places, counted from 0: for models
    whose publishers choose them so.

    Args:
        data: of the clip.
        choose: the places of a clip of so many frames and frames a second.
        max_pixels: in the frames that are chosen.

    Raises:
        MediaError: as for `decode_clip`.
    """
    is_turned = has_matrix(data)
    shown: dict[int, Pixels] = {}
    with _opened(data) as container:
        stream = _video(container)
        times, end = _times(container, stream)
        fps = len(times) / float((end - times[0]) * stream.time_base)
        taken = [times[place] for place in choose(len(times), fps)]
        _check_pixels(len(taken), stream.width, stream.height, max_pixels)
        container.seek(0)
        for time, frame in _frames(container, stream, set(taken)):
            _check_pixels(len(taken), frame.width, frame.height, max_pixels)
            shown[time] = _as_shown(frame, is_turned)
    if missing := len(set(taken) - set(shown)):
        raise MediaError(f"{missing} of the {len(taken)} frames asked for cannot be decoded")
    if len({frame.shape for frame in shown.values()}) > 1:
        raise MediaError("its frames are of different sizes")
    return np.stack([shown[time] for time in taken])


def read_clip(media: Media, most: int) -> Frames:
    """A clip's frames [T, H, W, 3], evenly over its time and `most` at most.

    Raises:
        MediaError: as for `decode_clip`.
    """
    return decode_clip(media.data, min(media.num_frames, most))


def write_clip(frames: Frames, like: Media) -> Media:
    """A clip of these frames [T, H, W, 3] that lasts as long as another."""
    height, width = frames.shape[1:3]
    fps = like.fps * len(frames) / like.num_frames
    return Media(encode_clip(frames, fps), width, height, len(frames), fps)


def sample_times(starts: Sequence[int], end: int, num: int) -> list[int]:
    """Which of the frames that start at `starts` (rising) are shown at the middles of `num` equal
    parts of the time from the first to `end`; whole numbers, so nothing is rounded.
    """
    first = starts[0]
    middles = (Fraction((2 * part + 1) * (end - first), 2 * num) + first for part in range(num))
    return [starts[bisect_right(starts, middle) - 1] for middle in middles]


def describe(data: bytes) -> Media:
    """A picture or a clip as a row, from its bytes alone; its size is that in which it is shown.

    Raises:
        MediaError: neither a picture nor an MP4 that can be read.
    """
    if not is_clip(data):
        height, width = decode(data).shape[:2]
        return Media(data, width, height)
    with _opened(data) as container:
        stream = _video(container)
        _check_pixels(1, stream.width, stream.height, MAX_PIXELS)
        times, end = _times(container, stream)
        turn = _orientation(container, stream) if has_matrix(data) else UPRIGHT
        width, height = shown_size(stream.width, stream.height, turn)
        seconds = float((end - times[0]) * stream.time_base)
        return Media(data, width, height, len(times), len(times) / seconds)


def is_plain(data: bytes) -> bool:
    """Whether a reader who looks at the pixels alone sees what is decoded here: as
    `pictures.is_plain`, and of a clip, that it is stored upright.

    Raises:
        MediaError: the bytes cannot be read, where the head tells.
    """
    return orientation(data) == UPRIGHT if is_clip(data) else pictures.is_plain(data)


def orientation(data: bytes) -> int:
    """How a clip must be turned or mirrored to be upright (`factory.media.orientation`).

    Raises:
        MediaError: it must be, and its first frame cannot be read.
    """
    if not has_matrix(data):
        return UPRIGHT
    with _opened(data) as container:
        return _orientation(container, _video(container))


@contextmanager
def _opened(data: bytes) -> Iterator[InputContainer]:
    """A clip's container; what FFmpeg raises meanwhile is a MediaError."""
    import av

    what = f"cannot read a clip from {len(data)} bytes"
    kind = kind_of(data)
    if kind != "MP4":
        raise MediaError(f"{what}: {f'it is a {kind} picture' if kind else refusal(data)}")
    try:
        with av.open(io.BytesIO(data), "r", format="mp4") as container:
            yield container
    except (av.FFmpegError, ValueError, EOFError, ArithmeticError) as error:
        if isinstance(error, MediaError):
            raise
        raise MediaError(f"{what}: {error}") from error


def _video(container: InputContainer) -> Any:
    """The first video stream that is no cover of a sound, set to fail on damage instead of painting
    over it.
    """
    streams = [one for one in container.streams.video if not one.disposition & _ATTACHED_PICTURE]
    if not streams:
        raise MediaError("the file holds no video")
    stream: Any = streams[0]
    if stream.codec_context is None:
        raise MediaError("the clip's codec is unknown")
    stream.codec_context.options = {"err_detect": "explode", "threads": "1"}
    return stream


def _check_pixels(num_frames: int, width: int, height: int, most: int) -> None:
    if num_frames * width * height > most:
        raise MediaError(f"{num_frames} × {width} × {height} pixels are more than {most}")


def _orientation(container: InputContainer, stream: Any) -> int:
    """Of a clip, from its first frame: FFmpeg hands the display matrix on with each."""
    container.seek(0)
    frame = next(container.decode(stream), None)
    if frame is None:
        raise MediaError("the clip holds no frame that can be decoded")
    return _orientation_of(frame)


def _orientation_of(frame: VideoFrame) -> int:
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    said = UPRIGHT if matrix is None else of_matrix(bytes(matrix))
    if said is None:
        raise MediaError("its display matrix is no quarter turn and no mirror; store it upright")
    return said


def _as_shown(frame: VideoFrame, is_turned: bool) -> Pixels:
    """A frame's pixels [H, W, 3], upright, on the white background where it is transparent.

    is_turned: whether its film or track has a matrix; what a frame says by itself no browser heeds.
    """
    kind = frame.format
    if kind.has_palette or any(part.is_alpha for part in kind.components):
        rgba = Image.fromarray(frame.to_ndarray(format="rgba"))
        pixels = np.array(on_background(rgba), dtype=np.uint8)
    else:
        pixels = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    return turned(pixels, _orientation_of(frame)) if is_turned else pixels


def _times(container: InputContainer, stream: Any) -> tuple[list[int], int]:
    """When each frame begins and the last one ends, in units of the stream's time base."""
    shown: dict[int, int] = {}
    for packet in container.demux(stream):
        if packet.pts is not None and packet.size and not packet.is_discard:
            shown[packet.pts] = packet.duration or 0
        if len(shown) > MAX_FRAMES:
            raise MediaError(f"more than {MAX_FRAMES} frames")
    if not shown:
        raise MediaError("the clip holds no frames")
    times = sorted(shown)
    last = shown[times[-1]] or (times[-1] - times[-2] if len(times) > 1 else 1)
    return times, times[-1] + last


def _frames(
    container: InputContainer, stream: Any, wanted: set[int]
) -> Iterator[tuple[int, VideoFrame]]:
    """The frames that are shown from these times on, each with its time, but damaged ones."""
    left = set(wanted)
    for frame in container.decode(stream):
        if frame.pts in left and not frame.is_corrupt:
            left.remove(frame.pts)
            yield frame.pts, frame
        if not left:
            break
