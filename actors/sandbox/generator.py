"""The sandbox generator: a small text-to-image diffusion pipeline in stock diffusers classes.

A `StableDiffusionPipeline` of 32-px pictures: a KL autoencoder that halves each side, a text
encoder of two layers, and a UNet of three levels that predicts v with a zero terminal SNR (plain
backgrounds need it). It is trained here from scratch on drawn scenes, long enough to draw most
captions and short enough to get colours, places, shapes and counts wrong: the regime in which
preferences carry signal. Nothing outside this file knows that the pipeline is small.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from actors.sandbox.tokenizer import MAX_PROMPT_TOKENS, build_tokenizer
from factory.sandbox.drawing import draw, spoil_scene
from factory.sandbox.world import Scene, caption, sample_scene

SIDE = 32
_TEXT_WIDTH = 96
#: Share of captions left empty in training, so that classifier-free guidance has its baseline.
_EMPTY_CAPTIONS = 0.1
#: Share of pictures in the last steps that do not fit their caption, and what is wrong with them.
MISFIT_SHARE = 0.7
_MISFITS = {"background": 3, "extra": 2, "missing": 2, "colour": 2, "shape": 1}
_MAX_DECAY = 0.998  # of the averaged weights
_FRESH_RATE = 4.0

Log = Callable[[str], None]


def build_autoencoder() -> AutoencoderKL:
    """An untrained KL autoencoder: [B, 3, 32, 32] pixels <-> [B, 4, 16, 16] latents."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(16, 32),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=SIDE,
        mid_block_add_attention=False,
    )


def build_unet() -> UNet2DConditionModel:
    """An untrained denoiser over [B, 4, 16, 16] latents with cross-attention to the caption."""
    return UNet2DConditionModel(
        sample_size=SIDE // 2,
        in_channels=4,
        out_channels=4,
        block_out_channels=(32, 64, 128),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=_TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def build_text_encoder(tokenizer: PreTrainedTokenizerFast) -> CLIPTextModel:
    """An untrained CLIP text encoder over the sandbox vocabulary."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=_TEXT_WIDTH,
            intermediate_size=2 * _TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=MAX_PROMPT_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_scheduler() -> DDIMScheduler:
    """The sampler, and the noise schedule of training: v-prediction, zero terminal SNR."""
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
    )


def _draw_batch(
    rng: random.Random, num: int, misfit_share: float = 0.0
) -> tuple[Tensor, list[str]]:
    """`num` drawn scenes as pixels in [-1, 1], B 3 H W, and their captions.

    A `misfit_share` of the pictures shows another scene than the caption says.
    """
    scenes: list[Scene] = [sample_scene(rng) for _ in range(num)]
    shown = [misfit(one, rng) if rng.random() < misfit_share else one for one in scenes]
    pixels = np.stack([draw(scene, rng, SIDE) for scene in shown])  # B H W 3
    tensor = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    return tensor.contiguous(), [caption(scene) for scene in scenes]


def misfit(scene: Scene, rng: random.Random) -> Scene:
    """`scene` with one content defect, or two in three cases of ten."""
    for _ in range(1 if rng.random() < 0.7 else 2):
        scene = spoil_scene(scene, rng.choices(*zip(*_MISFITS.items(), strict=True))[0], rng)
    return scene


def train_autoencoder(
    num_steps: int, batch_size: int, seed: int, log: Log = print
) -> AutoencoderKL:
    """Train the autoencoder on drawn scenes; its scaling factor comes from the latents it makes."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    vae = build_autoencoder()
    optimizer = torch.optim.AdamW(vae.parameters(), lr=2e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=num_steps)
    for step in range(num_steps):
        pixels, _ = _draw_batch(rng, batch_size)
        posterior = vae.encode(pixels).latent_dist
        restored = vae.decode(posterior.sample()).sample
        error = F.l1_loss(restored, pixels) + F.mse_loss(restored, pixels)
        loss = error + 1e-5 * posterior.kl().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            log(f"autoencoder step {step} error {error.item():.4f}")
    with torch.no_grad():
        pixels, _ = _draw_batch(rng, 256)
        latents = vae.encode(pixels).latent_dist.mode()
    vae.register_to_config(scaling_factor=float(1.0 / latents.std()))
    return vae.eval().requires_grad_(False)


def train_generator(
    num_steps: int,
    autoencoder_steps: int,
    misfit_steps: int,
    batch_size: int,
    seed: int,
    log: Log = print,
    save: Callable[[StableDiffusionPipeline], None] | None = None,
    save_every: int = 500,
) -> StableDiffusionPipeline:
    """Train the whole pipeline from scratch on drawn scenes.

    The last `misfit_steps` are on captions of which most do not fit their picture, as captions
    gathered from the web do not: the model then draws what it has seen beside such captions, and
    has flaws that preferences can mend. `save` is called with the averaged weights every
    `save_every` steps, so that a long run leaves something behind whenever it is stopped.
    """
    vae = train_autoencoder(autoencoder_steps, batch_size, seed, log)
    torch.manual_seed(seed + 1)
    rng = random.Random(seed + 1)
    tokenizer = build_tokenizer(MAX_PROMPT_TOKENS, closed=True)
    live = torch.nn.ModuleList([build_text_encoder(tokenizer), build_unet()])

    def keep(averaged: torch.nn.ModuleList) -> None:
        if save is not None:
            save(assemble(vae, averaged[0], averaged[1], tokenizer))

    def encode(pixels: Tensor) -> Tensor:
        latents: Tensor = vae.encode(pixels).latent_dist.mode() * vae.config.scaling_factor
        return latents

    for steps, rate, misfit_share in ((num_steps, 6e-4, 0.0), (misfit_steps, 3e-4, MISFIT_SHARE)):
        batches = (_draw_batch(rng, batch_size, misfit_share) for _ in range(steps))
        live = fit_denoiser(
            live, tokenizer, encode, batches, steps, rate, rng, log, keep, save_every
        )
    return assemble(vae, live[0], live[1], tokenizer)


def fit_denoiser(
    live: torch.nn.ModuleList,
    tokenizer: PreTrainedTokenizerFast,
    encode: Callable[[Tensor], Tensor],
    batches: Iterable[tuple[Tensor, list[str]]],
    num_steps: int,
    learning_rate: float,
    rng: random.Random,
    log: Log,
    keep: Callable[[torch.nn.ModuleList], None],
    save_every: int,
    fresh: str | None = None,
    noisy_share: float = 0.0,
) -> torch.nn.ModuleList:
    """Train text encoder and UNet to predict v; returns a copy with the averaged weights.

    Args:
        live: the text encoder and the UNet.
        tokenizer: of captions.
        encode: pixels of a batch -> scaled latents, [B, C, h, w] or, of clips, [B, C, T, h, w].
        batches: pixels as `encode` takes them, and their captions.
        num_steps: how many batches there are.
        learning_rate: its peak.
        rng: leaves some captions empty.
        log: gets a line now and then.
        keep: called with the averaged weights every `save_every` steps.
        save_every: steps.
        fresh: part of the names of weights that begin as nothing beside others that are trained
            already; they learn at `_FRESH_RATE` times the rate.
        noisy_share: share of a batch that is drawn from the noisier half of all levels alone.
    """
    text_encoder, unet = live.train()
    scheduler = build_scheduler()
    averaged = copy.deepcopy(live).requires_grad_(False)
    named = list(live.named_parameters())
    old = [one for name, one in named if fresh is None or fresh not in name]
    new = [one for name, one in named if fresh is not None and fresh in name]
    groups = {learning_rate: old, _FRESH_RATE * learning_rate: new}
    optimizer = torch.optim.AdamW(
        [{"params": some, "lr": rate} for rate, some in groups.items() if some], weight_decay=0.01
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        [rate for rate, some in groups.items() if some],
        total_steps=max(num_steps, 1),
        pct_start=0.05,
    )
    for step, (pixels, captions) in enumerate(batches):
        captions = ["" if rng.random() < _EMPTY_CAPTIONS else text for text in captions]
        with torch.no_grad():
            latents = encode(pixels)
        tokens = tokenizer(captions, padding="max_length", return_tensors="pt").input_ids
        words = text_encoder(tokens).last_hidden_state
        if latents.ndim == 5:  # a UNet of clips takes the words of each frame
            words = words.repeat_interleave(latents.shape[2], dim=0)
        noise = torch.randn_like(latents)
        num_levels = scheduler.config.num_train_timesteps
        timesteps = torch.randint(0, num_levels, (len(latents),))
        is_noisy = torch.rand(len(latents)) < noisy_share
        timesteps[is_noisy] = num_levels // 2 + timesteps[is_noisy] // 2
        noisy = scheduler.add_noise(latents, noise, timesteps)
        target = scheduler.get_velocity(latents, noise, timesteps)
        predicted = unet(noisy, timesteps, words).sample
        loss = F.mse_loss(predicted, target)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(live.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        decay = min(_MAX_DECAY, (step + 1) / (step + 10))
        with torch.no_grad():
            for mean, value in zip(averaged.parameters(), live.parameters(), strict=True):
                mean.lerp_(value, 1.0 - decay)
        if step % 50 == 0:
            log(f"generator step {step} loss {loss.item():.4f}")
        if (step + 1) % save_every == 0:
            keep(averaged)
    return averaged.requires_grad_(True)


def assemble(
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    unet: UNet2DConditionModel,
    tokenizer: PreTrainedTokenizerFast,
) -> StableDiffusionPipeline:
    """Put the trained parts into the stock pipeline class."""
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
