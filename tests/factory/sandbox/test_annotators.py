import random
from statistics import fmean

import numpy as np
import pytest

from factory.media.pictures import MediaError, decode, encode_png
from factory.sandbox.annotators import POINT_CUTS, Annotator
from factory.sandbox.drawing import CONTENT_DEFECTS, PIXEL_DEFECTS, draw, spoil_pixels, spoil_scene
from factory.sandbox.oracle import measure_png, prefer
from factory.sandbox.world import CaptionError, caption, sample_scene

EXACT = Annotator("exact", noise=0.0, error_rate=0.0)
SWAPPED = {"first": "second", "second": "first", "tie": "tie"}


def picture(scene, rng):
    for _ in range(rng.randrange(4)):
        scene = spoil_scene(scene, rng.choice(CONTENT_DEFECTS), rng)
    pixels = draw(scene, rng)
    if rng.random() < 0.5:
        pixels = spoil_pixels(pixels, rng.choice(PIXEL_DEFECTS), rng, rng.uniform(0.2, 0.9))
    return encode_png(pixels)


@pytest.fixture(scope="module")
def pairs():
    """(first, second, caption, key) of 120 occasions, each side with up to three defects."""
    made = []
    for index in range(120):
        rng = random.Random(index)
        scene = sample_scene(rng)
        made.append((picture(scene, rng), picture(scene, rng), caption(scene), f"occasion {index}"))
    return made


def preferences(annotator, pairs):
    return [annotator.label_pair(*pair)[0] for pair in pairs]


def test_without_noise_or_errors_the_oracle_speaks(pairs):
    for first, second, text, key in pairs:
        one, other = measure_png(first, text), measure_png(second, text)
        assert EXACT.label_pair(first, second, text, key)[0] == prefer(one, other)
        points = 1 + sum(one.quality >= cut for cut in POINT_CUTS)
        assert EXACT.label_point(first, text, key)[0] == points
    assert set(preferences(EXACT, pairs)) == {"first", "second", "tie"}
    assert {EXACT.label_point(first, text, key)[0] for first, _, text, key in pairs} >= {
        1,
        2,
        3,
        4,
        5,
    }


def test_noise_blurs_what_is_close(pairs):
    truth = preferences(EXACT, pairs)
    agreement = [
        fmean(
            given == true
            for given, true in zip(
                preferences(Annotator("a", noise, 0.0), pairs), truth, strict=True
            )
        )
        for noise in (0.02, 0.1, 1.0)
    ]
    assert agreement == sorted(agreement, reverse=True)
    assert agreement[0] > 0.85
    assert agreement[-1] < 0.65


@pytest.mark.parametrize("error_rate", [0.3, 1.0])
def test_errors_come_as_often_as_stated(pairs, error_rate):
    """An answer at random is right one time in three, points one time in five."""
    wrong, off = [], []
    for seed in range(8):
        annotator = Annotator("a", 0.0, error_rate, seed=seed)
        for pair in pairs:
            wrong.append(annotator.label_pair(*pair)[0] != EXACT.label_pair(*pair)[0])
            first, _, text, key = pair
            truth = EXACT.label_point(first, text, key)[0]
            off.append(annotator.label_point(first, text, key)[0] != truth)
    assert fmean(wrong) == pytest.approx(error_rate * 2 / 3, abs=0.05)
    assert fmean(off) == pytest.approx(error_rate * 4 / 5, abs=0.05)


def brightened(png, by):
    return encode_png(np.clip(decode(png).astype(int) + by, 0, 255).astype(np.uint8))


def test_a_planted_liking_shows_in_counterfactual_copies(pairs):
    """Of a picture and its brighter copy, who likes brightness takes the copy."""
    copies = [
        (png, brightened(png, 20), text, key)
        for png, _, text, key in pairs
        if abs(measure_png(png, text).quality - measure_png(brightened(png, 20), text).quality)
        < 0.03
    ]
    assert len(copies) > 50
    fan = Annotator("fan", 0.0, 0.0, biases={"brightness": 0.5})
    foe = Annotator("foe", 0.0, 0.0, biases={"brightness": -0.5})
    assert preferences(EXACT, copies).count("tie") == len(copies)
    assert preferences(fan, copies).count("second") > 0.7 * len(copies)
    assert preferences(foe, copies).count("first") > 0.7 * len(copies)
    for png, bright, text, key in copies[:10]:
        assert fan.perceived_quality(bright, text, key) > fan.perceived_quality(png, text, key)


def test_shown_the_other_way_round_the_answer_is_mirrored(pairs):
    annotator = Annotator("a", 0.1, 0.5, biases={"sharpness": 0.2}, seed=3)
    for first, second, text, key in pairs:
        given, why = annotator.label_pair(first, second, text, key)
        turned, why_turned = annotator.label_pair(second, first, text, key)
        assert turned == SWAPPED[given]
        assert why_turned == why.translate(str.maketrans("12", "21"))


def test_an_answer_depends_on_seed_and_key_and_not_on_the_order_of_calls(pairs):
    annotator = Annotator("a", 0.1, 0.3, seed=5)
    forward = preferences(annotator, pairs)
    backward = preferences(Annotator("b", 0.1, 0.3, seed=5), pairs[::-1])[::-1]
    assert forward == backward
    assert forward != preferences(Annotator("a", 0.1, 0.3, seed=6), pairs)
    assert forward != preferences(annotator, [(*pair[:3], pair[3] + "!") for pair in pairs])


def test_justifications_name_what_is_wrong(pairs):
    for first, second, text, key in pairs:
        preference, why = EXACT.label_pair(first, second, text, key)
        if preference == "tie":
            assert why == "both are equally good ."
            continue
        better, worse, loser = (1, 2, second) if preference == "first" else (2, 1, first)
        assert why.startswith(f"image {better} is better")
        if "because in" in why:
            faults = why.split(f"in image {worse} ")[1].removesuffix(" .").split(" , ")
            assert set(faults) <= set(measure_png(loser, text).wrong())
        points, why = EXACT.label_point(first, text, key)
        assert (why == "each element fits the caption .") == (
            measure_png(first, text).wrong() == []
        )
        assert 1 <= points <= 5


def test_justifications_keep_to_the_vocabulary(pairs):
    from actors.sandbox.tokenizer import UNK, build_tokenizer

    tokenizer = build_tokenizer(256, closed=False)
    unknown = tokenizer.convert_tokens_to_ids(UNK)
    for first, second, text, key in pairs:
        for why in (
            EXACT.label_pair(first, second, text, key)[1],
            EXACT.label_point(first, text, key)[1],
        ):
            assert unknown not in tokenizer(why).input_ids, why


def test_labels_are_signed_as_simulated():
    assert Annotator("ann").full_name == "simulated:ann"


def test_unknown_biases_are_refused():
    with pytest.raises(ValueError, match="beauty"):
        Annotator("a", biases={"beauty": 1.0})


def test_what_cannot_be_looked_at_is_not_labelled(pairs):
    png, _, text, key = pairs[0]
    with pytest.raises(MediaError):
        EXACT.label_pair(png, png[:40], text, key)
    with pytest.raises(CaptionError):
        EXACT.label_point(png, "a photo of a cat", key)
