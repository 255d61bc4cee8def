"""Pictures and clips that do not quite fit their captions, as generators draw them."""

from __future__ import annotations

import random

import numpy as np

from factory.sandbox.drawing import (
    CONTENT_DEFECTS,
    MOTION_DEFECTS,
    PIXEL_DEFECTS,
    TEMPORAL_DEFECTS,
    Pixels,
    draw,
    draw_clip,
    rebind_scene,
    spoil_motion,
    spoil_pixels,
    spoil_scene,
    warp_pixels,
)
from factory.sandbox.world import Scene

SIDE = 32
#: Frames of a drawn clip, and how many of them a judge is shown.
CLIP_FRAMES, SHOWN_FRAMES = 8, 4


def _spoiled(scene: Scene, rng: random.Random) -> Scene:
    """`scene` with up to four content errors, none of them in about a quarter of all cases."""
    for _ in range(rng.choices((0, 1, 2, 3, 4), weights=(0.28, 0.32, 0.2, 0.12, 0.08))[0]):
        if len(scene.things) > 1 and rng.random() < 0.5:
            scene = rebind_scene(scene, rng)
        else:
            scene = spoil_scene(scene, rng.choice(CONTENT_DEFECTS), rng)
    return scene


def imperfect(scene: Scene, rng: random.Random) -> Pixels:
    """Pixels of `scene`, often imperfect as a generator's are.

    Melted together with a spoiled twin of itself (mixed colours, half shapes, faded or ghostly
    things), lumpy, or noisy, blurred, blotched.
    """
    state = rng.getstate()
    pixels = draw(scene, rng, SIDE)
    if rng.random() < 0.5:
        twin = spoil_scene(scene, rng.choice(CONTENT_DEFECTS), rng)
        same_jitter = random.Random()
        same_jitter.setstate(state)
        share = rng.uniform(0.05, 0.5)
        mixed = (1 - share) * pixels + share * draw(twin, same_jitter, SIDE)
        pixels = np.rint(mixed).astype(np.uint8)
    if rng.random() < 0.7:
        pixels = warp_pixels(pixels, rng, dose=rng.uniform(0.2, 1.5))
    if rng.random() < 0.5:
        pixels = spoil_pixels(pixels, rng.choice(PIXEL_DEFECTS), rng, dose=rng.uniform(0.1, 0.9))
    return pixels


#: Share of the clips to learn from in which a thing does not stay as it is: more than a generator
#: would draw, since what is rare is learned late.
_UNSTEADY = 0.5


def imperfect_clip(stated: Scene, rng: random.Random, unsteady: float = 0.3) -> Pixels:
    """A clip of `stated`, uint8 [CLIP_FRAMES, 32, 32, 3], often wrong as a generator's are.

    Wrong in what it shows, in how that moves, or (a share of `unsteady`) in its temporal
    consistency; then perhaps lumpy, noisy, blurred or blotched, all frames alike.
    """
    scene = stated
    for _ in range(rng.choices((0, 1, 2, 3), weights=(0.4, 0.35, 0.17, 0.08))[0]):
        if len(scene.things) > 1 and rng.random() < 0.5:
            scene = rebind_scene(scene, rng)
        else:
            scene = spoil_scene(scene, rng.choice(CONTENT_DEFECTS), rng)
    if rng.random() < 0.5:
        scene = spoil_motion(scene, rng.choice(MOTION_DEFECTS), rng)
    defect = rng.choice(TEMPORAL_DEFECTS) if rng.random() < unsteady else None
    frames = draw_clip(scene, rng, SIDE, CLIP_FRAMES, defect)
    if rng.random() < 0.5:
        dose, seed = rng.uniform(0.2, 1.2), rng.getrandbits(32)
        frames = np.stack([warp_pixels(one, random.Random(seed), dose) for one in frames])
    if rng.random() < 0.4:
        kind, dose, seed = rng.choice(PIXEL_DEFECTS), rng.uniform(0.1, 0.9), rng.getrandbits(32)
        frames = np.stack([spoil_pixels(one, kind, random.Random(seed), dose) for one in frames])
    return frames


def plain(scene: Scene, rng: random.Random) -> Pixels:
    """Pixels of `scene` to ask questions about: a little lumpy or soiled, never wrong."""
    pixels: Pixels = soiled(draw(scene, rng, SIDE)[np.newaxis], rng)[0]
    return pixels


def plain_clip(scene: Scene, rng: random.Random) -> Pixels:
    """The same of a clip, uint8 [CLIP_FRAMES, 32, 32, 3]."""
    return soiled(draw_clip(scene, rng, SIDE, CLIP_FRAMES), rng)


def soiled(frames: Pixels, rng: random.Random) -> Pixels:
    """Frames [T, 32, 32, 3] made a little lumpy or noisy in some cases, all alike."""
    if rng.random() < 0.4:
        dose, seed = rng.uniform(0.2, 0.7), rng.getrandbits(32)
        frames = np.stack([warp_pixels(one, random.Random(seed), dose) for one in frames])
    if rng.random() < 0.3:
        kind, dose, seed = rng.choice(PIXEL_DEFECTS), rng.uniform(0.1, 0.6), rng.getrandbits(32)
        frames = np.stack([spoil_pixels(one, kind, random.Random(seed), dose) for one in frames])
    return frames
