import math
import random
from dataclasses import replace

import numpy as np
import pytest

from factory.media.pictures import MediaError, encode_png
from factory.sandbox import oracle, world
from factory.sandbox.drawing import (
    CONTENT_DEFECTS,
    PIXEL_DEFECTS,
    draw,
    rebind_scene,
    spoil_pixels,
    spoil_scene,
    warp_pixels,
)
from factory.sandbox.oracle import (
    ORACLE_TIE,
    Measurement,
    ThingMeasure,
    measure,
    measure_png,
    prefer,
)
from factory.sandbox.sight import look
from tests.benchmarks.oracle_validation import run_trials, share, wrong_elements

SIDES = (32, 64)
NUM = 60
TEXT = (
    "a small red circle at the top left and a large blue cross at the bottom right "
    "on a grey background"
)
RELATED = "a small red circle left of a large blue cross on a white background"


def shown(text, seed=0, side=32):
    return draw(world.parse(text), random.Random(seed), side)


# ------------------------------------------------------------------------------- known defects


@pytest.mark.parametrize("side", SIDES)
def test_a_clean_scene_has_nothing_wrong(side):
    trials = run_trials("none", side, 2 * NUM, seed=1)
    assert share([trial.is_exact for trial in trials]) >= 0.98
    assert share([trial.found.alignment > 0.95 for trial in trials]) >= 0.98
    assert share([trial.found.clean > 0.95 for trial in trials]) >= 0.98
    assert all(not trial.found.wrong() for trial in trials if trial.is_exact)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("defect", CONTENT_DEFECTS)
def test_a_content_defect_is_found_at_its_element(defect, side):
    trials = run_trials(defect, side, NUM, seed=2)
    assert share([trial.is_exact for trial in trials]) >= 0.95
    assert share([trial.is_below for trial in trials]) >= 0.97
    assert all(trial.found.wrong() for trial in trials if trial.is_exact)


@pytest.mark.parametrize("defect", ["colour", "shape", "size", "place"])
def test_a_content_defect_leaves_the_other_elements_alone(defect):
    for trial in run_trials(defect, 32, NUM, seed=3):
        if not trial.is_exact:
            continue
        for at, (thing, twin) in enumerate(zip(trial.found.things, trial.twin.things, strict=True)):
            for element in {"presence", "colour", "shape", "size", "place"} - {defect}:
                assert getattr(thing, element) == pytest.approx(getattr(twin, element), abs=0.35)
            if defect in wrong_elements(trial.found, at):
                assert getattr(thing, defect) < 0.2


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("defect", PIXEL_DEFECTS)
def test_a_pixel_defect_lowers_cleanliness_and_hardly_alignment(defect, side):
    trials = run_trials(defect, side, NUM, seed=4)
    assert share([trial.is_below for trial in trials]) >= 0.95
    assert share([trial.is_exact for trial in trials]) >= 0.95
    assert share([trial.found.clean < trial.twin.clean for trial in trials]) == 1.0
    losses = [trial.twin.alignment - trial.found.alignment for trial in trials]
    assert abs(np.mean(losses)) < 0.01


@pytest.mark.parametrize("defect", PIXEL_DEFECTS)
def test_cleanliness_falls_with_the_dose(defect):
    pixels = shown(TEXT)
    clean = [
        measure(spoil_pixels(pixels, defect, random.Random(0), dose), TEXT).clean
        for dose in (0.0, 0.4, 0.7, 1.0)
    ]
    assert clean == sorted(clean, reverse=True)
    assert clean[0] - clean[-1] > 0.08


def mean_measures(defect):
    """Quality, cleanliness and wrong elements, over a few scenes with one defect."""
    rows = []
    for seed in range(5):
        rng = random.Random(seed)
        stated = seen = world.sample_scene(rng)
        if defect in CONTENT_DEFECTS:
            seen = spoil_scene(stated, defect, rng)
        if defect == "rebound" and len(stated.things) > 1:
            seen = rebind_scene(stated, rng)
        pixels = draw(seen, rng, SIDES[seed % 2])
        if defect in PIXEL_DEFECTS:
            pixels = spoil_pixels(pixels, defect, rng, rng.uniform(0.5, 2.0))
        if defect == "warped":
            pixels = warp_pixels(pixels, rng, 1.5)
        found = measure(pixels, world.caption(stated))
        rows.append((found.quality, found.clean, found.num_wrong))
    return np.mean(rows, axis=0)


@pytest.mark.parametrize(
    ("defect", "measures"),
    [
        ("none", (0.9999, 1.0000, 0.0054)),
        ("colour", (0.8586, 1.0000, 1.0351)),
        ("shape", (0.8589, 1.0000, 1.0215)),
        ("size", (0.9439, 1.0000, 1.0046)),
        ("place", (0.8866, 1.0000, 1.0351)),
        ("missing", (0.7822, 1.0000, 2.2297)),
        ("extra", (0.8774, 1.0000, 1.2297)),
        ("background", (0.8640, 1.0000, 1.0297)),
        ("noise", (0.9331, 0.3307, 0.0000)),
        ("blur", (0.9595, 0.7829, 0.2338)),
        ("blotch", (0.8911, 0.4523, 0.4054)),
        ("rebound", (0.9691, 1.0000, 0.6107)),
        ("warped", (0.9569, 0.8900, 0.5030)),
    ],
)
def test_what_is_measured_of_known_pictures_stays_what_it_is(defect, measures):
    """Labels and every figure of the sandbox rest on the drawing and the oracle: a change of either
    that moves these numbers has to be meant.
    """
    assert mean_measures(defect) == pytest.approx(measures, abs=2e-4)


# -------------------------------------------------------------------------------- single cases


def test_the_order_of_the_caption_does_not_matter():
    first, second = TEXT.removesuffix(" on a grey background").split(" and ")
    turned = f"{second} and {first} on a grey background"
    pixels = shown(TEXT.replace("blue", "pink"))
    one, other = measure(pixels, TEXT), measure(pixels, turned)
    assert one.things == other.things[::-1]
    assert one.quality == pytest.approx(other.quality)


@pytest.mark.parametrize("relation", world.RELATIONS)
@pytest.mark.parametrize("drawn", world.RELATIONS)
def test_a_relation_holds_where_it_is_drawn(relation, drawn):
    stated = RELATED.replace("left of", relation)
    found = measure(shown(RELATED.replace("left of", drawn)), stated)
    assert found.things[0].place == found.things[1].place
    assert (found.things[0].place > 0.95) == (relation == drawn)
    sentence = [f"the red circle should be {relation} the blue cross"]
    assert found.wrong() == ([] if relation == drawn else sentence)


def test_a_relation_needs_both_of_its_things():
    seen = "a small red circle in the center on a white background"
    circle, cross = measure(shown(seen), RELATED).things
    assert circle.colour == circle.shape == circle.size == 1.0
    assert (circle.place, cross.score) == (0.0, 0.0)


def test_a_relation_decides_which_blob_is_which():
    """Colour and shape are exchanged, so each thing is half one blob and half the other."""
    stated = "a small red circle left of a small blue square on a white background"
    seen = "a small blue circle left of a small red square on a white background"
    found = measure(shown(seen), stated)
    assert [thing.place for thing in found.things] == [1.0, 1.0]
    assert found.wrong() == ["the circle should be red", "the square should be blue"]


@pytest.mark.parametrize(
    ("seen", "wrong"),
    [
        (TEXT, []),
        (TEXT.replace("red", "green"), ["the circle should be red"]),
        (TEXT.replace("circle", "square"), ["the red thing should be a circle"]),
        (TEXT.replace("small", "large"), ["the red circle should be small"]),
        (TEXT.replace("top left", "top right"), ["the red circle should be at the top left"]),
        (TEXT.replace("grey", "black"), ["the background should be grey"]),
        (TEXT.split(" and ")[0] + " on a grey background", ["the blue cross is missing"]),
        (
            TEXT.replace(" on a", " and a small pink square at the top right on a"),
            ["extra thing"],
        ),
    ],
)
def test_what_is_wrong_is_said_in_words(seen, wrong):
    assert measure(shown(seen), TEXT).wrong() == wrong


def test_a_blob_that_shares_nothing_is_an_extra_thing():
    stated = "a small red circle at the top left on a grey background"
    found = measure(shown("a large blue cross at the top right on a grey background"), stated)
    assert found.things[0].presence == 0.0
    assert found.num_extra == 1
    assert found.wrong() == ["the red circle is missing", "extra thing"]


def test_nothing_drawn_is_everything_missing():
    found = measure(np.full((32, 32, 3), 245, np.uint8), RELATED)
    assert found.alignment == pytest.approx(oracle.BACKGROUND)
    assert found.clean == 1.0
    assert found.wrong() == ["the red circle is missing", "the blue cross is missing"]


def test_two_colours_that_touch_are_two_things():
    pixels = np.full((32, 32, 3), 245, np.uint8)
    pixels[10:22, 4:16] = world.COLOURS["red"]
    pixels[10:22, 16:28] = world.COLOURS["blue"]
    blobs = sorted(look(pixels).blobs, key=lambda blob: blob.x)
    assert len(blobs) == 2
    assert [max(blob.fits, key=blob.fits.get) for blob in blobs] == ["square", "square"]
    assert math.dist(blobs[0].colour, world.COLOURS["red"]) < 15
    assert math.dist(blobs[1].colour, world.COLOURS["blue"]) < 15


def test_two_things_of_one_colour_that_hang_by_a_thread_are_two():
    pixels = np.full((32, 32, 3), 245, np.uint8)
    pixels[10:20, 3:13] = pixels[10:20, 18:28] = world.COLOURS["red"]
    pixels[14, 13:18] = world.COLOURS["red"]
    blobs = sorted(look(pixels).blobs, key=lambda blob: blob.x)
    assert [blob.shape for blob in blobs] == ["square", "square"]
    assert [blob.x for blob in blobs] == pytest.approx([8 / 32, 23 / 32], abs=0.03)
    pixels[10:20, 13:18] = world.COLOURS["red"]
    assert len(look(pixels).blobs) == 1


def test_a_rim_of_another_colour_makes_no_second_thing():
    pixels = np.full((32, 32, 3), 245, np.uint8)
    pixels[10:22, 10:22] = world.COLOURS["red"]
    pixels[11, 11:15] = world.COLOURS["blue"]  # fewer pixels than a part has
    assert len(look(pixels).blobs) == 1


def test_a_picture_in_a_mirror_is_seen_so():
    pixels = shown(TEXT)
    seen, mirrored = look(pixels), look(np.ascontiguousarray(pixels[:, ::-1]))
    places = [
        sorted((blob.shape, blob.x, blob.y) for blob in sight.blobs)
        for sight in (seen.mirror(), mirrored)
    ]
    for (shape, x, y), (other, other_x, other_y) in zip(*places, strict=True):
        assert shape == other
        assert (x, y) == pytest.approx((other_x, other_y), abs=0.01)


def test_weights_sum_to_one():
    parts = oracle.PRESENCE, oracle.COLOUR, oracle.SHAPE, oracle.SIZE, oracle.PLACE
    assert sum(parts) == pytest.approx(1.0)
    assert (
        pytest.approx(1.0) == oracle.THINGS + oracle.BACKGROUND == oracle.ALIGNMENT + oracle.CLEAN
    )


def test_extra_things_cost_up_to_a_limit():
    perfect = measure(shown(TEXT), TEXT)
    alignments = [
        oracle.Measurement(perfect.stated, perfect.things, 1.0, num, 1.0).alignment
        for num in range(4)
    ]
    losses = [round(alignments[0] - alignment, 6) for alignment in alignments]
    assert losses == [0.0, 0.15, 0.3, 0.3]


def test_close_qualities_are_a_tie():
    good, noisy, bad = (
        measure(pixels, TEXT)
        for pixels in (
            shown(TEXT),
            spoil_pixels(shown(TEXT), "noise", random.Random(0), 0.2),
            shown(TEXT.replace("red", "green")),
        )
    )
    assert abs(good.quality - noisy.quality) < ORACLE_TIE
    assert prefer(good, noisy) == prefer(noisy, good) == "tie"
    assert (prefer(good, bad), prefer(bad, good)) == ("first", "second")


# ------------------------------------------------------------------------------ outer boundaries


def test_a_picture_measures_the_same_from_its_bytes():
    pixels = shown(TEXT)
    assert measure_png(encode_png(pixels), TEXT) == measure(pixels, TEXT)


def test_broken_input_is_refused():
    data = encode_png(shown(TEXT))
    with pytest.raises(MediaError):
        measure_png(data[: len(data) // 2], TEXT)
    with pytest.raises(MediaError):
        measure_png(b"", TEXT)
    with pytest.raises(world.CaptionError):
        measure_png(data, "a photo of a cat")


@pytest.mark.parametrize("shape", [(33, 33, 3), (32, 64, 3), (32, 32, 4), (0, 0, 3), (32, 32)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(MediaError, match="uint8"):
        measure(np.zeros(shape, np.uint8), TEXT)


# But for what earlier tests left open, which is noticed when it is collected, here or elsewhere.
@pytest.mark.filterwarnings("error", "ignore::ResourceWarning")
@pytest.mark.parametrize("side", [32, 64, 96])
def test_any_pixels_can_be_measured(side):
    rng = np.random.default_rng(side)
    for cell in (1, 2, 4, 8, side):
        for values in ([0, 255], np.arange(256)):
            coarse = rng.choice(values, (side // cell, side // cell, 3)).astype(np.uint8)
            pixels = coarse.repeat(cell, axis=0).repeat(cell, axis=1)
            for text in (TEXT, RELATED):
                found = measure(pixels, text)
                assert 0.0 <= found.quality <= 1.0
                assert 0.0 <= found.clean <= 1.0


@pytest.mark.parametrize(("right", "num"), [(0.5, 0), (0.499, 4)])
def test_what_is_half_right_is_not_called_wrong(right, num):
    stated = world.parse(TEXT)
    things = tuple(ThingMeasure(1.0, right, right, right, 1.0) for _ in stated.things[:1])
    rest = tuple(ThingMeasure(1.0, 1.0, 1.0, 1.0, 1.0) for _ in stated.things[1:])
    found = Measurement(stated, things + rest, right, 0, 1.0)
    assert len(found.wrong()) == num
    faint = replace(found, background=1.0, things=(ThingMeasure(right, 1.0, 1.0, 1.0, 1.0), *rest))
    assert [" is missing" in one for one in faint.wrong()] == [True] * (num > 0)


@pytest.mark.parametrize(("height", "width", "num"), [(3, 3, 1), (2, 4, 0)])
def test_nine_pixels_are_a_thing_and_eight_a_speck(height, width, num):
    pixels = np.full((32, 32, 3), 245, np.uint8)
    pixels[10 : 10 + height, 12 : 12 + width] = (220, 40, 40)
    assert [round(1024 * one.area, 3) for one in look(pixels).blobs] == [9.0] * num
