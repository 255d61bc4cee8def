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
    Pixels,
)
from factory.sandbox.imperfect import (
    _UNSTEADY,
    CLIP_FRAMES,
    SHOWN_FRAMES,
    SIDE,
    _spoiled,
    imperfect,
    imperfect_clip,
)
from factory.sandbox.sight import Sight, look
from factory.sandbox.world import Scene, parse, sample_scene

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


# --- clips ---------------------------------------------------------------------------------------

#: Clips of one caption, of which two at a time are compared.
CLIPS_EACH = 3


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
