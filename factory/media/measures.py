"""What can be measured of an output, from the bytes that are stored and from nothing else.

    measures_of, all_measures    those of candidates' rows, or of what they are
    measure, measure_all         all of it, from bytes that are unpacked once
    measure_answer               the same of an answer
    attributes_of, still         the two looks that it consists of, for who needs only one

Audits look at a clip's frames one by one, filters at four of them in one picture. Whoever measures
here gets the numbers that both would come to. Pictures of one shape are looked at together, since
of small ones the calls cost more than the looks; each has the numbers that it would have alone.
Left out: what a judge or a safety checker says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from factory.media.clips import Frames, decode_clip, decode_samples, is_clip
from factory.media.lettering import lettering
from factory.media.pictures import (
    Luma,
    MediaError,
    Numbers,
    Pixels,
    attributes,
    decode,
    entropy,
    images_of,
    is_blank,
    luma,
    perceptual_hash,
)
from schemas.rows import Candidate, Measures, Media

#: Frames of a clip whose attributes are looked at, evenly over its time.
_NUM_FRAMES = 8
#: Frames of a clip that make up its still, two by two.
_NUM_STILL = 4
#: Pixels that are looked at together. More would not fit into a core's cache beside what is made of
#: them, which costs more than calls do.
_AT_ONCE = 2**16


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


def all_measures(candidates: Sequence[Candidate]) -> list[Measures | None]:
    """As `measures_of` each, their media together.

    Raises:
        MediaAwayError: as of `measures_of`.
    """
    lacking = {
        at: one.media
        for at, one in enumerate(candidates)
        if one.media is not None and (one.measures, one.error, one.answer) == (None, None, None)
    }
    found = dict(zip(lacking, measure_all(list(lacking.values())), strict=True))
    return [found[at] if at in found else measures_of(one) for at, one in enumerate(candidates)]


def measure(media: Media) -> Measures:
    """All that can be measured of a picture or clip; `fault` says why where it shows nothing."""
    return measure_all([media])[0]


def measure_all(
    media: Sequence[Media], shown: Sequence[Pixels | None] | None = None
) -> list[Measures]:
    """As `measure` of each.

    Args:
        media: pictures and clips.
        shown: the pixels [H, W, 3] of pictures, where it is known that their bytes are decoded to
            these; None for others.
    """
    looks: list[dict[str, Any]] = [{} for _ in media]
    waiting: dict[int, Pixels] = {}
    for at, (one, pixels) in enumerate(zip(media, shown or [None] * len(media), strict=True)):
        try:
            if is_clip(one.data):
                looks[at] = _looks_at_clip(one)
                continue
            pixels = decode(one.data) if pixels is None else pixels
        except MediaError as error:
            looks[at] = {"fault": str(error)}
            continue
        if waiting and pixels.shape != next(iter(waiting.values())).shape:
            _look_at(waiting, looks)
            waiting = {}
        waiting[at] = pixels
        is_full = len(waiting) >= _num_together(pixels)
        del pixels  # no large picture is held while the next one is decoded
        if is_full:
            _look_at(waiting, looks)
            waiting = {}
    if waiting:
        _look_at(waiting, looks)
    return [
        Measures(hashlib.sha256(one.data).hexdigest(), len(one.data), **seen)
        for one, seen in zip(media, looks, strict=True)
    ]


def _num_together(pixels: Pixels) -> int:
    *_, height, width, _ = pixels.shape
    return int(max(1, _AT_ONCE // (height * width)))


def _look_at(pictures: dict[int, Pixels], looks: list[dict[str, Any]]) -> None:
    """Note what pictures of one shape look like, each at its place."""
    first, *others = pictures.values()
    pixels = np.stack([first, *others]) if others else first[None]
    light = luma(pixels)
    found = {**_of_pictures(pixels, light), **_of_stills(pixels, light)}
    numbers = zip(*(values.tolist() for values in found.values()), strict=True)
    for at, one in zip(pictures, numbers, strict=True):
        looks[at] = dict(zip(found, one, strict=True))


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
    pixels = decode(media.data)
    return {name: float(value) for name, value in _of_pictures(pixels, luma(pixels)).items()}


def still(data: bytes) -> Pixels:
    """A picture's pixels [H, W, 3], or four frames of a clip in one picture [2 H, 2 W, 3].

    Raises:
        MediaError: neither can be read.
    """
    return _mosaic(decode_clip(data, _NUM_STILL)) if is_clip(data) else decode(data)


def _looks_at_clip(media: Media) -> dict[str, Any]:
    nums = (_num_looked_at(media), _NUM_STILL)
    try:
        frames, four = decode_samples(media.data, nums)
    except MediaError:  # of damaged clips four frames can often be read where eight cannot
        return _of_still(still(media.data))
    return {**attributes_of_frames(frames), **_of_still(_mosaic(four))}


def _num_looked_at(media: Media) -> int:
    return min(media.num_frames, _NUM_FRAMES)


def attributes_of_frames(frames: Frames) -> dict[str, float]:
    """Attributes of a clip, from those of its frames that are looked at, [T, H, W, 3]."""
    light = luma(frames)
    num = _num_together(frames)
    some = [slice(first, first + num) for first in range(0, len(frames), num)]
    each = [_of_pictures(frames[at], light[at]) for at in some]
    means = {name: float(np.concatenate([one[name] for one in each]).mean()) for name in each[0]}
    if len(frames) > 1:
        means["motion"] = float(np.abs(np.diff(light, axis=0)).mean())
    return means


def _of_pictures(pixels: Pixels, light: Luma) -> dict[str, Numbers]:
    """Of pictures of one shape [..., H, W, 3]: [...] of each attribute."""
    return {**attributes(pixels, light), "text": lettering(light)}


def _mosaic(frames: Frames) -> Pixels:
    return np.concatenate([np.concatenate(frames[at : at + 2], axis=1) for at in (0, 2)])


def _of_still(pixels: Pixels) -> dict[str, Any]:
    return {name: value.item() for name, value in _of_stills(pixels, luma(pixels)).items()}


def _of_stills(pixels: Pixels, light: Luma) -> dict[str, npt.NDArray[Any]]:
    """Of pictures of one shape [..., H, W, 3]: [...] of each."""
    images = images_of(pixels)
    return {
        "entropy": entropy(pixels, light),
        "signature": perceptual_hash(pixels, images),
        "is_blank": is_blank(pixels, images),
    }
