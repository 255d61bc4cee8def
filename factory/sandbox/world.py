"""The sandbox world: scenes of coloured shapes, and the fixed grammar of their captions.

A scene has one to three things. A thing has a size, a colour, a shape and a place; a scene of two
things may state a relation between them ("left of") in place of their two places. `caption` writes
a scene as text and `parse` reads it back, so a caption *is* the ground truth that the oracle
measures a picture against. Motion, for clips, is the last optional part of a caption.
"""

from __future__ import annotations

import itertools
import random
import re
from dataclasses import dataclass, replace

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "orange": (245, 145, 30),
    "yellow": (240, 225, 60),
    "green": (45, 165, 70),
    "cyan": (70, 205, 220),
    "blue": (40, 75, 210),
    "purple": (145, 55, 185),
    "pink": (250, 140, 195),
}
BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "white": (245, 245, 245),
    "grey": (128, 128, 128),
    "black": (15, 15, 15),
}
SHAPES = ("circle", "square", "triangle", "cross")
#: Extent (the longer side of the bounding box) as a share of the picture's side.
SIZES: dict[str, float] = {"small": 0.25, "large": 0.41}
#: Centre of a thing as (x, y) shares of the picture's side, y downwards.
PLACES: dict[str, tuple[float, float]] = {
    "top left": (0.25, 0.25),
    "top right": (0.75, 0.25),
    "bottom left": (0.25, 0.75),
    "bottom right": (0.75, 0.75),
    "center": (0.5, 0.5),
}
#: Relation -> centres of its first and second thing.
RELATIONS: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "left of": ((0.25, 0.5), (0.75, 0.5)),
    "right of": ((0.75, 0.5), (0.25, 0.5)),
    "above": ((0.5, 0.25), (0.5, 0.75)),
    "below": ((0.5, 0.75), (0.5, 0.25)),
}
#: What a relation is, seen from its second thing.
REVERSED = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
#: Direction of a moving thing -> unit step (x, y), y downwards.
DIRECTIONS: dict[str, tuple[int, int]] = {
    "left": (-1, 0),
    "right": (1, 0),
    "up": (0, -1),
    "down": (0, 1),
}
#: Distance travelled over a whole clip, as a share of the picture's side.
SPEEDS: dict[str, float] = {"slowly": 0.15, "fast": 0.40}

#: Words that a mirror changes, in places, relations and directions.
_MIRRORED = {
    "top left": "top right",
    "top right": "top left",
    "bottom left": "bottom right",
    "bottom right": "bottom left",
    "left of": "right of",
    "right of": "left of",
    "left": "right",
    "right": "left",
}
_CORNERS = ("top left", "top right", "bottom left", "bottom right")


class CaptionError(ValueError):
    """A text that is no caption of the sandbox's grammar."""


@dataclass(frozen=True)
class Thing:
    """One coloured shape. `place` is None where the scene states a relation instead."""

    size: str
    colour: str
    shape: str
    place: str | None = None

    @property
    def name(self) -> str:
        return f"{self.size} {self.colour} {self.shape}"


@dataclass(frozen=True)
class Motion:
    """How the first thing of a scene moves through a clip."""

    direction: str
    speed: str


@dataclass(frozen=True)
class Scene:
    """What a picture shows: one to three things on a background."""

    things: tuple[Thing, ...]
    background: str
    relation: str | None = None
    motion: Motion | None = None

    def centres(self) -> tuple[tuple[float, float], ...]:
        """Nominal centre of each thing as (x, y) shares of the picture's side."""
        if self.relation is not None:
            return RELATIONS[self.relation]
        return tuple(PLACES[thing.place or "center"] for thing in self.things)

    def mirror(self) -> Scene:
        """The same scene seen in a mirror: left is right."""
        things = tuple(
            replace(thing, place=_MIRRORED.get(thing.place or "", thing.place))
            for thing in self.things
        )
        relation = _MIRRORED.get(self.relation or "", self.relation)
        motion = self.motion
        if motion is not None:
            motion = replace(motion, direction=_MIRRORED.get(motion.direction, motion.direction))
        return Scene(things, self.background, relation, motion)


def caption(scene: Scene) -> str:
    """Write `scene` in the fixed grammar, e.g. "a small red circle above a large blue cross …"."""
    if scene.relation is not None:
        first, second = scene.things
        body = f"a {first.name} {scene.relation} a {second.name}"
    else:
        parts = []
        for thing in scene.things:
            at = "in the center" if thing.place == "center" else f"at the {thing.place}"
            parts.append(f"a {thing.name} {at}")
        body = " and ".join(parts)
    text = f"{body} on a {scene.background} background"
    if scene.motion is not None:
        text += f" moving {scene.motion.direction} {scene.motion.speed}"
    return text


_ONE_OF = {
    "size": "|".join(SIZES),
    "colour": "|".join(COLOURS),
    "shape": "|".join(SHAPES),
    "place": "|".join(_CORNERS),
    "relation": "|".join(RELATIONS),
}
_THING = rf"a ({_ONE_OF['size']}) ({_ONE_OF['colour']}) ({_ONE_OF['shape']})"
_PLACED = re.compile(rf"{_THING} (?:at the ({_ONE_OF['place']})|in the (center))")
_RELATED = re.compile(rf"{_THING} ({_ONE_OF['relation']}) {_THING}")
_WHOLE = re.compile(
    rf"(?P<body>.+) on a (?P<background>{'|'.join(BACKGROUNDS)}) background"
    rf"(?: moving (?P<direction>{'|'.join(DIRECTIONS)}) (?P<speed>{'|'.join(SPEEDS)}))?"
)


def parse(text: str) -> Scene:
    """Read a caption back into its scene.

    Raises:
        CaptionError: `text` does not follow the grammar.
    """
    whole = _WHOLE.fullmatch(text)
    if whole is None:
        raise CaptionError(f"not a sandbox caption: {text!r}")
    motion = None
    if whole["direction"]:
        motion = Motion(whole["direction"], whole["speed"])
    related = _RELATED.fullmatch(whole["body"])
    if related is not None:
        size1, colour1, shape1, relation, size2, colour2, shape2 = related.groups()
        things = (Thing(size1, colour1, shape1), Thing(size2, colour2, shape2))
        return Scene(things, whole["background"], relation, motion)
    placed = []
    for part in whole["body"].split(" and "):
        match = _PLACED.fullmatch(part)
        if match is None:
            raise CaptionError(f"not a sandbox caption: {text!r} (at {part!r})")
        size, colour, shape, corner, center = match.groups()
        placed.append(Thing(size, colour, shape, corner or center))
    return Scene(tuple(placed), whole["background"], None, motion)


def sample_scene(rng: random.Random, *, moving: bool = False) -> Scene:
    """Draw a random scene; no two of its things share both colour and shape."""
    num_things = rng.choices((1, 2, 3), weights=(0.35, 0.45, 0.20))[0]
    relation = None
    places: list[str | None]
    if num_things == 2 and rng.random() < 0.4:
        relation = rng.choice(tuple(RELATIONS))
        places = [None, None]
    elif num_things == 1:
        places = [rng.choice(tuple(PLACES))]
    else:
        places = list(rng.sample(_CORNERS, num_things))
    looks = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    things = tuple(
        Thing(rng.choice(tuple(SIZES)), colour, shape, place)
        for (colour, shape), place in zip(rng.sample(looks, num_things), places, strict=True)
    )
    motion = None
    if moving:
        motion = Motion(rng.choice(tuple(DIRECTIONS)), rng.choice(tuple(SPEEDS)))
    return Scene(things, rng.choice(tuple(BACKGROUNDS)), relation, motion)


def sample_captions(
    num_captions: int,
    seed: int,
    *,
    exclude: frozenset[str] = frozenset(),
    moving: bool = False,
) -> list[str]:
    """`num_captions` distinct captions, none of them in `exclude`; a function of `seed` alone."""
    rng = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < num_captions:
        text = caption(sample_scene(rng, moving=moving))
        if text not in exclude:
            found[text] = None
    return list(found)


@dataclass(frozen=True)
class Differences:
    """Which elements of a stated scene a shown scene gets wrong.

    things: for each stated thing the wrong ones of "size", "colour", "shape" and "place" (all four
        where the thing is missing; a wrong relation counts as a wrong place of the first thing).
    background: whether the background is wrong.
    num_extra: shown things that were not stated.
    """

    things: tuple[frozenset[str], ...]
    background: bool
    num_extra: int

    @property
    def num_wrong(self) -> int:
        return sum(map(len, self.things)) + int(self.background) + self.num_extra


def differences(stated: Scene, shown: Scene) -> Differences:
    """Compare two scenes element by element, under the matching of things with fewest errors."""
    missing = frozenset({"size", "colour", "shape", "place"})

    def wrong(stated_at: int, shown_at: int | None, relation: str | None) -> frozenset[str]:
        if shown_at is None:
            return missing
        want, got = stated.things[stated_at], shown.things[shown_at]
        fields = {
            name
            for name in ("size", "colour", "shape")
            if getattr(want, name) != getattr(got, name)
        }
        if want.place != got.place:
            fields.add("place")
        if stated.relation != relation and stated_at == 0:
            fields.add("place")
        return frozenset(fields)

    def under(option: tuple[int | None, ...]) -> tuple[frozenset[str], ...]:
        # "a left of b" is "b right of a": seen from the other thing, a relation turns round.
        relation = shown.relation
        if relation is not None and option[0] == 1:
            relation = REVERSED[relation]
        return tuple(wrong(at, slot, relation) for at, slot in enumerate(option))

    slots = [*range(len(shown.things)), *[None] * len(stated.things)]
    options = itertools.permutations(slots, len(stated.things))
    best = min(map(under, options), key=lambda things: sum(map(len, things)))
    num_missing = sum(fields == missing for fields in best)
    num_extra = len(shown.things) - (len(stated.things) - num_missing)
    return Differences(best, stated.background != shown.background, max(0, num_extra))
