"""How what is stored must be turned or mirrored to be upright: as EXIF numbers it, 1 to 8.

    1 as stored     2 mirrored          3 by 180°              4 upside down, mirrored
    5 transposed    6 by 90° clockwise  7 transposed the other way  8 by 90° the other way

A picture says so in EXIF (CIPA DC-008, tag 0x0112), a clip by the display matrix of its track and
film (ISO 14496-12, 8.3.2). A clip's matrix is read as FFmpeg hands it on; `has_matrix` only saves
the work where there is none.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

#: As stored.
UPRIGHT = 1
#: What no turn brings upright.
MIRRORED = (2, 4, 5, 7)

_MATRIX = struct.Struct("<9i")
_IDENTITY = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
#: Of the matrix ((a, b), (c, d)), which sends column x and row y to a x + c y and b x + d y, the
#: signs of a, b, c and d.
_OF_SIGNS = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}


def turned(pixels: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """Pixels [H, W, 3] upright: [W, H, 3] from orientation 5 on."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def shown_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Width and height as shown, of what is stored in this size."""
    return (height, width) if orientation >= 5 else (width, height)


def of_matrix(matrix: bytes) -> int | None:
    """The orientation that a display matrix of FFmpeg stands for; None where it is no quarter turn
    and no mirror.
    """
    a, b, _, c, d, *_ = _MATRIX.unpack(matrix[: _MATRIX.size])
    if not any((a, b, c, d)):  # no picture at all: what every player takes for a mistake
        return UPRIGHT
    return _OF_SIGNS.get(tuple((value > 0) - (value < 0) for value in (a, b, c, d)))


def has_matrix(data: bytes) -> bool:
    """Whether an MP4 may hold a display matrix that turns something: whether any of its tracks, or
    the film, has another than the identity. In doubt it may.
    """
    if b"tkhd" not in data:  # its boxes are compressed
        return True
    # Version 0 or 1 of the box says how wide its times are, and so where the matrix stands.
    for name, short, long in ((b"tkhd", 44, 56), (b"mvhd", 40, 52)):
        at = data.find(name)
        while at >= 0:
            start = at + (long if data[at + 4 : at + 5] == b"\1" else short)
            if data[start : start + len(_IDENTITY)] != _IDENTITY:
                return True
            at = data.find(name, at + 4)
    return False
