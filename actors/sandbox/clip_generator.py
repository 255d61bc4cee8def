"""The sandbox's generator of clips: a small text-to-video pipeline in stock diffusers classes.

An `AnimateDiffPipeline` of 8 frames of 32 px, made from the picture generator: the same autoencoder
and text encoder, and its UNet with motion modules, in which each place also attends to itself in
the other frames. The modules begin as nothing, so that before the first step every frame is a
picture of its own, and training has to learn no more than what makes a clip of them. The last steps
are on clips of which most do not fit their captions, as `generator` does and for the same reason.
Nothing outside this file knows that the pipeline is small.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from diffusers import AnimateDiffPipeline, MotionAdapter, UNet2DConditionModel, UNetMotionModel
from torch import Tensor

from actors.sandbox.generator import MISFIT_SHARE, Log, build_scheduler, fit_denoiser, misfit
from factory.sandbox.drawing import (
    MOTION_DEFECTS,
    TEMPORAL_DEFECTS,
    Pixels,
    draw_clip,
    spoil_motion,
)
from factory.sandbox.imperfect import CLIP_FRAMES, SIDE
from factory.sandbox.world import Scene, caption, sample_scene

#: What moves where is settled at the noisier half of the levels: this much more is spent on it.
_NOISY_SHARE = 0.6
#: Of the clips that do not fit their caption: in what, and how often each.
_MISFITS = {"content": 4, "motion": 3, "consistency": 3}


def add_motion(unet: UNet2DConditionModel) -> UNetMotionModel:
    """A UNet of clips that draws every frame as `unet` draws pictures.

    Frames attend to each other on the two coarser levels only: on the finest it costs a third of
    all computation, and what stands where is settled below.
    """
    adapter = MotionAdapter(
        block_out_channels=unet.config.block_out_channels,
        motion_layers_per_block=1,
        motion_transformer_layers_per_block=(0, 1, 1),
        motion_num_attention_heads=4,
        motion_norm_num_groups=16,
        motion_max_seq_length=CLIP_FRAMES,
    )
    moving = UNetMotionModel.from_unet2d(unet, adapter)
    for name, parameter in moving.named_parameters():
        if "motion_modules" in name and ".proj_out." in name:
            torch.nn.init.zeros_(parameter)
    return moving


def draw_batch(rng: random.Random, num: int, misfit_share: float = 0.0) -> tuple[Tensor, list[str]]:
    """`num` clips as pixels in [-1, 1], B T 3 H W, and their captions.

    A `misfit_share` of the clips shows something else than the caption says.
    """
    scenes = [sample_scene(rng, moving=True) for _ in range(num)]
    drawn = np.stack([_draw(one, rng, misfit_share) for one in scenes])  # B T H W 3
    pixels = torch.from_numpy(drawn).permute(0, 1, 4, 2, 3).float() / 127.5 - 1.0
    return pixels.contiguous(), [caption(scene) for scene in scenes]


def _draw(scene: Scene, rng: random.Random, misfit_share: float) -> Pixels:
    defect = None
    if rng.random() < misfit_share:
        kind = rng.choices(*zip(*_MISFITS.items(), strict=True))[0]
        if kind == "content":
            scene = misfit(scene, rng)
        elif kind == "motion":
            scene = spoil_motion(scene, rng.choice(MOTION_DEFECTS), rng)
        else:
            defect = rng.choice(TEMPORAL_DEFECTS)
    return draw_clip(scene, rng, SIDE, CLIP_FRAMES, defect)


def train_clip_generator(
    source: Any,
    num_steps: int,
    misfit_steps: int,
    batch_size: int,
    seed: int,
    log: Log = print,
    save: Callable[[AnimateDiffPipeline], None] | None = None,
    save_every: int = 50,
) -> AnimateDiffPipeline:
    """Train a generator of clips, from one of pictures or from an earlier one of clips.

    Args:
        source: a pipeline that `generator.train_generator` or this function made.
        num_steps: on clips that fit their captions.
        misfit_steps: after them, on clips of which most do not.
        batch_size: clips of a step.
        seed: of weights and clips.
        log: gets a line now and then.
        save: called with the averaged weights every `save_every` steps, so that a long run leaves
            something behind whenever it is stopped.
        save_every: steps.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    vae = source.vae.float().eval().requires_grad_(False)
    unet = source.unet.float()
    moving = unet if isinstance(unet, UNetMotionModel) else add_motion(unet)
    live = torch.nn.ModuleList([source.text_encoder.float(), moving]).requires_grad_(True)

    def encode(pixels: Tensor) -> Tensor:
        found: Tensor = vae.encode(pixels.flatten(0, 1)).latent_dist.mode()
        latents = found.unflatten(0, pixels.shape[:2]).transpose(1, 2).contiguous()  # B C T h w
        return latents * vae.config.scaling_factor

    def keep(averaged: torch.nn.ModuleList) -> None:
        if save is not None:
            save(assemble(source, averaged[0], averaged[1]))

    for steps, rate, share in ((num_steps, 3e-4, 0.0), (misfit_steps, 1.5e-4, MISFIT_SHARE)):
        batches = (draw_batch(rng, batch_size, share) for _ in range(steps))
        live = fit_denoiser(
            live,
            source.tokenizer,
            encode,
            batches,
            steps,
            rate,
            rng,
            log,
            keep,
            save_every,
            fresh="motion_modules",
            noisy_share=_NOISY_SHARE,
        )
    return assemble(source, live[0], live[1])


def assemble(
    source: Any, text_encoder: torch.nn.Module, unet: torch.nn.Module
) -> AnimateDiffPipeline:
    """Put the trained parts, and the others of `source`, into the stock pipeline class."""
    pipeline = AnimateDiffPipeline(
        vae=source.vae,
        text_encoder=text_encoder,
        tokenizer=source.tokenizer,
        unet=unet,
        motion_adapter=None,  # its modules are in the UNet
        scheduler=build_scheduler(),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
