"""Edits move what they say they move, by their dose, and nothing else that can be left alone."""

import io
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from factory.bias.edits import (
    EDITS,
    MAX_FRAMES,
    blank,
    edit_candidate,
    edit_frames,
    edit_pixels,
    lengthen,
    pad,
    unedited,
)
from factory.bias.observation import measure_candidate
from factory.media.clips import decode_clip, describe, write_clip
from factory.media.pictures import ATTRIBUTES, attributes, decode, encode_png, is_blank
from schemas.rows import Candidate, Media

STILLS = [name for name, edit in EDITS.items() if edit.needs == "picture"]


def picture(seed=0, side=48):
    """Soft patches of muted colours: nothing clips."""
    cells = np.random.default_rng(seed).integers(80, 176, (6, 6, 3), dtype=np.uint8)
    return cells.repeat(side // 6, axis=0).repeat(side // 6, axis=1)


def candidate(pixels=None, **changes):
    pixels = picture() if pixels is None else pixels
    media = Media(encode_png(pixels), pixels.shape[1], pixels.shape[0])
    return Candidate("c", "generator@1", 0, media, **changes)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_an_attribute_rises_with_the_dose(name):
    values = [attributes(edit_pixels(picture(), name, dose))[name] for dose in EDITS[name].doses]
    before = attributes(picture())[name]
    assert values == sorted(values)
    assert values[1] < before < values[2]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("brightness", ("contrast", "sharpness")),
        ("contrast", ("brightness",)),
        ("saturation", ("brightness", "contrast", "sharpness")),
        ("sharpness", ("brightness",)),
    ],
)
def test_an_edit_leaves_other_attributes_alone(name, kept):
    before, after = attributes(picture()), attributes(edit_pixels(picture(), name, 1.0))
    for other in kept:
        assert after[other] == pytest.approx(before[other], rel=0.02)


@pytest.mark.parametrize("name", STILLS)
def test_an_edit_is_a_function_of_pixels_and_dose(name):
    pixels = picture(1)
    for dose in EDITS[name].doses:
        edited = edit_pixels(pixels, name, dose)
        assert edited.shape == pixels.shape
        assert edited.dtype == np.uint8
        assert (edited == edit_pixels(pixels, name, dose)).all()
        assert (edited != pixels).any()
    assert (pixels == picture(1)).all()


MIDDLE = np.random.default_rng(4).integers(90, 160, (48, 48, 3), dtype=np.uint8)  # nothing clips


@pytest.mark.parametrize("dose", [-1.0, 0.5])
def test_colour_edits_in_closed_form(dose):
    """Brighter by levels; lightness from its mean and colours from grey by a factor."""
    light = MIDDLE @ np.array([0.299, 0.587, 0.114])
    spread = (np.exp(0.35 * dose) - 1) * (light - light.mean())
    grey = light[..., None]
    for name, wanted in (
        ("brightness", MIDDLE + 30.0 * dose),
        ("contrast", MIDDLE + spread[..., None]),
        ("saturation", grey + np.exp(0.5 * dose) * (MIDDLE - grey)),
    ):
        found = edit_pixels(MIDDLE, name, dose).astype(float)
        assert np.abs(found - np.clip(wanted, 0, 255)).max() <= 0.5 + 1e-6, name


@pytest.mark.parametrize("dose", [-1.0, 0.5])
def test_sharpening_adds_a_share_of_what_blurring_takes(dose):
    blurred = ndimage.gaussian_filter(MIDDLE.astype(float), (1.0, 1.0, 0.0), mode="nearest")
    wanted = np.clip(MIDDLE + 0.8 * dose * (MIDDLE - blurred), 0, 255)
    assert np.abs(edit_pixels(MIDDLE, "sharpness", dose) - wanted).max() <= 0.5 + 1e-6


def test_compression_goes_from_a_quality_of_60_to_one_of_15():
    for dose, quality in ((0.0, 60), (0.5, 38), (1.0, 15)):
        buffer = io.BytesIO()
        Image.fromarray(MIDDLE).save(buffer, "JPEG", quality=quality)
        wanted = np.asarray(Image.open(buffer))
        assert (edit_pixels(MIDDLE, "compression", dose) == wanted).all()


def test_resolution_falls_to_half_of_the_sides():
    wide = MIDDLE[:24]
    for dose, size in ((0.0, (48, 24)), (0.5, (32, 16)), (1.0, (24, 12))):
        small = Image.fromarray(wide).resize(size, Image.Resampling.BOX)
        wanted = np.asarray(small.resize((48, 24), Image.Resampling.BILINEAR))
        assert (edit_pixels(wide, "resolution", dose) == wanted).all()
    assert edit_pixels(MIDDLE[:1, :1], "resolution", 1.0).shape == (1, 1, 3)


def test_words_lie_on_a_dark_band_across_the_lower_edge():
    edited = edit_pixels(MIDDLE, "overlay text", 1.0).astype(int)
    rows, columns = np.nonzero((edited != MIDDLE).any(axis=-1))
    # 0.8 of the width in the middle; a line of twelve letters is about six times wide as tall.
    assert (columns.min(), columns.max()) == (5, 42)
    assert rows.max() == 47
    assert 48 - 38 / 5 < rows.min() < 48 - 38 / 10
    band = edited[rows.min() :, 5:43]
    assert band.min() == 0
    assert band.max() > 120
    assert (band == band[..., :1]).all()  # without any colour
    half = edit_pixels(MIDDLE, "overlay text", 0.5).astype(int)
    assert np.abs(half - (MIDDLE + edited) / 2).max() <= 1
    small = edit_pixels(MIDDLE[:2, :3], "overlay text", 1.0)
    assert small.shape == (2, 3, 3)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "sharpness"])
def test_no_dose_is_no_edit(name):
    assert np.abs(edit_pixels(picture(), name, 0.0).astype(int) - picture()).max() <= 1


@pytest.mark.parametrize("name", ["compression", "resolution", "overlay text"])
def test_a_larger_dose_damages_more(name):
    pixels = np.random.default_rng(2).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    damage = [
        np.square(edit_pixels(pixels, name, dose).astype(float) - pixels).mean()
        for dose in EDITS[name].doses
    ]
    assert 0 < damage[0] < damage[1]


def test_low_motion_stills_a_clip_by_its_dose():
    frames = np.stack([picture(seed) for seed in range(16)])

    def motion(clip):
        return np.abs(np.diff(clip.astype(float), axis=0)).mean()

    half, still = (edit_frames(frames, "low motion", dose) for dose in (0.5, 1.0))
    assert motion(still) == 0
    assert motion(half) == pytest.approx(motion(frames) / 2, rel=0.1)
    assert {one.tobytes() for one in half} < {one.tobytes() for one in frames}  # none is a blend
    brighter = edit_frames(frames, "brightness", 1.0)
    assert (brighter[2] == edit_pixels(frames[2], "brightness", 1.0)).all()


def test_an_answer_is_only_ever_lengthened():
    for answer in ("A dog.", "A brown dog runs. It barks.\n", "It is so. " * 40):
        longer = [lengthen(answer, dose) for dose in EDITS["length"].doses]
        words = [len(one.split()) for one in (answer, *longer)]
        assert words == sorted(set(words))  # each dose adds to the one before
        assert all(one.startswith(answer.rstrip()) for one in longer)
        assert all(b.startswith(a) for a, b in pairwise(longer))
    assert words[-1] == pytest.approx(2 * words[0], abs=8)
    assert pad("A dog.", 0) == "A dog."
    assert edit_candidate(candidate(answer="A dog."), EDITS["padding"], 2.0).answer == pad(
        "A dog.", 2
    )


def test_an_edit_applies_to_what_it_is_for():
    still, spoken = candidate(), candidate(answer="a dog")
    failed = Candidate("c", "g@1", 0, error="out of memory")
    edited = edit_candidate(still, EDITS["brightness"], 1.0)
    assert (decode(edited.media.data) == edit_pixels(picture(), "brightness", 1.0)).all()
    assert edited.candidate_id == "c brightness +1"
    assert edit_candidate(spoken, EDITS["length"], 1.0).answer != "a dog"
    for one, name in (
        (spoken, "brightness"),  # its picture belongs to the question
        (still, "length"),
        (still, "low motion"),
        (failed, "brightness"),
    ):
        assert edit_candidate(one, EDITS[name], 1.0) is None


def test_blank_media_shows_nothing():
    grey = blank(candidate().media)
    assert is_blank(decode(grey.data))
    assert (grey.width, grey.height) == (48, 48)
    grey = blank(Media(b"clip", 48, 48, num_frames=40, fps=20.0))
    assert all(is_blank(frame) for frame in decode_clip(grey.data, 3))
    assert grey == describe(grey.data)
    assert (grey.num_frames, grey.fps) == (MAX_FRAMES, 8.0)


def moving(speed=4, num_frames=6):
    """A clip of a bright square that crosses a picture."""
    frames = np.stack([picture(3)] * num_frames)
    for at in range(num_frames):
        frames[at, 8:20, speed * at : speed * at + 12] = 240
    return Candidate("c", "g@1", 0, write_clip(frames, Media(b"", 48, 48, num_frames, 6.0)))


def test_a_clip_is_edited_frame_by_frame():
    clip = moving()
    start = unedited(clip)
    brighter = edit_candidate(clip, EDITS["brightness"], 1.0)
    assert brighter.media == describe(brighter.media.data)  # size, frames and speed stay
    assert replace(brighter.media, stored=b"") == replace(clip.media, stored=b"")
    before, after = (decode_clip(one.media.data, 6).astype(int) for one in (start, brighter))
    assert np.median(after - before) == pytest.approx(30, abs=2)
    assert start.candidate_id == "c"
    assert unedited(candidate()) == candidate()


def test_motion_falls_with_the_dose_and_other_attributes_stay():
    clip = moving()
    before = measure_candidate(unedited(clip))
    half, still = (
        measure_candidate(edit_candidate(clip, EDITS["low motion"], dose)) for dose in (0.5, 1.0)
    )
    assert before["motion"] > 1.5 * half["motion"] > 3 * still["motion"]
    assert still["motion"] < 0.002
    assert still["brightness"] == pytest.approx(before["brightness"], abs=0.01)
    assert measure_candidate(moving(speed=1))["motion"] < before["motion"]
