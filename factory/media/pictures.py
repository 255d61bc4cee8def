"""Pictures as bytes and as pixels, and the plain attributes that audits and filters look at.

`decode` is the one place where the bytes of a picture are opened: whoever looks at one, a judge, a
trainer, a measure or a page, sees it upright, opaque and in 8 bits. All else is a function of
pixels alone. `attributes` are the quantities that judges and people are known to be swayed by;
`perceptual_hash` finds near-duplicates. Left out: clips (`factory.media.clips`), whose frames go
through the same functions one by one.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from factory.media.kinds import kind_of, refusal
from factory.media.orientation import UPRIGHT, turned

Pixels = npt.NDArray[np.uint8]  # H W 3
Luma = npt.NDArray[np.float64]  # H W, 0 to 1
#: Something of each picture of several, or of one.
Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]

#: The names of `attributes`.
ATTRIBUTES = ("brightness", "saturation", "contrast", "sharpness")
#: Formats that are decoded; others are refused, since each decoder is a way in.
FORMATS = ("PNG", "JPEG", "WEBP")
#: What is seen through a picture where it is transparent.
BACKGROUND = (255, 255, 255)
#: Pictures of more pixels are refused before they are unpacked.
MAX_PIXELS = 50_000_000

_LUMA = np.array([0.299, 0.587, 0.114])
_HASH_GRID = 16
_HASH_BITS = 64
#: A picture is blank when fewer than this share of its pixels are further than _BLANK_STEP levels
#: (in any channel) from its median colour.
_BLANK_SHARE = 0.005
_BLANK_STEP = 12
_LEVELS = np.arange(256)


#: What Pillow raises for bytes that are broken.
_BROKEN = (
    OSError,
    SyntaxError,  # of a chunk of PNG
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
#: Where the head of a PNG says of how many bits its levels are.
_DEPTH = 24


class MediaError(ValueError):
    """Bytes that are no picture or clip that can be read."""


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decode a PNG, JPEG or WebP picture to uint8 RGB pixels [H, W, 3], as it is meant to be seen.

    It is turned as its EXIF says; EXIF that is broken says nothing. Where it is transparent, the
    white `BACKGROUND` is seen, and never the colour that is stored beneath. Of 16 bits the upper 8
    are kept. Colour profiles are not applied.

    Raises:
        MediaError: the bytes are broken, of another format, of an animation of several frames, or
            hold more than `max_pixels`.
    """
    with _opened(data, max_pixels) as image:
        image.load()
        return turned(np.array(_opaque(image, data), dtype=np.uint8), _orientation(image))


def is_plain(data: bytes) -> bool:
    """Whether a reader who looks at the pixels alone sees what `decode` gives: a picture upright,
    opaque and of 8 bits. In doubt it is not. Only its head is read.

    Raises:
        MediaError: as of `decode`, where the head tells.
    """
    with _opened(data, MAX_PIXELS) as image:
        if image.has_transparency_data or image.mode.startswith("I"):
            return False
        if image.format == "PNG":  # EXIF may stand behind the pixels, or in a text
            texts = (key for key in image.info if isinstance(key, str))
            return b"eXIf" not in data and not any(key.endswith(("exif", "xmp")) for key in texts)
        return _orientation(image) == UPRIGHT


def on_background(image: Image.Image) -> Image.Image:
    """An RGBA picture as it is seen on the white `BACKGROUND`."""
    seen = Image.new("RGB", image.size, BACKGROUND)
    seen.paste(image, mask=image.getchannel("A"))
    return seen


@contextmanager
def _opened(data: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """A picture whose head alone has been read; what Pillow raises meanwhile is a MediaError."""
    what = f"cannot read a picture from {len(data)} bytes"
    kind = kind_of(data)
    if kind not in FORMATS:
        why = "it is an MP4 clip" if kind == "MP4" else refusal(data)
        raise MediaError(f"{what}: {why}")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise MediaError(f"{width} × {height} pixels are more than {max_pixels}")
            # Of JPEG, what follows is a second picture for other screens, and no second frame.
            num_frames = 1 if kind == "JPEG" else getattr(image, "n_frames", 1)
            if num_frames > 1:
                raise MediaError(
                    f"an animated {kind} of {num_frames} frames is no picture: give one of its "
                    "frames as a picture, or all of them as an MP4 clip"
                )
            yield image
    except MediaError:
        raise
    except _BROKEN as error:
        said = str(error)
        if isinstance(error, UnidentifiedImageError):  # its own words hold an address in memory
            said = f"it begins as {kind} and is broken"
        raise MediaError(f"{what}: {said}") from error


def _opaque(image: Image.Image, data: bytes) -> Image.Image:
    """A loaded picture of any mode as RGB, on the white background where it is transparent."""
    key = image.info.get("transparency")
    depth = max(1, data[_DEPTH]) if image.format == "PNG" else 8
    if image.mode.startswith("I"):  # grey of 16 bits; Pillow would cut off all above 255
        levels = np.asarray(image).astype(np.int64)
        grey = Image.fromarray((levels >> 8).astype(np.uint8))
        if key is None:
            return grey.convert("RGB")
        alpha = Image.fromarray(np.where(levels == key, 0, 255).astype(np.uint8))
        return on_background(Image.merge("RGBA", (grey, grey, grey, alpha)))
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    # Pillow brings grey and colours to 8 bits, but not the one level or colour that is transparent.
    if image.mode == "L" and key is not None:
        most = 2**depth - 1
        image.info["transparency"] = (key & most) * 255 // most
    if image.mode == "RGB" and key is not None:
        if depth == 16:
            raise MediaError(
                "a PNG of 16 bits a colour, one of which is transparent, is not read: store how "
                "transparent each pixel is (RGBA), or 8 bits a colour"
            )
        image.info["transparency"] = tuple(level & 255 for level in key)
    return on_background(image.convert("RGBA"))


def _orientation(image: Image.Image) -> int:
    """Of 1 to 8, as EXIF says; upright where it says nothing that can be understood."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
    except (*_BROKEN, ArithmeticError, AttributeError, LookupError, TypeError):
        return UPRIGHT
    return value if isinstance(value, int) and value in range(1, 9) else UPRIGHT


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


# What follows looks at one picture [H, W, 3], or at several of one shape [..., H, W, 3], each of
# which has the numbers that it would have alone, to the last bit: what is stored of a picture must
# be what is measured of it again.


def attributes(pixels: Pixels, light: Luma | None = None) -> dict[str, Numbers]:
    """What pictures are like, whatever they show: [...] of each.

    light: their `luma`, where that is known already.

    brightness: mean luma, 0 to 1.
    saturation: mean saturation as in HSV, 0 to 1.
    contrast: standard deviation of luma, 0 to 0.5.
    sharpness: mean absolute Laplacian of luma, 0 to 4. Noise raises it as edges do.
    """
    light = luma(pixels) if light is None else light
    red, green, blue = np.moveaxis(pixels, -1, 0)  # one by one: three times as fast as by axis
    highest = np.maximum(np.maximum(red, green), blue)
    spread = highest - np.minimum(np.minimum(red, green), blue)
    saturation = np.divide(spread, np.maximum(highest, 1), dtype=np.float64)
    return {
        "brightness": _in_a_row(light).mean(axis=-1),
        "saturation": _in_a_row(saturation).mean(axis=-1),
        "contrast": _in_a_row(light).std(axis=-1),
        "sharpness": _in_a_row(np.abs(_laplacian(light))).mean(axis=-1),
    }


def _in_a_row(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[..., H, W] as [..., H W]."""
    return values.reshape(*values.shape[:-2], -1)


def _laplacian(light: Luma) -> Luma:
    """As `scipy.ndimage.laplace` with mode "nearest" of each, to the last bit, in less time."""
    *several, height, width = light.shape
    wide = np.empty((*several, height + 2, width + 2))
    wide[..., 1:-1, 1:-1] = light
    wide[..., 0, 1:-1], wide[..., -1, 1:-1] = light[..., 0, :], light[..., -1, :]
    wide[..., 1:-1, 0], wide[..., 1:-1, -1] = light[..., 0], light[..., -1]
    twice = 2 * light
    upright = wide[..., :-2, 1:-1] + wide[..., 2:, 1:-1]
    upright -= twice
    across = wide[..., 1:-1, :-2] + wide[..., 1:-1, 2:]
    across -= twice
    upright += across
    return upright


def images_of(pixels: Pixels) -> list[Image.Image]:
    """Pictures as Pillow has them, in one list."""
    return list(map(Image.fromarray, pixels.reshape(-1, *pixels.shape[-3:])))


def is_blank(pixels: Pixels, images: Sequence[Image.Image] | None = None) -> Flags:
    """Whether pictures show next to nothing but one colour, as failed generations do: [...].

    images: their `images_of`, where they are known already.
    """
    images = images_of(pixels) if images is None else images
    size = pixels.shape[-3] * pixels.shape[-2]
    # How many pixels have each level, by picture and channel.
    counts = np.array([image.histogram() for image in images], np.int64).reshape(-1, 3, 256)
    until = counts.cumsum(axis=-1)
    # Of each channel twice the median, which lies between the two levels in the middle.
    middle = (until <= (size - 1) // 2).sum(axis=-1) + (until <= size // 2).sum(axis=-1)
    is_far = np.abs(_LEVELS - middle[..., None] / 2) > _BLANK_STEP
    num_far = (counts * is_far).sum(axis=-1)
    # Pixels may be far in several channels: no fewer than in one, no more than in all added up.
    is_of_one = num_far.sum(axis=-1) / size < _BLANK_SHARE
    is_in_doubt = (num_far.max(axis=-1) / size < _BLANK_SHARE) & ~is_of_one
    for at in np.flatnonzero(is_in_doubt).tolist():
        channels = np.moveaxis(np.asarray(images[at]), -1, 0)
        away = [of[channel] for of, channel in zip(is_far[at], channels, strict=True)]
        is_of_one[at] = np.logical_or.reduce(away).mean() < _BLANK_SHARE
    return _as_several(is_of_one, pixels)


def entropy(pixels: Pixels, light: Luma | None = None) -> Numbers:
    """Shannon entropy of the lightness in 64 levels, 0 to 6 bits: how much there is to see; [...].

    light: their `luma`, where that is known already.
    """
    light = luma(pixels) if light is None else light
    size = light.shape[-2] * light.shape[-1]
    levels = (light * 63.999).astype(np.int64).reshape(-1, size)
    levels += 64 * np.arange(len(levels))[:, None]
    counts = np.bincount(levels.ravel(), minlength=64 * len(levels)).reshape(-1, 64)
    return _as_several([_bits(some[some > 0] / size) for some in counts], pixels)


def _bits(shares: npt.NDArray[np.float64]) -> float:
    return float(-(shares * np.log2(shares)).sum())


def perceptual_hash(pixels: Pixels, images: Sequence[Image.Image] | None = None) -> Hashes:
    """A 64-bit hash under which pictures that look alike differ in few bits, colour included.

    images: their `images_of`, where they are known already.

    Pictures are averaged to 16 × 16 cells. What is hashed is how each cell's colour departs from
    the mean colour, and that mean itself: its signs under 64 fixed random projections. So the share
    of differing bits follows the angle between two pictures, and small changes flip few bits at any
    size. A hash of brightness steps between neighbouring cells (dHash) would not do: flat
    backgrounds make its bits arbitrary, and a red thing that turns green keeps them.
    """
    images = images_of(pixels) if images is None else images
    grid = (_HASH_GRID, _HASH_GRID)
    shrunk = b"".join(one.resize(grid, Image.Resampling.BOX).tobytes() for one in images)
    cells = np.frombuffer(shrunk, np.uint8).astype(np.int64).reshape(len(images), -1, 3)
    num_cells = cells.shape[1]
    total = cells.sum(axis=1)
    # 256 times the departures and the mean: whole numbers far below 2^53, so that no machine rounds
    # differently. Floats are multiplied several times as fast.
    departures = (num_cells * cells - total[:, None]).reshape(len(images), -1)
    looks = np.hstack([departures, 2 * total - 255 * num_cells]).astype(np.float64)
    bits = looks @ _projections().T > 0
    return _as_several(np.packbits(bits, axis=-1).view(">u8").ravel().astype(np.uint64), pixels)


def _as_several(found: npt.ArrayLike, pixels: Pixels) -> npt.NDArray[Any]:
    """A number of each picture, in the shape in which they came; a number of one alone."""
    several: npt.NDArray[Any] = np.reshape(found, pixels.shape[:-3])
    return several[()]


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
