"""Pictures and clips for the tests of label formats, made here so that no file is shipped."""

import io

import numpy as np
from PIL import Image

from factory.media.clips import encode_clip


def png(colour: tuple[int, int, int] = (200, 30, 30), size: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size + 2), colour).save(buffer, "PNG")
    return buffer.getvalue()


def jpeg(colour: tuple[int, int, int] = (30, 200, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 10), colour).save(buffer, "JPEG")
    return buffer.getvalue()


def mp4(level: int = 100, num_frames: int = 6, fps: int = 3) -> bytes:
    frames = [np.full((16, 32, 3), level + at, dtype=np.uint8) for at in range(num_frames)]
    return encode_clip(np.stack(frames), fps)
