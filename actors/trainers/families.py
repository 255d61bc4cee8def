"""How each family of diffusers pipelines turns a pair into tensors, and how its model is called.

    UNet         Stable Diffusion 1, 2, XL, Turbo, LCM; AnimateDiff's for clips
    SD3          Stable Diffusion 3: joint attention, 4-D latents
    Flux         latents packed into tokens, embedded guidance
    Wan          clips: a causal video autoencoder, 5-D latents

The one place that knows them: a further family is a class here and a line in `family_of`. What is
trained is one model, the UNet or the transformer. Which pipelines these are, and what each undoes
before it decodes, `factory.alignment.pipelines` says. Left out: pipelines of two (Wan 2.2),
conditions on pictures, and training of text encoders.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from actors.trainers.learning import Forward
from factory.alignment.pipelines import PIPELINES, PipelineParts, check_parts

#: The attention's projections, as diffusers calls them in all of these models.
TARGETS = ("to_q", "to_k", "to_v", "to_out.0")


class Family:
    """What all have in common.

    part: the pipeline's name for the model that is trained.
    guidance_scale: with which the pipeline draws, for models that are told of it.
    told: more arguments of the call with which it draws, of those in `FOLLOWED`.
    is_video: whether a side is a clip.
    """

    part = "transformer"
    is_video = False

    def __init__(
        self,
        pipeline: Any,
        device: torch.device,
        guidance_scale: float,
        told: Mapping[str, Any],
    ) -> None:
        self.pipeline, self.device, self.guidance_scale = pipeline, device, guidance_scale
        self.told = dict(told)

    @property
    def module(self) -> nn.Module:
        module: nn.Module = getattr(self.pipeline, self.part)
        return module

    def latents(self, frames: Tensor) -> Tensor:
        """uint8 sides [B, T, H, W, 3] -> latents [B, ...] as the model takes them, in float32: the
        mode of the autoencoder's posterior.
        """
        return self._encode(frames[:, 0])

    def condition(self, caption: str, frames: Tensor) -> dict[str, Tensor]:
        """What the model takes beside latents and timestep, each [1, ...]."""
        raise NotImplementedError

    def predict(
        self, model: Forward, noisy: Tensor, timesteps: Tensor, condition: Mapping[str, Tensor]
    ) -> Tensor:
        """The model's prediction, of the shape of `noisy`; here as most transformers are called."""
        predicted: Tensor = model(
            hidden_states=noisy, timestep=timesteps, return_dict=False, **condition
        )[0]
        return predicted

    def shift(self, num_steps: int, latents: Tensor) -> dict[str, Any]:
        """How the pipeline calls its scheduler's `set_timesteps` beside the number of steps."""
        return {}

    def _encode(self, pictures: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] -> [B, C, H', W'], so that what the pipeline does before it decodes
        undoes it.
        """
        vae = self.pipeline.vae
        scaled = _scaled(pictures.to(self.device)).permute(0, 3, 1, 2)
        latents: Tensor = vae.encode(scaled).latent_dist.mode()
        config, undone = vae.config, PIPELINES[_known(self.pipeline)]
        if "shift_factor" in undone:
            latents = latents - (config.shift_factor or 0.0)
        if "latents_mean" in undone and config.latents_mean and config.latents_std:
            latents = (latents - _channels(config.latents_mean, latents)) / _channels(
                config.latents_std, latents
            )
        return latents * config.scaling_factor


class UNet(Family):
    """A UNet with cross-attention: latents [B, C, H, W], or [B, C, T, H, W] with motion."""

    part = "unet"

    @property
    def is_video(self) -> bool:  # type: ignore[override]
        return type(self.module).__name__ in ("UNetMotionModel", "UNet3DConditionModel")

    def latents(self, frames: Tensor) -> Tensor:
        if not self.is_video:
            return super().latents(frames)
        encoded = self._encode(frames.flatten(0, 1))
        return encoded.unflatten(0, frames.shape[:2]).transpose(1, 2).contiguous()

    def condition(self, caption: str, frames: Tensor) -> dict[str, Tensor]:
        pipeline, config = self.pipeline, self.module.config
        skipped = {key: value for key, value in self.told.items() if key == "clip_skip"}
        embeddings = pipeline.encode_prompt(
            prompt=caption,
            device=self.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
            **skipped,
        )
        condition = {"encoder_hidden_states": embeddings[0]}
        if config.addition_embed_type == "text_time":  # XL
            size = tuple(frames.shape[2:4])
            condition["text_embeds"] = embeddings[2]
            condition["time_ids"] = pipeline._get_add_time_ids(
                size,
                (0, 0),
                size,
                embeddings[0].dtype,
                pipeline.text_encoder_2.config.projection_dim,
            )
        if config.get("time_cond_proj_dim") is not None:  # LCM
            condition["timestep_cond"] = pipeline.get_guidance_scale_embedding(
                torch.tensor([self.guidance_scale - 1.0]), embedding_dim=config.time_cond_proj_dim
            )
        return condition

    def predict(
        self, model: Forward, noisy: Tensor, timesteps: Tensor, condition: Mapping[str, Tensor]
    ) -> Tensor:
        words = condition["encoder_hidden_states"]
        if type(self.module).__name__ == "UNetMotionModel":  # its caller repeats them a frame
            words = words.repeat_interleave(noisy.shape[2], dim=0)
        inputs: dict[str, Any] = {"encoder_hidden_states": words}
        if "time_ids" in condition:
            inputs["added_cond_kwargs"] = {
                name: condition[name] for name in ("text_embeds", "time_ids")
            }
        if "timestep_cond" in condition:
            inputs["timestep_cond"] = condition["timestep_cond"]
        predicted: Tensor = model(noisy, timesteps, return_dict=False, **inputs)[0]
        return predicted


class SD3(Family):
    """Stable Diffusion 3: latents [B, C, H, W]."""

    def condition(self, caption: str, frames: Tensor) -> dict[str, Tensor]:
        embeddings, _, pooled, _ = self.pipeline.encode_prompt(
            prompt=caption,
            prompt_2=None,
            prompt_3=None,
            device=self.device,
            do_classifier_free_guidance=False,
            **self.told,
        )
        return {"encoder_hidden_states": embeddings, "pooled_projections": pooled}

    def shift(self, num_steps: int, latents: Tensor) -> dict[str, Any]:
        config = self.pipeline.scheduler.config
        if not config.get("use_dynamic_shifting"):
            return {}
        height, width = (side // self.module.config.patch_size for side in latents.shape[-2:])
        return {"mu": _mu(config, height * width, max_shift=1.16)}


class Flux(Family):
    """Flux: latents packed two by two into tokens [B, H W / 4, 4 C]."""

    def latents(self, frames: Tensor) -> Tensor:
        encoded = self._encode(frames[:, 0])
        packed: Tensor = self.pipeline._pack_latents(encoded, *encoded.shape)
        return packed

    def condition(self, caption: str, frames: Tensor) -> dict[str, Tensor]:
        embeddings, pooled, text_ids = self.pipeline.encode_prompt(
            prompt=caption, prompt_2=None, device=self.device, **self.told
        )
        height, width = (side // self.pipeline.vae_scale_factor // 2 for side in frames.shape[2:4])
        image_ids = self.pipeline._prepare_latent_image_ids(
            1, height, width, self.device, embeddings.dtype
        )
        condition = {
            "encoder_hidden_states": embeddings,
            "pooled_projections": pooled,
            "txt_ids": text_ids[None],
            "img_ids": image_ids[None],
        }
        if self.module.config.guidance_embeds:
            condition["guidance"] = torch.tensor([self.guidance_scale])
        return condition

    def predict(
        self, model: Forward, noisy: Tensor, timesteps: Tensor, condition: Mapping[str, Tensor]
    ) -> Tensor:
        # The positions are the same for the whole batch.
        places = {name: condition[name][0] for name in ("txt_ids", "img_ids")}
        predicted: Tensor = model(
            hidden_states=noisy,
            timestep=timesteps / 1000,
            return_dict=False,
            **{**condition, **places},
        )[0]
        return predicted

    def shift(self, num_steps: int, latents: Tensor) -> dict[str, Any]:
        config = self.pipeline.scheduler.config
        even = {} if config.get("use_flow_sigmas") else {"sigmas": _even_sigmas(num_steps)}
        return {**even, "mu": _mu(config, latents.shape[1], max_shift=1.15)}


class Wan(Family):
    """Wan 2.1: latents [B, C, T', H', W'] of a causal video autoencoder, each channel scaled."""

    is_video = True

    def latents(self, frames: Tensor) -> Tensor:
        vae, num_frames = self.pipeline.vae, frames.shape[1]
        step = self.pipeline.vae_scale_factor_temporal
        if num_frames % step != 1:
            raise ValueError(f"{num_frames} frames; this autoencoder takes {step} k + 1 of them")
        clips = _scaled(frames.to(self.device)).permute(0, 4, 1, 2, 3)
        encoded: Tensor = vae.encode(clips).latent_dist.mode()
        mean, sd = (
            _channels(values, encoded)
            for values in (vae.config.latents_mean, vae.config.latents_std)
        )
        return (encoded - mean) / sd

    def condition(self, caption: str, frames: Tensor) -> dict[str, Tensor]:
        # Padded with zeros that no mask hides: the length is part of what the model sees.
        length = inspect.signature(self.pipeline.__call__).parameters["max_sequence_length"].default
        embeddings, _ = self.pipeline.encode_prompt(
            prompt=caption,
            do_classifier_free_guidance=False,
            max_sequence_length=self.told.get("max_sequence_length", length),
            device=self.device,
        )
        return {"encoder_hidden_states": embeddings}


def family_of(
    pipeline: Any,
    device: torch.device,
    guidance_scale: float = 1.0,
    told: Mapping[str, Any] | None = None,
) -> Family:
    """The family of a loaded pipeline.

    Args:
        pipeline: as diffusers loads it.
        device: of its frozen parts.
        guidance_scale: with which it draws.
        told: of the call with which it draws, what is in `FOLLOWED`.

    Raises:
        ValueError: none that is known here; says which part is not.
    """
    parts = _parts(pipeline)
    check_parts(parts)
    (model,) = {kind for kind in parts.models.values() if kind in FAMILIES}
    return FAMILIES[model](pipeline, device, guidance_scale, told or {})


def _parts(pipeline: Any) -> PipelineParts:
    """What `factory.alignment.pipelines` has to know, of the pipeline itself."""

    def kind(part: str) -> str | None:
        found = getattr(pipeline, part, None)
        return None if found is None else type(found).__name__

    def config(part: str) -> Mapping[str, Any]:
        return getattr(getattr(pipeline, part, None), "config", {})

    models = {part: kind(part) for part in ("unet", "transformer", "transformer_2")}
    return PipelineParts(
        tuple(one.__name__ for one in type(pipeline).__mro__),
        {part: model for part, model in models.items() if model is not None},
        kind("vae"),
        kind("scheduler"),
        pipeline.config,
        config("vae"),
        config("scheduler"),
    )


def _known(pipeline: Any) -> str:
    """The class of `PIPELINES` that it is; of another, `family_of` makes no family."""
    known = _parts(pipeline).known
    assert known is not None
    return known


#: By the class of the model that is trained; `factory.alignment.pipelines` names the same, for
#: those who ask before anything is loaded.
FAMILIES: dict[str, type[Family]] = {
    "FluxTransformer2DModel": Flux,
    "SD3Transformer2DModel": SD3,
    "UNet2DConditionModel": UNet,
    "UNet3DConditionModel": UNet,
    "UNetMotionModel": UNet,
    "WanTransformer3DModel": Wan,
}


def _scaled(pixels: Tensor) -> Tensor:
    return pixels.float() / 127.5 - 1.0


def _channels(values: Sequence[float], latents: Tensor) -> Tensor:
    """A number for each channel, to be taken with latents [B, C, ...]."""
    return torch.tensor(values).to(latents).view(1, -1, *[1] * (latents.ndim - 2))


def _even_sigmas(num_steps: int) -> Any:
    return np.linspace(1.0, 1.0 / num_steps, num_steps)


def _mu(config: Mapping[str, Any], num_tokens: int, max_shift: float) -> float:
    """The shift of a flow that grows with the picture, a straight line through two sizes."""
    fewest = config.get("base_image_seq_len", 256)
    most = config.get("max_image_seq_len", 4096)
    low, high = config.get("base_shift", 0.5), config.get("max_shift", max_shift)
    return float(low + (high - low) * (num_tokens - fewest) / (most - fewest))
