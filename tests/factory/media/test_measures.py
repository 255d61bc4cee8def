"""Measures: one look from the stored bytes, and the numbers of audits and filters both."""

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from factory.bias.observation import measure_candidate, measure_media
from factory.filters import pictures
from factory.filters.pictures import hash_of
from factory.media import measures as looks
from factory.media.clips import decode_clip, encode_clip
from factory.media.measures import all_measures, measure, measure_all, measure_answer, still
from factory.media.pictures import ATTRIBUTES, encode_png, entropy, is_blank
from schemas.rows import Candidate, Measures, Media

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (24, 20, 3), np.uint8)
PICTURE = Media(encode_png(PIXELS), 20, 24)
FRAMES = np.repeat(np.repeat(RNG.integers(0, 256, (11, 3, 4, 3), np.uint8), 8, 1), 8, 2)
CLIP = Media(encode_clip(FRAMES, 6.0), 32, 24, 11, 6.0)
#: Past its first bytes a clip like any other, and cut.
STUMP = replace(CLIP, stored=CLIP.data[:-200])


@pytest.mark.parametrize("media", [PICTURE, CLIP], ids=["picture", "clip"])
def test_measures_are_those_of_audits_and_of_filters(media: Media) -> None:
    candidate = Candidate("c", "g@0", 0, media)
    found = measure(media)
    assert found.digest == hashlib.sha256(media.data).hexdigest()
    assert found.num_bytes == len(media.data)
    attributes = measure_candidate(candidate)
    assert {name: getattr(found, name) for name in attributes} == attributes
    assert set(attributes) == {*ATTRIBUTES, "text", *(["motion"] if media is CLIP else [])}
    assert found.signature == hash_of(candidate)
    assert found.entropy == entropy(still(media.data))
    assert found.is_blank is False
    assert not is_blank(still(media.data))
    assert found.fault is None


def test_a_clip_is_seen_as_four_of_its_frames() -> None:
    assert still(CLIP.data).shape == (48, 64, 3)
    corners = still(CLIP.data).reshape(2, 24, 2, 32, 3).swapaxes(1, 2).reshape(4, 24, 32, 3)
    shown = FRAMES[[1, 4, 6, 9]]
    assert np.abs(corners.astype(int) - shown).mean() < 4


def test_a_clip_of_one_frame_does_not_move() -> None:
    found = measure(Media(encode_clip(FRAMES[:1], 6.0), 32, 24, 1, 6.0))
    assert found.motion is None
    assert found.brightness is not None
    assert found.signature is not None


@pytest.mark.parametrize("media", [Media(b"not a picture", 8, 8), STUMP], ids=["picture", "clip"])
def test_what_cannot_be_read_has_a_fault_and_no_numbers(media: Media) -> None:
    found = measure(media)
    assert found == Measures(
        hashlib.sha256(media.data).hexdigest(), len(media.data), fault=found.fault
    )
    assert found.fault == pictures._fault(Candidate("c", "g@0", 0, media))
    assert measure_media(media) == {}


def test_a_blank_picture_is_said_to_be_blank() -> None:
    assert measure(Media(encode_png(np.full((8, 8, 3), 90, np.uint8)), 8, 8)).is_blank


def _pictures(height: int, width: int) -> list[np.ndarray]:
    """Noise, one colour, one colour but for a few pixels, and letters on soft light."""
    noise = RNG.integers(0, 256, (height, width, 3), np.uint8)
    flat = np.broadcast_to(RNG.integers(0, 256, 3, np.uint8), noise.shape)
    faint = np.where(RNG.random((height, width, 1)) < 0.004, noise, flat)
    soft = Image.fromarray(noise[: -(-height // 16), : -(-width // 16)]).resize((width, height))
    ImageDraw.Draw(soft).text((2, height // 2), "one and two and three", fill=(255, 255, 255))
    return [noise, flat, faint, np.asarray(soft)]


SIZES = [(1, 1), (1, 9), (17, 1), (45, 31), (64, 64), (130, 257), (300, 280)]


def test_pictures_that_are_measured_together_are_measured_as_each_alone() -> None:
    pixels = [one for size in SIZES for _ in range(3) for one in _pictures(*size)]
    media = [Media(encode_png(one), one.shape[1], one.shape[0]) for one in pixels]
    media[30:30] = [CLIP, Media(b"not a picture", 8, 8), STUMP]
    alone = [measure(one) for one in media]
    assert {one.is_blank for one in alone} == {True, False, None}
    assert len({one.text for one in alone}) > 10
    assert measure_all(media) == alone
    order = RNG.permutation(len(media))  # no longer one shape after the other
    assert measure_all([media[at] for at in order]) == [alone[at] for at in order]
    found = replace(alone[0], text=0.5)  # as its row says
    rows = [Candidate("c", "g@0", 0, one) for one in media]
    rows[3] = replace(rows[3], measures=found)
    rows[4] = replace(rows[4], error="lost")
    *measured, of_answer = all_measures([*rows, Candidate("a", "g@0", 0, answer="one two")])
    assert measured == [*alone[:3], found, None, *alone[5:]]
    assert of_answer == measure_answer("one two")


def test_frames_are_looked_at_in_turns_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measure(CLIP)
    monkeypatch.setattr(looks, "_AT_ONCE", 3 * CLIP.width * CLIP.height)
    assert measure(CLIP) == found
    means = [measure(Media(encode_png(one), 32, 24)).sharpness for one in decode_clip(CLIP.data, 8)]
    assert found.sharpness == np.mean(means)


def test_pixels_at_hand_are_taken_for_those_that_are_stored() -> None:
    unread = replace(PICTURE, stored=b"not a picture")
    (found,) = measure_all([unread], [PIXELS])
    expected = measure(PICTURE)
    assert replace(found, digest=expected.digest, num_bytes=expected.num_bytes) == expected


def test_an_answer_is_measured_by_its_words() -> None:
    found = measure_answer("ein rotes Kreuz – groß")
    assert found.num_words == 5
    assert found.num_bytes == len("ein rotes Kreuz – groß".encode())
    assert found.digest == hashlib.sha256("ein rotes Kreuz – groß".encode()).hexdigest()
    length = measure_candidate(Candidate("c", "g@0", 0, answer="ein rotes Kreuz – groß"))["length"]
    assert length == math.log1p(found.num_words)
