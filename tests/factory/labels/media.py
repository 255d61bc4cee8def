"""Pictures and clips for the tests of label formats, made here so that no file is shipped."""

import io

import numpy as np
from PIL import Image


def png(colour: tuple[int, int, int] = (200, 30, 30), size: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size + 2), colour).save(buffer, "PNG")
    return buffer.getvalue()


def jpeg(colour: tuple[int, int, int] = (30, 200, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 10), colour).save(buffer, "JPEG")
    return buffer.getvalue()


def mp4(level: int = 100, num_frames: int = 6, fps: int = 3) -> bytes:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, mode="w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height = 32, 16
        stream.pix_fmt = "yuv420p"
        for at in range(num_frames):
            pixels = np.full((16, 32, 3), level + at, dtype=np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return buffer.getvalue()
