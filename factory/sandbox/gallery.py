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

from factory.sandbox.drawing import (
    CONTENT_DEFECTS,
    PIXEL_DEFECTS,
    Pixels,
    draw,
    rebind_scene,
    spoil_pixels,
    spoil_scene,
    warp_pixels,
)
from factory.sandbox.sight import Sight, look
from factory.sandbox.world import Scene, parse, sample_scene

SIDE = 32
#: Pictures of one caption, of which two at a time are compared.
PICTURES_EACH = 4


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
    for text in captions:
        images = pipeline(
            text,
            num_images_per_prompt=PICTURES_EACH,
            num_inference_steps=8,
            guidance_scale=1.0,
            generator=noise,
            output_type="np",
        ).images
        yield Series.of(parse(text), list(np.rint(images * 255).astype(np.uint8)))


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
