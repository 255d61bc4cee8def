"""Letters are seen by their strokes; textures and large things are not taken for them."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from factory.bias.edits import edit_pixels
from factory.media.lettering import lettering
from factory.media.measures import attributes_of, measure
from factory.media.pictures import encode_png, luma
from schemas.rows import Media


def texture(rng, side=256, power=1.0):
    """Noise whose amplitude falls with the frequency as that of photographs does."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    frequency[0, 0] = 1
    wave = np.fft.ifft2(np.fft.fft2(rng.normal(size=(side, side))) / frequency**power).real
    light = np.clip(0.5 + 0.2 * wave / wave.std(), 0, 1)
    return np.repeat((255 * light).astype(np.uint8)[..., None], 3, axis=2)


def things(side):
    pixels = np.full((side, side, 3), 120, np.uint8)
    pixels[side // 4 : side // 2, side // 8 : side // 3] = (220, 40, 40)
    pixels[side // 2 :, side // 2 : 3 * side // 4] = 10
    return pixels


def railings(side=256):
    pixels = things(side)
    pixels[side // 2 :] = np.where(np.arange(side) // 6 % 2, 200, 60)[None, :, None]
    return pixels


def seen(pixels):
    return lettering(luma(pixels))


RNG = np.random.default_rng(0)
PLAIN = {
    "things": things(256),
    "small things": things(64),
    "noise": np.clip(128 + 40 * RNG.normal(size=(256, 256, 3)), 0, 255).astype(np.uint8),
    "texture": texture(RNG),
    "large texture": texture(RNG, 512, 1.3),
}


@pytest.mark.parametrize("name", PLAIN)
def test_words_across_a_picture_stand_out_from_what_it_shows(name):
    plain = seen(PLAIN[name])
    half, opaque = (seen(edit_pixels(PLAIN[name], "overlay text", dose)) for dose in (0.5, 1.0))
    assert plain < 0.005
    assert plain < half < opaque
    assert opaque > plain + 0.012


def test_railings_are_no_letters():
    assert seen(railings()) == 0


@pytest.mark.parametrize(("words", "size"), [("WHEN YOU SEE IT", 48), ("shutterstock", 36)])
def test_other_words_at_other_places_are_seen(words, size):
    image = Image.fromarray(PLAIN["large texture"])
    font = ImageFont.load_default(size)
    ImageDraw.Draw(image).text((40, 200), words, fill=(255, 255, 255), font=font)
    assert seen(np.asarray(image)) > seen(PLAIN["large texture"]) + 0.003


def test_it_is_measured_with_all_else():
    data = encode_png(edit_pixels(things(128), "overlay text", 1.0))
    media = Media(data, 128, 128)
    assert measure(media).text == attributes_of(media)["text"] > 0.02
    assert seen(np.full((1, 1, 3), 128, np.uint8)) == 0
