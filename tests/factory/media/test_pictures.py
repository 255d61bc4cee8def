import contextlib
import io
import itertools
import random
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from scipy import ndimage

from factory.media import pictures
from factory.media.pictures import (
    MediaError,
    attributes,
    decode,
    encode_png,
    entropy,
    hash_distance,
    perceptual_hash,
)
from factory.sandbox.drawing import draw, spoil_pixels
from factory.sandbox.world import BACKGROUNDS, COLOURS, SHAPES, parse, sample_scene

PIXELS = hnp.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3)))


def encoded(pixels, form, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


def drawn(seed, side=32):
    rng = random.Random(seed)
    return draw(sample_scene(rng), rng, side)


# -------------------------------------------------------------------------------- bytes and pixels


@given(PIXELS)
def test_png_keeps_every_pixel(pixels):
    assert np.array_equal(decode(encode_png(pixels)), pixels)


def test_the_same_pixels_give_the_same_bytes():
    pixels = drawn(0)
    assert encode_png(pixels) == encode_png(np.asfortranarray(pixels))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_common_formats_are_read(form):
    pixels = np.full((32, 48, 3), 100, np.uint8)
    found = decode(encoded(pixels, form))
    assert found.shape == (32, 48, 3)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - 100).max() <= 2


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "LA"])
def test_other_modes_become_rgb(mode):
    image = Image.fromarray(drawn(0)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    assert decode(buffer.getvalue()).shape == (32, 32, 3)


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"not a picture", b"\0" * 1000])
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(MediaError, match="cannot read"):
        decode(data)


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF", "PPM"])
def test_other_formats_are_refused(form):
    with pytest.raises(MediaError):
        decode(encoded(drawn(0), form))


@settings(max_examples=150)
@given(st.sampled_from(["PNG", "JPEG", "WEBP"]), st.data())
def test_broken_bytes_raise_media_errors_only(form, data):
    whole = bytearray(encoded(drawn(1), form))
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    with contextlib.suppress(MediaError):
        assert decode(bytes(whole[:cut])).ndim == 3


def test_a_truncated_picture_is_refused():
    for form in ("PNG", "JPEG", "WEBP"):
        whole = encoded(drawn(1, side=64), form)
        with pytest.raises(MediaError):
            decode(whole[: len(whole) // 2])


def png_of_size(width, height):
    """A PNG that claims a size and holds next to nothing."""

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [8_000, 12_000, 60_000])
def test_decompression_bombs_are_refused(side):
    with pytest.raises(MediaError):
        decode(png_of_size(side, side))


def test_the_limit_of_pixels_is_the_callers():
    data = encode_png(drawn(0))
    assert decode(data, max_pixels=32 * 32).shape == (32, 32, 3)
    with pytest.raises(MediaError, match="32 × 32 pixels are more than 1000"):
        decode(data, max_pixels=1000)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
    ],
)
def test_what_is_not_rgb_is_not_encoded(pixels):
    with pytest.raises(MediaError, match="expected uint8"):
        encode_png(pixels)


# ------------------------------------------------------------------------------------ attributes


def test_attributes_of_plain_pictures():
    white, black, red = (
        attributes(np.full((8, 8, 3), colour, np.uint8))
        for colour in ((255, 255, 255), (0, 0, 0), (255, 0, 0))
    )
    flat = {"contrast": 0, "sharpness": 0}
    assert white == pytest.approx({"brightness": 1, "saturation": 0, **flat})
    assert black == pytest.approx({"brightness": 0, "saturation": 0, **flat})
    assert red == pytest.approx({"brightness": 0.299, "saturation": 1, **flat})


def test_a_checkerboard_is_as_contrasted_and_sharp_as_can_be():
    board = (
        (np.indices((8, 8)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, axis=-1)
    )
    found = attributes(board)
    assert found["contrast"] == pytest.approx(0.5)
    assert found["sharpness"] > 3


@given(PIXELS)
def test_attributes_have_their_names_and_ranges(pixels):
    found = attributes(pixels)
    assert tuple(found) == pictures.ATTRIBUTES
    limits = {"brightness": 1, "saturation": 1, "contrast": 0.5, "sharpness": 4}
    assert all(-1e-9 <= value <= limits[name] + 1e-9 for name, value in found.items())


def test_each_edit_moves_its_attribute():
    for seed in range(20):
        pixels = drawn(seed)
        before = attributes(pixels)
        grey = np.rint(255 * pictures.luma(pixels)).astype(np.uint8)[..., None].repeat(3, axis=-1)
        flat = np.rint(pixels.mean(axis=(0, 1)) * 0.5 + pixels * 0.5).astype(np.uint8)
        dark = pixels // 2
        blurred = spoil_pixels(pixels, "blur", random.Random(0))
        assert attributes(dark)["brightness"] < before["brightness"]
        assert attributes(grey)["saturation"] == 0
        assert attributes(flat)["contrast"] < before["contrast"]
        assert attributes(blurred)["sharpness"] < before["sharpness"]


# ----------------------------------------------------------------------------- blank pictures


def test_entropy_in_closed_form():
    flat = np.full((8, 8, 3), 70, dtype=np.uint8)
    halves = flat.copy()
    halves[:4] = 200
    quarters = halves.copy()
    quarters[:2], quarters[4:6] = 0, 255
    assert [entropy(one) for one in (flat, halves, quarters)] == pytest.approx([0.0, 1.0, 2.0])
    speck = flat.copy()
    speck[0, 0] = 255
    assert entropy(speck) == pytest.approx(-(63 * np.log2(63 / 64) + np.log2(1 / 64)) / 64)


def test_blank_pictures():
    for colour in ((0, 0, 0), (255, 255, 255), (128, 90, 200)):
        assert pictures.is_blank(np.full((32, 32, 3), colour, np.uint8))
    faint = np.random.default_rng(0).integers(120, 126, (64, 64, 3)).astype(np.uint8)
    assert pictures.is_blank(faint)


def test_a_picture_is_blank_by_the_pixels_that_are_far_in_any_channel():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        pixels = np.full((40, 50, 3), 100, np.uint8)  # of which ten pixels are too many
        for channel in range(3):
            places = rng.choice(40, size=rng.integers(8), replace=False)
            pixels.reshape(-1, 3)[places, channel] = rng.choice([112, 113, 88, 87])
        is_far = (abs(pixels - np.median(pixels, axis=(0, 1))) > 12).any(axis=-1)
        found.append(pictures.is_blank(pixels))
        assert found[-1] == (is_far.mean() < 0.005)
    assert 50 < sum(found) < 295


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 1), (8, 12), (45, 31)])
def test_sharpness_is_that_of_scipys_laplacian_to_the_last_bit(size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    edges = ndimage.laplace(pictures.luma(pixels), mode="nearest")
    assert attributes(pixels)["sharpness"] == abs(edges).mean()


def test_drawn_pictures_are_not_blank():
    assert not any(pictures.is_blank(drawn(seed, side)) for seed in range(50) for side in (32, 64))


# ------------------------------------------------------------------------------ perceptual hash


def distance(first, second):
    return hash_distance(int(perceptual_hash(first)), int(perceptual_hash(second)))


def test_a_hash_is_the_same_on_every_machine():
    """Hashes are stored beside pairs, so a change of theirs is a change of format."""
    ramp = np.arange(32 * 32 * 3, dtype=np.uint32).reshape(32, 32, 3)
    assert perceptual_hash((ramp * 7919 % 256).astype(np.uint8)) == 7499873204816185499


@given(PIXELS)
def test_a_hash_has_64_bits(pixels):
    assert 0 <= perceptual_hash(pixels) < 2**64
    assert distance(pixels, pixels) == 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("side", [32, 64])
def test_pictures_that_differ_in_one_colour_differ(shape, background, side):
    pictures = [
        draw(
            parse(f"a small {colour} {shape} at the top left on a {background} background"),
            random.Random(0),
            side,
        )
        for colour in COLOURS
    ]
    assert all(distance(*pair) > 0 for pair in itertools.combinations(pictures, 2))


def test_blank_pictures_of_two_colours_differ():
    white, black = (np.full((32, 32, 3), level, np.uint8) for level in (255, 0))
    assert distance(white, black) > 32


def test_small_changes_stay_near_and_other_pictures_far():
    near, far = [], []
    for seed in range(60):
        pixels, rng = drawn(seed), random.Random(seed)
        near.append(distance(pixels, decode(encoded(pixels, "JPEG", quality=90))))
        near.append(distance(pixels, spoil_pixels(pixels, "blur", rng, 0.5)))
        near.append(distance(pixels, spoil_pixels(pixels, "noise", rng, 0.2)))
        far.append(distance(pixels, drawn(seed + 1000)))
    assert np.quantile(near, 0.9) <= 5
    assert np.quantile(far, 0.1) >= 15


def test_the_side_of_a_picture_hardly_matters():
    for seed in range(20):
        large = drawn(seed, side=64)
        small = np.rint(large.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))).astype(np.uint8)
        assert distance(small, large) <= 2


def test_distance_counts_bits():
    assert hash_distance(0b1011, 0b0010) == 2
    assert hash_distance(0, 2**64 - 1) == 64
