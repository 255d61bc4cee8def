"""What can be measured of an output, from the bytes that are stored and from nothing else.

    measures_of                those of a candidate's row, or of what it is
    measure, measure_answer    all of it, from bytes that are unpacked once
    attributes_of, still       the two looks that it consists of, for who needs only one

Audits look at a clip's frames one by one, filters at four of them in one picture. Whoever measures
here gets the numbers that both would come to. Left out: what a judge or a safety checker says.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np

from factory.media.clips import Frames, decode_clip, decode_samples, is_clip
from factory.media.lettering import lettering
from factory.media.pictures import (
    ATTRIBUTES,
    Luma,
    MediaError,
    Pixels,
    attributes,
    decode,
    entropy,
    is_blank,
    luma,
    perceptual_hash,
)
from schemas.rows import Candidate, Measures, Media

#: Frames of a clip whose attributes are looked at, evenly over its time.
_NUM_FRAMES = 8
#: Frames of a clip that make up its still, two by two.
_NUM_STILL = 4


def measures_of(candidate: Candidate) -> Measures | None:
    """What is measured of a candidate: as its row says, where it says so, and else measured now;
    None where there is nothing to measure.

    Raises:
        MediaAwayError: the row says nothing, and only a reference to the medium was read.
    """
    if candidate.measures is not None or candidate.error is not None:
        return candidate.measures
    if candidate.answer is not None:
        return measure_answer(candidate.answer)
    return None if candidate.media is None else _measured(candidate.media)


# The two sides of the pair at hand are measured once, however many objections look at them.
@lru_cache(maxsize=2)
def _measured(media: Media) -> Measures:
    return measure(media)


def measure(media: Media) -> Measures:
    """All that can be measured of a picture or clip; `fault` says why where it shows nothing."""
    data = media.data
    try:
        looks = _looks_at_clip(media) if is_clip(data) else _looks_at_picture(data)
    except MediaError as error:
        looks = {"fault": str(error)}
    return Measures(hashlib.sha256(data).hexdigest(), len(data), **looks)


def measure_answer(answer: str) -> Measures:
    """All that can be measured of an answer to a question."""
    data = answer.encode()
    words = len(answer.split())
    return Measures(hashlib.sha256(data).hexdigest(), len(data), num_words=words)


def attributes_of(media: Media) -> dict[str, float]:
    """Attributes of a picture, or of a clip: then means over its frames, and its motion where it
    has two frames or more.

    text: how much of it is written upon (`factory.media.lettering`).
    motion: mean absolute change of luma from one frame to the next of eight, 0 to 1.

    Raises:
        MediaError: it cannot be read.
    """
    if is_clip(media.data):
        return attributes_of_frames(decode_clip(media.data, _num_looked_at(media)))
    return _of_picture(decode(media.data))


def still(data: bytes) -> Pixels:
    """A picture's pixels [H, W, 3], or four frames of a clip in one picture [2 H, 2 W, 3].

    Raises:
        MediaError: neither can be read.
    """
    return _mosaic(decode_clip(data, _NUM_STILL)) if is_clip(data) else decode(data)


def _looks_at_picture(data: bytes) -> dict[str, Any]:
    pixels = decode(data)
    light = luma(pixels)
    return {**_of_picture(pixels, light), **_of_still(pixels, light)}


def _looks_at_clip(media: Media) -> dict[str, Any]:
    nums = (_num_looked_at(media), _NUM_STILL)
    try:
        frames, four = decode_samples(media.data, nums)
    except MediaError:  # of damaged clips four frames can often be read where eight cannot
        return _of_still(still(media.data))
    return {**attributes_of_frames(frames), **_of_still(_mosaic(four))}


def _num_looked_at(media: Media) -> int:
    return min(media.num_frames, _NUM_FRAMES)


def _of_picture(pixels: Pixels, light: Luma | None = None) -> dict[str, float]:
    light = luma(pixels) if light is None else light
    return {**attributes(pixels, light), "text": lettering(light)}


def attributes_of_frames(frames: Frames) -> dict[str, float]:
    """Attributes of a clip, from those of its frames that are looked at, [T, H, W, 3]."""
    each = [_of_picture(frame) for frame in frames]
    means = {name: float(np.mean([one[name] for one in each])) for name in (*ATTRIBUTES, "text")}
    if len(frames) > 1:
        means["motion"] = float(np.abs(np.diff(luma(frames), axis=0)).mean())
    return means


def _mosaic(frames: Frames) -> Pixels:
    return np.concatenate([np.concatenate(frames[at : at + 2], axis=1) for at in (0, 2)])


def _of_still(pixels: Pixels, light: Luma | None = None) -> dict[str, Any]:
    return {
        "entropy": entropy(pixels, light),
        "signature": perceptual_hash(pixels),
        "is_blank": is_blank(pixels),
    }
