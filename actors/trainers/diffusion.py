"""Diffusion-DPO of a text-to-image pipeline with a UNet (Wallace et al., arXiv 2311.12908).

Any diffusers pipeline that has `unet`, `vae`, `scheduler` and `encode_prompt` as Stable Diffusion
1, 2 and XL have them, predicting noise or v. Only the UNet is trained. Both sides of a pair get
the same noise at the same timestep, and so does the frozen reference.

What `beta` multiplies is the difference of *mean* squared errors over all of a latent's elements
(see `factory.losses.diffusion_dpo`): it stands for the paper's beta T omega, where the weight omega
of a timestep is constant. The authors' code halves it: their 5000 is 2500 here. In v-prediction the
error is that of v, whose scale is alike at all timesteps where the noise's would not be.

Flow matching, video, LoRA and training of text encoders are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor, nn

from actors.storage import local_model
from actors.trainers.learning import Model
from factory.losses import diffusion_dpo, squared_error
from factory.media import decode


@dataclass(frozen=True)
class DiffusionDPO:
    """Rows of `schemas.arrow.PAIRS` -> an aligned pipeline.

    policy: directory or hub name of the pipeline that is trained.
    beta: strength of the pull to the reference; see the file's head.
    reference: the pipeline that the policy is held to: what it was before the run, if not given.
    sampler_steps: for few-step models (Turbo), the number of denoising steps they draw with: only
        the sampler's own timesteps are then trained on. All timesteps where not given.
    """

    policy: str
    beta: float
    reference: str | None = None
    sampler_steps: int | None = None

    @property
    def shares(self) -> Mapping[str, float]:
        return {"pairs": 1.0}

    @property
    def key(self) -> str:
        return "pair_id"

    def build(self, device: torch.device, dtype: torch.dtype) -> DiffusionDPOLearner:
        return DiffusionDPOLearner(self, device, dtype)


@dataclass(frozen=True)
class Encoded:
    """A pair as the UNet sees it, on the CPU.

    latents: chosen and rejected, [2, C, H, W].
    condition: what the UNet takes beside latents and timestep, each [1, ...].
    """

    latents: Tensor
    condition: dict[str, Tensor]


class DiffusionDPOLearner:
    """The policy's pipeline and the reference's UNet on one worker."""

    def __init__(self, task: DiffusionDPO, device: torch.device, dtype: torch.dtype) -> None:
        from diffusers import DDPMScheduler, DiffusionPipeline

        self.task, self.device, self.dtype = task, device, dtype
        policy, reference = local_model(task.policy), local_model(task.reference or task.policy)
        self.pipeline = DiffusionPipeline.from_pretrained(policy, use_safetensors=True)
        self.module: nn.Module = self.pipeline.unet.train().requires_grad_(True)
        self.reference = (
            type(self.pipeline.unet)
            .from_pretrained(
                reference,
                subfolder="unet",
                dtype=dtype,
                use_safetensors=True,
            )
            .to(device)
            .eval()
            .requires_grad_(False)
        )
        for part in self._frozen_parts():
            part.to(device).eval().requires_grad_(False)  # float32: fp16 and bf16 break some VAEs
        # The noise schedule of the pipeline, whichever sampler it draws with.
        self.schedule = DDPMScheduler.from_config(self.pipeline.scheduler.config)
        self.prediction = self.schedule.config.prediction_type
        if self.prediction not in ("epsilon", "v_prediction"):
            raise ValueError(f"{task.policy} predicts {self.prediction!r}: not noise and not v")
        self.timesteps = torch.arange(self.schedule.config.num_train_timesteps)
        if task.sampler_steps is not None:
            self.pipeline.scheduler.set_timesteps(task.sampler_steps)
            self.timesteps = self.pipeline.scheduler.timesteps.cpu().round().long()
        self._encoded: dict[str, Encoded] = {}

    def _frozen_parts(self) -> list[nn.Module]:
        parts = self.pipeline.components.values()
        return [one for one in parts if isinstance(one, nn.Module) and one is not self.module]

    # ------------------------------------------------------------------------------------- rows

    def collate(self, rows: Mapping[str, pa.Table]) -> dict[str, Tensor]:
        """Pairs as latents [2B, C, H, W], all chosen before all rejected, and conditions."""
        pairs = [self._encode(row) for row in rows["pairs"].to_pylist()]
        sides = torch.stack([pair.latents for pair in pairs], dim=1)  # 2 B C H W
        names = pairs[0].condition
        batch = {
            name: torch.cat([pair.condition[name] for pair in pairs]).repeat(
                2, *[1] * (pairs[0].condition[name].ndim - 1)
            )
            for name in names
        }
        batch["latents"] = sides.flatten(0, 1)
        return {name: value.to(self.device) for name, value in batch.items()}

    def _encode(self, row: Mapping[str, Any]) -> Encoded:
        """A pair's latents and condition. Made once and kept: autoencoder and text encoders do not
        change. Each pair by itself, so that what it becomes does not depend on its batch.
        """
        key = row["pair_id"]
        if key not in self._encoded:
            media = [row[side]["media"] for side in ("chosen", "rejected")]
            if any(one is None for one in media):
                raise ValueError(f"pair {key} has a side without a picture")
            pixels = torch.stack([torch.from_numpy(decode(one["image"]["bytes"])) for one in media])
            with torch.no_grad():
                self._encoded[key] = Encoded(
                    self._latents(pixels).cpu(),
                    {
                        name: value.to("cpu", self.dtype)
                        for name, value in self._condition(row["prompt"], pixels.shape[1:3]).items()
                    },
                )
        return self._encoded[key]

    def _latents(self, pixels: Tensor) -> Tensor:
        """uint8 pixels [B, H, W, 3] -> scaled latents [B, C, H', W'], the mode of the posterior."""
        vae = self.pipeline.vae
        scaled = pixels.to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        latents = vae.encode(scaled).latent_dist.mode()
        return (latents - (vae.config.shift_factor or 0.0)) * vae.config.scaling_factor

    def _condition(self, caption: str, size: torch.Size) -> dict[str, Tensor]:
        """The caption (and for SDXL the picture's size) as the pipeline encodes it."""
        pipeline = self.pipeline
        embeddings = pipeline.encode_prompt(
            caption, device=self.device, num_images_per_prompt=1, do_classifier_free_guidance=False
        )
        condition = {"encoder_hidden_states": embeddings[0]}
        if self.module.config.addition_embed_type == "text_time":
            condition["text_embeds"] = embeddings[2]
            condition["time_ids"] = pipeline._get_add_time_ids(
                tuple(size),
                (0, 0),
                tuple(size),
                embeddings[0].dtype,
                pipeline.text_encoder_2.config.projection_dim,
            )
        return condition

    # ------------------------------------------------------------------------------------- loss

    def loss(self, model: Model, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and what to watch:

        accuracy, margin: of the implicit reward.
        shift_chosen, shift_rejected: by how much the policy is worse than the reference on each
            side. DPO is content when both grow, if only the second grows faster; a user is not.
        drift: mean squared difference of the two predictions.
        """
        latents = batch["latents"]
        num = len(latents) // 2
        # Drawn on the CPU: a seed then means the same noise on any device. One draw for both sides.
        noise = torch.randn(num, *latents.shape[1:]).to(self.device).repeat(2, 1, 1, 1)
        drawn = self.timesteps[torch.randint(len(self.timesteps), (num,))]
        timesteps = drawn.to(self.device).repeat(2)
        noisy = self.schedule.add_noise(latents, noise, timesteps)
        target = noise
        if self.prediction == "v_prediction":
            target = self.schedule.get_velocity(latents, noise, timesteps)
        inputs = _unet_inputs(batch, noisy.to(self.dtype), timesteps)
        with torch.no_grad():
            by_reference = self.reference(**inputs)[0]
        predicted = model(**inputs)[0]
        chosen, rejected = squared_error(predicted, target).split(num)
        ref_chosen, ref_rejected = squared_error(by_reference, target).split(num)
        found = diffusion_dpo(chosen, rejected, ref_chosen, ref_rejected, self.task.beta)
        with torch.no_grad():
            scalars = {
                "accuracy": found.accuracy,
                "margin": found.margin,
                "shift_chosen": (chosen - ref_chosen).mean(),
                "shift_rejected": (rejected - ref_rejected).mean(),
                "drift": squared_error(predicted, by_reference).mean(),
            }
        return found.loss, scalars

    def save(self, directory: Path) -> None:
        """The whole pipeline, with the trained UNet, for `DiffusionPipeline.from_pretrained`."""
        self.pipeline.to("cpu").save_pretrained(directory, safe_serialization=True)


def _unet_inputs(batch: Mapping[str, Tensor], noisy: Tensor, timesteps: Tensor) -> dict[str, Any]:
    inputs: dict[str, Any] = {
        "sample": noisy,
        "timestep": timesteps,
        "encoder_hidden_states": batch["encoder_hidden_states"],
        "return_dict": False,
    }
    if "time_ids" in batch:
        inputs["added_cond_kwargs"] = {key: batch[key] for key in ("text_embeds", "time_ids")}
    return inputs
