"""Measures: one look from the stored bytes, and the numbers of audits and filters both."""

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest

from factory.bias.observation import measure_candidate, measure_media
from factory.filters import pictures
from factory.filters.pictures import hash_of
from factory.media.clips import encode_clip
from factory.media.measures import measure, measure_answer, still
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
    assert found.is_blank is is_blank(still(media.data)) is False
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


def test_an_answer_is_measured_by_its_words() -> None:
    found = measure_answer("ein rotes Kreuz – groß")
    assert found.num_words == 5
    assert found.num_bytes == len("ein rotes Kreuz – groß".encode())
    assert found.digest == hashlib.sha256("ein rotes Kreuz – groß".encode()).hexdigest()
    length = measure_candidate(Candidate("c", "g@0", 0, answer="ein rotes Kreuz – groß"))["length"]
    assert length == math.log1p(found.num_words)
