"""Drawing scenes and clips as pixels, with optional defects of known kind.

Everything is drawn four times too large and averaged down, so edges are smooth. The natural
variation of a scene (place, extent and tone wander a little) comes from the caller's generator: the
same scene and the same seed give the same pixels.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage

from factory.sandbox.world import (
    BACKGROUNDS,
    COLOURS,
    DIRECTIONS,
    PLACES,
    RELATIONS,
    REVERSED,
    SHAPES,
    SIZES,
    SPEEDS,
    Scene,
    Thing,
)

Pixels = npt.NDArray[np.uint8]  # H W 3
_OVERSAMPLE = 4


def draw_shape(
    canvas: ImageDraw.ImageDraw,
    shape: str,
    x: float,
    y: float,
    extent: float,
    fill: tuple[int, int, int] | int,
) -> None:
    """Draw one shape with centre (x, y) and bounding box side `extent`, in canvas pixels."""
    half = extent / 2
    if shape == "circle":
        canvas.ellipse((x - half, y - half, x + half, y + half), fill=fill)
    elif shape == "square":
        canvas.rectangle((x - half, y - half, x + half, y + half), fill=fill)
    elif shape == "triangle":
        canvas.polygon([(x, y - half), (x + half, y + half), (x - half, y + half)], fill=fill)
    elif shape == "cross":
        arm = extent * 0.17
        canvas.rectangle((x - half, y - arm, x + half, y + arm), fill=fill)
        canvas.rectangle((x - arm, y - half, x + arm, y + half), fill=fill)
    else:
        raise ValueError(f"unknown shape {shape!r}; known: {', '.join(SHAPES)}")


def _wander(colour: tuple[int, int, int], rng: random.Random, by: int) -> tuple[int, int, int]:
    red, green, blue = (max(0, min(255, value + rng.randint(-by, by))) for value in colour)
    return red, green, blue


@dataclass(frozen=True)
class _Placed:
    shape: str
    x: float
    y: float
    extent: float
    fill: tuple[int, int, int]


def _place(scene: Scene, rng: random.Random) -> tuple[tuple[int, int, int], list[_Placed]]:
    background = _wander(BACKGROUNDS[scene.background], rng, 6)
    placed = [
        _Placed(
            thing.shape,
            x + rng.uniform(-0.03, 0.03),
            y + rng.uniform(-0.03, 0.03),
            SIZES[thing.size] * rng.uniform(0.93, 1.07),
            _wander(COLOURS[thing.colour], rng, 10),
        )
        for thing, (x, y) in zip(scene.things, scene.centres(), strict=True)
    ]
    return background, placed


def _render(background: tuple[int, int, int], placed: list[_Placed], side: int) -> Pixels:
    large = side * _OVERSAMPLE
    image = Image.new("RGB", (large, large), background)
    canvas = ImageDraw.Draw(image)
    for one in placed:
        draw_shape(canvas, one.shape, one.x * large, one.y * large, one.extent * large, one.fill)
    return np.asarray(image.resize((side, side), Image.Resampling.BOX), dtype=np.uint8)


def draw(scene: Scene, rng: random.Random, side: int = 32) -> Pixels:
    """Draw `scene` as uint8 pixels [side, side, 3]."""
    return _render(*_place(scene, rng), side)


def draw_clip(
    scene: Scene,
    rng: random.Random,
    side: int = 32,
    num_frames: int = 8,
    defect: str | None = None,
) -> Pixels:
    """Draw a scene as uint8 frames [T, side, side, 3]; its first thing moves, if it has a motion.

    A `defect` is one of `TEMPORAL_DEFECTS`: for a few frames in a row a random thing has another
    colour ("flicker") or shape ("morph") or is gone ("vanish"), or its way is ragged ("jump").
    """
    if defect not in (None, *TEMPORAL_DEFECTS):
        raise ValueError(f"unknown defect {defect!r}; known: {', '.join(TEMPORAL_DEFECTS)}")
    background, placed = _place(scene, rng)
    step_x = step_y = 0.0
    if scene.motion is not None:
        travel = SPEEDS[scene.motion.speed]
        step_x, step_y = (travel * step for step in DIRECTIONS[scene.motion.direction])
    at = rng.randrange(len(placed))
    length = 3 * num_frames // 8
    begin = rng.randint(0, num_frames - length)
    fill = _wander(
        COLOURS[rng.choice([c for c in COLOURS if c != scene.things[at].colour])], rng, 10
    )
    shape = rng.choice([one for one in SHAPES if one != placed[at].shape])
    frames = []
    for index in range(num_frames):
        share = index / max(1, num_frames - 1) - 0.5
        shown = list(placed)
        shown[0] = replace(
            placed[0], x=placed[0].x + step_x * share, y=placed[0].y + step_y * share
        )
        if defect == "jump":
            x, y = (value + rng.uniform(-0.12, 0.12) for value in (shown[at].x, shown[at].y))
            shown[at] = replace(shown[at], x=x, y=y)
        elif defect == "flicker" and begin <= index < begin + length:
            shown[at] = replace(shown[at], fill=fill)
        elif defect == "morph" and begin <= index < begin + length:
            shown[at] = replace(shown[at], shape=shape)
        elif defect == "vanish" and begin <= index < begin + length:
            del shown[at]
        frames.append(_render(background, shown[::-1], side))  # what moves passes before the rest
    return np.stack(frames)


def paths(scene: Scene, rng: random.Random, num_frames: int = 8) -> list[list[tuple[float, float]]]:
    """Where `draw_clip` draws each thing in every frame, without a defect: centres (x, y) as shares
    of the side, for a generator in the same state.
    """
    _, placed = _place(scene, rng)
    way = (0.0, 0.0)
    if scene.motion is not None:
        x, y = DIRECTIONS[scene.motion.direction]
        way = x * SPEEDS[scene.motion.speed], y * SPEEDS[scene.motion.speed]
    shares = [index / max(1, num_frames - 1) - 0.5 for index in range(num_frames)]
    return [
        [
            (one.x + way[0] * share * (at == 0), one.y + way[1] * share * (at == 0))
            for share in shares
        ]
        for at, one in enumerate(placed)
    ]


# --- defects -------------------------------------------------------------------------------------

#: Defects of content change the scene before it is drawn; the caption stays as it was.
CONTENT_DEFECTS = ("colour", "shape", "size", "place", "missing", "extra", "background")
#: Defects of cleanliness change the drawn pixels.
PIXEL_DEFECTS = ("noise", "blur", "blotch")
#: Defects of motion change how the scene of a clip moves; the caption stays as it was.
MOTION_DEFECTS = ("direction", "speed", "still", "mover")
#: Defects of temporal consistency change a thing for some frames of a clip.
TEMPORAL_DEFECTS = ("flicker", "morph", "vanish", "jump")


def spoil_scene(scene: Scene, defect: str, rng: random.Random) -> Scene:
    """`scene` with one content defect of the named kind, at a random thing.

    Where a defect cannot be had (the only thing goes missing, a fourth thing) the scene changes
    in the nearest way that can: "missing" and "extra" fall back to "colour".
    """
    things = list(scene.things)
    at = rng.randrange(len(things))
    thing = things[at]

    def other(options: tuple[str, ...], than: str) -> str:
        return rng.choice([option for option in options if option != than])

    if defect == "missing" and len(things) > 1 and scene.relation is None:
        del things[at]
    elif defect == "extra" and len(things) < 3 and scene.relation is None:
        taken = {one.place for one in things}
        if "center" in taken:  # a corner thing would touch one in the centre: move that first
            things[0] = replace(things[0], size="small")
        free = [place for place in PLACES if place not in taken and place != "center"]
        look = rng.choice(tuple(COLOURS)), rng.choice(SHAPES)
        things.append(Thing(rng.choice(tuple(SIZES)), *look, rng.choice(free)))
    elif defect == "shape":
        things[at] = replace(thing, shape=other(SHAPES, thing.shape))
    elif defect == "size":
        things[at] = replace(thing, size=other(tuple(SIZES), thing.size))
    elif defect == "place" and scene.relation is not None:
        return replace(scene, relation=other(tuple(RELATIONS), scene.relation))
    elif defect == "place":
        taken = {one.place for one in things}
        free = [place for place in PLACES if place not in taken]
        if len(things) > 1:
            free = [place for place in free if place != "center"]
        things[at] = replace(thing, place=rng.choice(free))
    elif defect == "background":
        return replace(scene, background=other(tuple(BACKGROUNDS), scene.background))
    else:
        things[at] = replace(thing, colour=other(tuple(COLOURS), thing.colour))
    return replace(scene, things=tuple(things))


def spoil_motion(scene: Scene, defect: str, rng: random.Random) -> Scene:
    """A moving `scene` with one defect of motion: another direction or speed, none at all, or
    another thing that moves ("mover"; another direction where there is no other thing).
    """
    motion = scene.motion
    if motion is None:
        return scene
    if defect == "still":
        return replace(scene, motion=None)
    if defect == "speed":
        speed = rng.choice([one for one in SPEEDS if one != motion.speed])
        return replace(scene, motion=replace(motion, speed=speed))
    if defect == "mover" and len(scene.things) > 1:
        at = rng.randrange(1, len(scene.things))
        things = [scene.things[at], *scene.things[:at], *scene.things[at + 1 :]]
        relation = REVERSED[scene.relation] if scene.relation is not None else None
        return replace(scene, things=tuple(things), relation=relation)
    direction = rng.choice([one for one in DIRECTIONS if one != motion.direction])
    return replace(scene, motion=replace(motion, direction=direction))


def rebind_scene(scene: Scene, rng: random.Random) -> Scene:
    """`scene` with a binding error: two of its things swap a property, or one takes the other's.

    Generators err in this way most: everything that the caption names is there, at the wrong thing.
    A model that only looks for the named colours and shapes does not see it.
    """
    at, other = rng.sample(range(len(scene.things)), 2)
    fields = rng.choice((("colour",), ("shape",), ("size",), ("size", "colour", "shape")))
    things = list(scene.things)
    taken = {field: getattr(things[other], field) for field in fields}
    given = {field: getattr(things[at], field) for field in fields}
    things[at] = replace(things[at], **taken)
    if rng.random() < 0.6:
        things[other] = replace(things[other], **given)
    return replace(scene, things=tuple(things))


def spoil_pixels(pixels: Pixels, defect: str, rng: random.Random, dose: float = 1.0) -> Pixels:
    """`pixels` [H, W, 3] with one cleanliness defect; a `dose` of 0 is none, 1 is plain to see."""
    noise = np.random.default_rng(rng.getrandbits(64))
    image: npt.NDArray[np.floating] = pixels.astype(np.float32)
    side = pixels.shape[0]
    if defect == "noise":
        image = image + noise.normal(0.0, 25.0 * dose, size=image.shape).astype(np.float32)
    elif defect == "blur":
        blurred = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(side / 32 * 1.2 * dose))
        image = np.asarray(blurred, dtype=np.float32)
    elif defect == "blotch":
        coarse = noise.normal(0.0, 1.0, size=(6, 6, 3))
        field = [
            np.asarray(
                Image.fromarray(coarse[..., c].astype(np.float32)).resize(
                    (side, side), Image.Resampling.BICUBIC
                )
            )
            for c in range(3)
        ]
        image = image + 22.0 * dose * np.stack(field, axis=-1)
    else:
        raise ValueError(f"unknown defect {defect!r}; known: {', '.join(PIXEL_DEFECTS)}")
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def warp_pixels(pixels: Pixels, rng: random.Random, dose: float = 1.0) -> Pixels:
    """`pixels` [H, W, 3] with outlines made lumpy, as a generator draws them.

    Every pixel is taken from a place that a smooth random field moves, by up to about 1.5 px of 32
    at a `dose` of 1.
    """
    side = pixels.shape[0]
    noise = np.random.default_rng(rng.getrandbits(64))
    coarse = noise.normal(0.0, 0.8 * dose * side / 32, size=(2, 8, 8)).astype(np.float32)
    shift = [
        np.asarray(Image.fromarray(axis).resize((side, side), Image.Resampling.BICUBIC))
        for axis in coarse
    ]
    grid = np.mgrid[0:side, 0:side].astype(np.float32) + np.stack(shift)
    channels = [
        ndimage.map_coordinates(pixels[..., c].astype(np.float32), grid, order=1, mode="nearest")
        for c in range(3)
    ]
    warped: Pixels = np.clip(np.rint(np.stack(channels, axis=-1)), 0, 255).astype(np.uint8)
    return warped
