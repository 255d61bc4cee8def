"""Encoded bytes as `Media`: size, frames and rate by decoding, so broken bytes are refused."""

from __future__ import annotations

import io

from factory.media import MediaError, decode
from schemas.rows import Media


def describe(data: bytes) -> Media:
    """A picture (PNG, JPEG, WebP) or a clip (MP4) with its size.

    Raises:
        MediaError: neither, or broken.
    """
    if data[4:8] == b"ftyp":
        return _clip(data)
    height, width, _ = decode(data).shape
    return Media(data, width, height)


def _clip(data: bytes) -> Media:
    try:
        import av
    except ImportError:
        raise MediaError("clips need PyAV: pip install av") from None
    try:
        with av.open(io.BytesIO(data), mode="r", format="mp4") as container:
            stream = container.streams.video[0]
            frames = stream.frames or sum(1 for _ in container.decode(video=0))
            size = (stream.codec_context.width, stream.codec_context.height)
            fps = float(stream.average_rate or 0)
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise MediaError(f"not a clip that can be read: {error}") from None
    if not frames or not fps:
        raise MediaError("a clip without frames")
    return Media(data, *size, num_frames=frames, fps=fps)
