"""Pictures to learn from, and what can be seen in each: the pretraining data of the sandbox base.

What a picture shows is what can be seen in it, not what somebody meant to draw: a cross whose arms
have melted away is no cross any more, whoever drew it. So the truth of every picture here is the
oracle's sight of its pixels. Half of the gallery is drawn and then spoiled, melted, warped or
blurred; the other half is drawn by the sandbox generator, which errs in ways of its own. None of
the captions is in a shipped prompts file if the caller excludes them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from factory.sandbox.clip_oracle import ClipSight, watch
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
from factory.sandbox.sight import Sight, look
from factory.sandbox.world import Scene, parse, sample_scene

SIDE = 32
#: Pictures of one caption, of which two at a time are compared.
PICTURES_EACH = 4
_CAPTIONS_AT_ONCE = 4


@dataclass(frozen=True)
class Series:
    """Pictures of one caption, as a group of candidates is.

    stated: the scene of the caption.
    pictures: uint8 [32, 32, 3] each.
    sights: what can be seen in each.
    """

    stated: Scene
    pictures: tuple[Pixels, ...]
    sights: tuple[Sight, ...]

    @classmethod
    def of(cls, stated: Scene, pictures: Sequence[Pixels]) -> Series:
        return cls(stated, tuple(pictures), tuple(look(one) for one in pictures))

    def mirror(self) -> Series:
        """The same with left and right exchanged, in pictures and caption alike."""
        return Series(
            self.stated.mirror(),
            tuple(np.ascontiguousarray(one[:, ::-1]) for one in self.pictures),
            tuple(one.mirror() for one in self.sights),
        )


def drawn(num_series: int, seed: int) -> Iterator[Series]:
    """Series of drawn pictures, most of them wrong or imperfect in some way."""
    rng = random.Random(seed)
    for _ in range(num_series):
        stated = sample_scene(rng)
        yield Series.of(
            stated, [imperfect(_spoiled(stated, rng), rng) for _ in range(PICTURES_EACH)]
        )


def generated(pipeline: Any, captions: Sequence[str], seed: int) -> Iterator[Series]:
    """Series of pictures that a diffusion pipeline draws, in 8 steps and without guidance.

    Args:
        pipeline: a text-to-image pipeline of 32-px pictures.
        captions: of the sandbox's grammar; one series for each.
        seed: of the noise.
    """
    noise = torch.Generator().manual_seed(seed)
    for start in range(0, len(captions), _CAPTIONS_AT_ONCE):
        texts = list(captions[start : start + _CAPTIONS_AT_ONCE])
        images = pipeline(
            texts,
            num_images_per_prompt=PICTURES_EACH,
            num_inference_steps=8,
            guidance_scale=1.0,
            generator=noise,
            output_type="np",
        ).images
        pixels = np.rint(images * 255).astype(np.uint8)
        for text, some in zip(texts, pixels.reshape(len(texts), -1, SIDE, SIDE, 3), strict=True):
            yield Series.of(parse(text), list(some))


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


# --- clips ---------------------------------------------------------------------------------------

#: Frames of a drawn clip, and how many of them a judge is shown.
CLIP_FRAMES, SHOWN_FRAMES = 8, 4
#: Clips of one caption, of which two at a time are compared.
CLIPS_EACH = 3
#: Share of the clips to learn from in which a thing does not stay as it is: more than a generator
#: would draw, since what is rare is learned late.
_UNSTEADY = 0.5


@dataclass(frozen=True)
class ClipSeries:
    """Clips of one caption.

    stated: the scene of the caption, with its motion.
    clips: uint8 [SHOWN_FRAMES, 32, 32, 3] each, every other frame of a drawn clip.
    sights: what can be seen in each.
    """

    stated: Scene
    clips: tuple[Pixels, ...]
    sights: tuple[ClipSight, ...]

    def mirror(self) -> ClipSeries:
        """The same with left and right exchanged."""
        return ClipSeries(
            self.stated.mirror(),
            tuple(np.ascontiguousarray(one[:, :, ::-1]) for one in self.clips),
            tuple(one.mirror() for one in self.sights),
        )


def drawn_clips(num_series: int, seed: int) -> Iterator[ClipSeries]:
    """Series of drawn clips, most of them wrong or imperfect in some way."""
    rng = random.Random(seed)
    for _ in range(num_series):
        stated = sample_scene(rng, moving=True)
        clips, sights = [], []
        for _ in range(CLIPS_EACH):
            frames = imperfect_clip(stated, rng, _UNSTEADY)
            phase = rng.randrange(2)
            shown = range(phase, CLIP_FRAMES, CLIP_FRAMES // SHOWN_FRAMES)
            clips.append(frames[list(shown)])
            sights.append(watch(clips[-1], [at / (CLIP_FRAMES - 1) for at in shown]))
        yield ClipSeries(stated, tuple(clips), tuple(sights))


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
