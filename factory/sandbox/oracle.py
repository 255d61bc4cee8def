"""The oracle: how well a picture fits its caption and how clean it is, from pixels alone.

It plays the part of the truth in the sandbox, so it never asks a model and never knows how a
picture was made. Every element of the caption gets a score in [0, 1] that is 0 or 1 where the case
is clear and a ramp between, since pictures drawn by a generator are often half right. Left out:
motion; `clip_oracle` looks at clips, and comes back here with what stays the same in them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from factory.media.pictures import decode
from factory.sandbox.drawing import Pixels
from factory.sandbox.sight import Blob, Sight, look
from factory.sandbox.world import BACKGROUNDS, COLOURS, PLACES, SIZES, Scene, Thing, parse
from schemas.rows import Preference

#: Weights of a thing's elements; they sum to 1.
PRESENCE, COLOUR, SHAPE, SIZE, PLACE = 0.2, 0.25, 0.25, 0.1, 0.2
#: Alignment = THINGS × mean over things + BACKGROUND × background − the price of extra things.
THINGS, BACKGROUND = 0.85, 0.15
EXTRA, MAX_EXTRA = 0.15, 0.3
#: Quality = ALIGNMENT × alignment + CLEAN × clean.
ALIGNMENT, CLEAN = 0.9, 0.1
#: Two qualities that differ by less are called a tie.
ORACLE_TIE = 0.04

# The ramps: a measured value at which an element is certainly wrong (0) and certainly right (1).
_AREA = (0.008, 0.020)  # share of the picture; the smallest thing covers 0.027
_NEARER = (-0.2, 0.2)  # how much nearer the stated colour is than the next, -1 to 1
_OFF_COLOUR = (170.0, 70.0)  # distance from the stated colour that no other colour explains
_FITTER = (-0.03, 0.03)  # how much better the stated shape fits than the next
_FIT = (0.55, 0.75)  # intersection over union with the stated shape
_SIZE_STEP = (0.82, 1.18)  # extent relative to the one half-way between the two sizes
_SIZE_LIMIT = (1.8, 1.35)  # extent beyond the stated one, as a factor, that is neither size
_DISTANCE = (0.24, 0.12)  # from the stated place, in sides; a corner is 0.35 from the center
_APART = (0.05, 0.20)  # how far the first thing lies on its stated side of the second, in sides
_ALONG = (-0.10, 0.10)  # how much further than in the other direction
_KINSHIP = (0.2, 0.5)  # best element at which a blob is the stated thing at all


def ramp(value: float, wrong_right: tuple[float, float]) -> float:
    """0 at a measured value that is certainly wrong, 1 at one that is certainly right."""
    wrong, right = wrong_right
    return min(1.0, max(0.0, (value - wrong) / (right - wrong)))


@dataclass(frozen=True)
class ThingMeasure:
    """How right each element of one stated thing is, 0 to 1; all 0 where the thing is missing.

    Where the caption states a relation, `place` of both things says how right the relation is.
    """

    presence: float
    colour: float
    shape: float
    size: float
    place: float

    @property
    def score(self) -> float:
        return (
            PRESENCE * self.presence
            + COLOUR * self.colour
            + SHAPE * self.shape
            + SIZE * self.size
            + PLACE * self.place
        )


_MISSING = ThingMeasure(0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Measurement:
    """What the oracle found.

    stated: the scene of the caption.
    things: a measure for each stated thing, in order.
    background: how right the background's colour is, 0 to 1.
    num_extra: things seen that the caption does not state.
    clean: 1 for flat colours and sharp edges, falling with noise, blur and blotches.
    """

    stated: Scene
    things: tuple[ThingMeasure, ...]
    background: float
    num_extra: int
    clean: float

    @property
    def alignment(self) -> float:
        """How well the picture fits the caption, 0 to 1."""
        things = sum(thing.score for thing in self.things) / len(self.things)
        extra = min(MAX_EXTRA, EXTRA * self.num_extra)
        return min(1.0, max(0.0, THINGS * things + BACKGROUND * self.background - extra))

    @property
    def quality(self) -> float:
        """Alignment with a little cleanliness, 0 to 1: what a careful annotator goes by."""
        return ALIGNMENT * self.alignment + CLEAN * self.clean

    @property
    def num_wrong(self) -> float:
        """How many elements of the caption are wrong, and extra things; half-wrong ones by their
        share. No element weighs more than another here.
        """
        rights = [
            right
            for thing in self.things
            for right in (thing.colour, thing.shape, thing.size, thing.place)
        ]
        return sum(1.0 - right for right in (*rights, self.background)) + self.num_extra

    def wrong(self) -> list[str]:
        """The wrong elements as short sentences in the sandbox's vocabulary, in caption order."""
        found = []
        for stated, thing in zip(self.stated.things, self.things, strict=True):
            name = f"the {stated.colour} {stated.shape}"
            if thing.presence < 0.5:
                found.append(f"{name} is missing")
                continue
            if thing.colour < 0.5:
                found.append(f"the {stated.shape} should be {stated.colour}")
            if thing.shape < 0.5:
                found.append(f"the {stated.colour} thing should be a {stated.shape}")
            if thing.size < 0.5:
                found.append(f"{name} should be {stated.size}")
            if thing.place < 0.5 and stated.place is not None:
                at = "in the center" if stated.place == "center" else f"at the {stated.place}"
                found.append(f"{name} should be {at}")
        if self.stated.relation is not None and self._is_related_wrongly():
            first, second = (f"the {one.colour} {one.shape}" for one in self.stated.things)
            found.append(f"{first} should be {self.stated.relation} {second}")
        if self.background < 0.5:
            found.append(f"the background should be {self.stated.background}")
        return found + ["extra thing"] * self.num_extra

    def _is_related_wrongly(self) -> bool:
        return self.things[0].place < 0.5 and min(one.presence for one in self.things) >= 0.5


def measure(pixels: Pixels, caption_text: str) -> Measurement:
    """Measure uint8 pixels [S, S, 3], S a multiple of 32, against a caption.

    Raises:
        CaptionError: the text is outside the sandbox's grammar.
        MediaError: `pixels` has another shape or type.
    """
    return compare(parse(caption_text), look(pixels))


def compare(stated: Scene, sight: Sight) -> Measurement:
    """Measure what is seen in a picture against the scene that its caption states."""
    return compare_matched(stated, sight)[0]


def compare_matched(stated: Scene, sight: Sight) -> tuple[Measurement, list[int | None]]:
    """As `compare`, and which blob each stated thing was taken for."""
    matching = _match(stated, sight.blobs)
    things = _measure_things(stated, [None if at is None else sight.blobs[at] for at in matching])
    taken = {at for at, thing in zip(matching, things, strict=True) if thing.presence > 0.0}
    extra = [
        blob
        for at, blob in enumerate(sight.blobs)
        if at not in taken and ramp(blob.area, _AREA) >= 0.5
    ]
    background = _colour_score(sight.background, stated.background, BACKGROUNDS)
    return Measurement(stated, things, background, len(extra), sight.clean), matching


def measure_png(data: bytes, caption_text: str) -> Measurement:
    """Measure an encoded picture against a caption.

    Raises:
        MediaError: the bytes are no picture, or one of another shape.
        CaptionError: the text is outside the sandbox's grammar.
    """
    return measure(decode(data), caption_text)


def prefer(first: Measurement, second: Measurement) -> Preference:
    """Which picture has the higher quality; "tie" where they differ by less than ORACLE_TIE."""
    difference = first.quality - second.quality
    if abs(difference) < ORACLE_TIE:
        return "tie"
    return "first" if difference > 0 else "second"


# --- which blob is which thing -------------------------------------------------------------------


def _match(stated: Scene, blobs: Sequence[Blob]) -> list[int | None]:
    """The blob of each stated thing, or None, that gives the picture the highest score."""
    if stated.relation is not None:
        # The relation belongs to the two together, so ordered pairs of blobs are compared whole.
        slots = [*range(len(blobs)), None, None]
        options = [list(option) for option in itertools.permutations(slots, 2)]
        return max(options, key=lambda option: _total(stated, blobs, option))
    scores = np.array(
        [[_measure_thing(one, blob).score for blob in blobs] for one in stated.things]
    )
    matching: list[int | None] = [None] * len(stated.things)
    if blobs:
        for row, column in zip(*linear_sum_assignment(scores, maximize=True), strict=True):
            matching[int(row)] = int(column)
    return matching


def _total(stated: Scene, blobs: Sequence[Blob], matching: Sequence[int | None]) -> float:
    things = _measure_things(stated, [None if at is None else blobs[at] for at in matching])
    return sum(thing.score for thing in things)


def _measure_things(stated: Scene, blobs: Sequence[Blob | None]) -> tuple[ThingMeasure, ...]:
    place = None
    if stated.relation is not None:
        place = _relation_score(stated.relation, blobs[0], blobs[1])
    return tuple(
        _MISSING if blob is None else _measure_thing(thing, blob, place)
        for thing, blob in zip(stated.things, blobs, strict=True)
    )


# --- elements ------------------------------------------------------------------------------------


def _measure_thing(stated: Thing, blob: Blob, place: float | None = None) -> ThingMeasure:
    """Measure a blob as the stated thing; `place` is the relation's score where there is one."""
    colour = _colour_score(blob.colour, stated.colour, COLOURS)
    shape = _shape_score(blob, stated.shape)
    size = _size_score(blob.extent, stated.size)
    if place is None:
        x, y = PLACES[stated.place or "center"]
        place = ramp(math.dist((blob.x, blob.y), (x, y)), _DISTANCE)
    # A blob that shares nothing with the stated thing is not that thing.
    presence = ramp(blob.area, _AREA) * ramp(max(colour, shape, size, place), _KINSHIP)
    if presence == 0.0:
        return _MISSING
    return ThingMeasure(presence, colour, shape, size, place)


def _colour_score(
    seen: tuple[float, float, float], stated: str, palette: dict[str, tuple[int, int, int]]
) -> float:
    distances = {name: math.dist(seen, one) for name, one in palette.items()}
    own = distances.pop(stated)
    other = min(distances.values())
    return ramp((other - own) / (other + own), _NEARER) * ramp(own, _OFF_COLOUR)


def _shape_score(blob: Blob, stated: str) -> float:
    own = blob.fits[stated]
    other = max(fit for shape, fit in blob.fits.items() if shape != stated)
    return ramp(own - other, _FITTER) * ramp(own, _FIT)


def _size_score(extent: float, stated: str) -> float:
    half_way = (SIZES["small"] * SIZES["large"]) ** 0.5
    is_large = ramp(extent / half_way, _SIZE_STEP)
    right = is_large if stated == "large" else 1.0 - is_large
    factor = max(extent / SIZES[stated], SIZES[stated] / extent)
    return right * ramp(factor, _SIZE_LIMIT)


def _relation_score(relation: str, first: Blob | None, second: Blob | None) -> float:
    if first is None or second is None:
        return 0.0
    right, below = first.x - second.x, first.y - second.y
    along, across = {
        "left of": (-right, below),
        "right of": (right, below),
        "above": (-below, right),
        "below": (below, right),
    }[relation]
    return ramp(along, _APART) * ramp(along - abs(across), _ALONG)
