"""Pictures as bytes and as pixels, and the plain attributes that audits and filters look at.

Everything here is a function of pixels alone. `attributes` are the quantities that judges and
people are known to be swayed by; `perceptual_hash` finds near-duplicates. Left out: clips
(`factory.media.clips`), whose frames go through the same functions one by one.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from scipy import ndimage

Pixels = npt.NDArray[np.uint8]  # H W 3
Luma = npt.NDArray[np.float64]  # H W, 0 to 1

#: The names of `attributes`.
ATTRIBUTES = ("brightness", "saturation", "contrast", "sharpness")
#: Formats that are decoded; others are refused, since each decoder is a way in.
FORMATS = ("PNG", "JPEG", "WEBP")
#: Pictures of more pixels are refused before they are unpacked.
MAX_PIXELS = 50_000_000

_LUMA = np.array([0.299, 0.587, 0.114])
_HASH_GRID = 16
_HASH_BITS = 64
#: A picture is blank when fewer than this share of its pixels are further than _BLANK_STEP levels
#: (in any channel) from its median colour.
_BLANK_SHARE = 0.005
_BLANK_STEP = 12


class MediaError(ValueError):
    """Bytes that are no picture or clip that can be read."""


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decode a PNG, JPEG or WebP picture to uint8 RGB pixels [H, W, 3]; transparency is dropped.

    Raises:
        MediaError: the bytes are broken, of another format, or hold more than `max_pixels`.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise MediaError(f"{width} × {height} pixels are more than {max_pixels}")
            return np.array(image.convert("RGB"), dtype=np.uint8)
    except MediaError:
        raise
    except UnidentifiedImageError:  # its own words hold an address in memory
        what = f"cannot read a picture from {len(data)} bytes"
        raise MediaError(f"{what}: they are none of {', '.join(FORMATS)}") from None
    except (
        OSError,
        SyntaxError,  # what Pillow raises for a broken PNG chunk
        ValueError,
        EOFError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    ) as error:
        raise MediaError(f"cannot read a picture from {len(data)} bytes: {error}") from error


def encode_png(pixels: Pixels) -> bytes:
    """Encode uint8 RGB pixels [H, W, 3] as PNG; the same pixels give the same bytes."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise MediaError(f"expected uint8 [H, W, 3], got {pixels.dtype} {list(pixels.shape)}")
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def luma(pixels: Pixels) -> Luma:
    """Perceived lightness of each pixel (Rec. 601), 0 to 1."""
    return np.asarray(pixels @ _LUMA / 255.0)


def attributes(pixels: Pixels, light: Luma | None = None) -> dict[str, float]:
    """What a picture is like, whatever it shows.

    light: its `luma`, where that is known already.

    brightness: mean luma, 0 to 1.
    saturation: mean saturation as in HSV, 0 to 1.
    contrast: standard deviation of luma, 0 to 0.5.
    sharpness: mean absolute Laplacian of luma, 0 to 4. Noise raises it as edges do.
    """
    light = luma(pixels) if light is None else light
    red, green, blue = np.moveaxis(pixels, -1, 0)  # one by one: three times as fast as by axis
    highest = np.maximum(np.maximum(red, green), blue).astype(np.float64)
    lowest = np.minimum(np.minimum(red, green), blue).astype(np.float64)
    return {
        "brightness": float(light.mean()),
        "saturation": float(((highest - lowest) / np.maximum(highest, 1.0)).mean()),
        "contrast": float(light.std()),
        "sharpness": float(np.abs(ndimage.laplace(light, mode="nearest")).mean()),
    }


def is_blank(pixels: Pixels) -> bool:
    """Whether a picture shows next to nothing but one colour, as a failed generation does."""
    is_away = np.zeros(pixels.shape[:2], dtype=np.bool_)
    for channel in np.moveaxis(pixels, -1, 0):
        # Told of each of the levels, and looked up.
        is_away |= (np.abs(np.arange(256) - _median_level(channel)) > _BLANK_STEP)[channel]
    return bool(is_away.mean() < _BLANK_SHARE)


def _median_level(channel: npt.NDArray[np.uint8]) -> float:
    """The median of a channel's levels, by counting them: there are only 256."""
    until = np.bincount(channel.ravel(), minlength=256).cumsum()
    middle = np.searchsorted(until, [(channel.size - 1) // 2, channel.size // 2], "right")
    return float(middle.mean())


def entropy(pixels: Pixels, light: Luma | None = None) -> float:
    """Shannon entropy of the lightness in 64 levels, 0 to 6 bits: how much there is to see.

    light: its `luma`, where that is known already.
    """
    light = luma(pixels) if light is None else light
    levels = np.bincount((light * 63.999).astype(np.int64).ravel(), minlength=64)
    shares = levels[levels > 0] / levels.sum()
    return float(-(shares * np.log2(shares)).sum())


def perceptual_hash(pixels: Pixels) -> int:
    """A 64-bit hash under which pictures that look alike differ in few bits, colour included.

    Pictures are averaged to 16 × 16 cells. What is hashed is how each cell's colour departs from
    the mean colour, and that mean itself: its signs under 64 fixed random projections. So the share
    of differing bits follows the angle between two pictures, and small changes flip few bits at any
    size. A hash of brightness steps between neighbouring cells (dHash) would not do: flat
    backgrounds make its bits arbitrary, and a red thing that turns green keeps them.
    """
    grid = Image.fromarray(pixels).resize((_HASH_GRID, _HASH_GRID), Image.Resampling.BOX)
    cells = np.asarray(grid, dtype=np.int64).reshape(-1, 3)
    total = cells.sum(axis=0)
    # 256 times the departures and the mean: whole numbers far below 2^53, so that no machine rounds
    # differently. Floats are multiplied several times as fast.
    departures = (len(cells) * cells - total).ravel()
    looks = np.concatenate([departures, 2 * total - 255 * len(cells)]).astype(np.float64)
    bits = _projections() @ looks > 0
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def hash_distance(first: int, second: int) -> int:
    """Number of differing bits of two perceptual hashes, 0 to 64."""
    return (first ^ second).bit_count()


@lru_cache(maxsize=1)
def _projections() -> npt.NDArray[np.float64]:
    """Fixed directions of ±1, [64, features], from a hash function: the same on every machine."""
    num_features = 3 * _HASH_GRID**2 + 3
    num_bytes = -(-_HASH_BITS * num_features // 8)
    stream = hashlib.shake_256(b"perceptual hash").digest(num_bytes)
    bits = np.unpackbits(np.frombuffer(stream, dtype=np.uint8))[: _HASH_BITS * num_features]
    return 2 * bits.reshape(_HASH_BITS, num_features).astype(np.float64) - 1
