"""Diffusion-DPO of a text-to-image or text-to-video pipeline (Wallace et al., arXiv 2311.12908).

Any diffusers pipeline of a family in `families`, predicting noise, v or a flow's velocity. Only its
UNet or transformer is trained: all of it, beside a frozen copy, or adapters, whose reference is the
same model with them off. Both sides of a pair get the same noise at the same timestep, and so does
the reference.

What `beta` multiplies is the difference of *mean* squared errors over all of a latent's elements
(see `factory.alignment.losses.diffusion_dpo`): it stands for the paper's beta T omega, where the
weight omega of a timestep is constant. The authors' code halves it: their 5000 is 2500 here. In
v-prediction and in a flow the error is that of v, whose scale is alike at all timesteps where the
noise's would not be.

Training of text encoders is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor, nn

from actors.calling import call_arguments
from actors.storage import local_model
from actors.trainers.adapters import (
    adapter_weights,
    adapters_off,
    add_adapters,
    merge_adapters,
)
from actors.trainers.cache import Cache
from actors.trainers.families import TARGETS, Family, family_of
from actors.trainers.learning import Forward
from actors.trainers.noising import Noising, noising
from actors.trust import trusted
from factory.alignment.losses import Objective, diffusion_dpo, squared_error
from factory.alignment.pipelines import FOLLOWED
from factory.alignment.weighting import ALIKE, Weighting
from factory.media.clips import decode_clip, decode_still
from factory.media.pictures import encode_png
from factory.prompt_parts import PartsError, check_needs, needs_of
from schemas.arrow import prompt_from_row
from schemas.recipe import Lora

#: The largest mean margin, in nats, that rounding may leave between a policy and itself.
_MAX_FIRST_MARGIN = 0.01


@dataclass(frozen=True)
class DiffusionDPO:
    """Rows of `schemas.arrow.PAIRS` -> an aligned pipeline.

    policy: directory or hub name of the pipeline that is trained.
    objective: the member of the DPO family; see the file's head for what beta means.
    weighting: how much each pair counts.
    reference: the pipeline that the policy is held to: what it was before the run, if not given.
    sampler_steps: for few-step models (Turbo), the number of denoising steps they draw with: only
        the sampler's own timesteps are then trained on. All timesteps where not given.
    guidance_scale: with which it draws, for models that are told of it (LCM, Flux).
    lora: the adapters; all weights are trained where not given.
    gradient_checkpointing: compute activations again in the backward pass.
    cache_gb: memory for latents and text embeddings.
    trust_remote_code: run the code that comes with the policy.
    revision: commit of a policy that is a hub's; its main branch where not given.
    call: more arguments of the call with which it draws.
    variant: of the policy's weights, where those without one are not loaded.
    """

    policy: str
    objective: Objective
    weighting: Weighting = ALIKE
    reference: str | None = None
    sampler_steps: int | None = None
    guidance_scale: float = 1.0
    lora: Lora | None = None
    gradient_checkpointing: bool = False
    cache_gb: float = 4.0
    trust_remote_code: bool = False
    revision: str | None = None
    call: Mapping[str, Any] = field(default_factory=dict)
    variant: str | None = None

    @property
    def shares(self) -> Mapping[str, float]:
        return {"pairs": 1.0}

    @property
    def key(self) -> str:
        return "pair_id"

    def build(self, device: torch.device, dtype: torch.dtype) -> DiffusionDPOLearner:
        return DiffusionDPOLearner(self, device, dtype)


class DiffusionDPOLearner:
    """The policy's pipeline and its reference on one worker."""

    def __init__(self, task: DiffusionDPO, device: torch.device, dtype: torch.dtype) -> None:
        from diffusers import DiffusionPipeline

        self.task, self.device, self.dtype = task, device, dtype
        policy = local_model(task.policy)
        self.pipeline = DiffusionPipeline.from_pretrained(
            policy,
            revision=task.revision,
            variant=task.variant,
            use_safetensors=True,
            trust_remote_code=trusted(task.policy, task.trust_remote_code),
        )
        told = {key: value for key, value in task.call.items() if key in FOLLOWED}
        try:
            self.family: Family = family_of(self.pipeline, device, task.guidance_scale, told)
        except ValueError as error:
            raise ValueError(f"{task.policy}: {error}") from error
        self.module: nn.Module = self.family.module.train().requires_grad_(True)
        self.reference: nn.Module | None = None
        if task.lora is not None:
            if task.reference is not None:
                raise ValueError("with adapters the reference is the policy without them")
            add_adapters(self.module, task.lora, TARGETS)
        else:
            self.reference = self._load_reference()
        if task.gradient_checkpointing:
            self.module.enable_gradient_checkpointing()
        for part in self._frozen_parts():
            part.to(device).eval().requires_grad_(False)  # float32: fp16 and bf16 break some VAEs
        self._noising: Noising | None = None
        self._cache = Cache(int(task.cache_gb * 1e9))

    def _load_reference(self) -> nn.Module:
        is_policy = self.task.reference is None
        reference: nn.Module = type(self.module).from_pretrained(
            local_model(self.task.reference or self.task.policy),
            revision=self.task.revision if is_policy else None,
            variant=self.task.variant if is_policy else None,
            subfolder=self.family.part,
            dtype=self.dtype,
            use_safetensors=True,
        )
        # All of it in the dtype of the steps, as DeepSpeed casts the policy: some models load with
        # norms in float32 all the same, and the two would not agree before the first step.
        for one in (*reference.parameters(), *reference.buffers()):
            if one.is_floating_point():
                one.data = one.data.to(self.dtype)
        return reference.to(self.device).eval().requires_grad_(False)

    def _frozen_parts(self) -> list[nn.Module]:
        parts = self.pipeline.components.values()
        return [one for one in parts if isinstance(one, nn.Module) and one is not self.module]

    def noising(self, latents: Tensor) -> Noising:
        """The levels of noise, of which some schedulers have others for larger pictures; all pairs
        of a run are of one size.
        """
        if self._noising is None:
            scheduler, steps = self.pipeline.scheduler, self.task.sampler_steps
            shift = self.family.shift(steps or scheduler.config.num_train_timesteps, latents)
            self._noising = noising(scheduler, steps, **shift)
        return self._noising

    # ------------------------------------------------------------------------------------- rows

    def collate(self, rows: Mapping[str, pa.Table]) -> dict[str, Tensor]:
        """Pairs as latents [2B, ...], all chosen before all rejected, with their conditions, and
        the pairs' weights [B].
        """
        table = rows["pairs"].to_pylist()
        pairs = [self._cache.get(row["pair_id"], partial(self._encode, row)) for row in table]
        batch = {
            name: torch.cat([pair[name] for pair in pairs]).repeat(
                2, *[1] * (pairs[0][name].ndim - 1)
            )
            for name in pairs[0]
            if name != "latents"
        }
        sides = torch.stack([pair["latents"] for pair in pairs], dim=1)  # 2 B ...
        batch["latents"] = sides.flatten(0, 1)
        weights = [
            row["weight"] * self.task.weighting(row["margin"], row["margin_sd"]) for row in table
        ]
        batch["weights"] = torch.tensor(weights)
        return {name: value.to(self.device) for name, value in batch.items()}

    @torch.no_grad()
    def _encode(self, row: Mapping[str, Any]) -> dict[str, Tensor]:
        """A pair's latents [2, ...] and its condition. Autoencoder and text encoders do not change,
        so it is made once; each pair by itself, so that it does not depend on its batch.
        """
        key = row["pair_id"]
        sides = [_frames(row[side]["media"], key) for side in ("chosen", "rejected")]
        if sides[0].shape != sides[1].shape:
            shapes = " and ".join(str(tuple(side.shape)) for side in sides)
            raise ValueError(f"pair {key} has sides of different sizes: {shapes}")
        frames = torch.stack(sides)
        if (frames.shape[1] > 1) != self.family.is_video:
            raise ValueError(
                f"pair {key} has sides of {frames.shape[1]} frame(s), but {self.task.policy} "
                f"draws {'clips' if self.family.is_video else 'pictures'}"
            )
        try:
            latents = self.family.latents(frames)
        except ValueError as error:
            raise ValueError(f"pair {key}: {error}") from error
        try:
            check_needs(needs_of(prompt_from_row(row)), (), "training a pipeline")
        except PartsError as error:
            raise ValueError(f"pair {key}: {error}") from error
        condition = self.family.condition(row["prompt"], frames)
        return {
            "latents": latents,
            **{name: value.to(self.dtype) for name, value in condition.items()},
        }

    # -------------------------------------------------------------------------------- before all

    def prepare(self, model: Forward, rows: Iterable[Mapping[str, pa.Table]]) -> None:
        """See that policy and reference are one model before the first step, on the first rows.

        Raises:
            ValueError: they prefer different sides, so that training would begin with a margin that
                nobody gave it.
        """
        if self.task.reference is not None:
            return
        first = next((tables for tables in rows if tables["pairs"].num_rows), None)
        if first is None:
            return
        self.module.eval()  # dropout would be a difference, and is none of the two models
        with torch.no_grad():
            _, scalars = self.loss(model, self.collate(first))
        self.module.train()
        margin = float(scalars["margin"])
        if not abs(margin) <= _MAX_FIRST_MARGIN:
            raise ValueError(
                f"{self.task.policy}: before the first step its margin to itself is {margin:.3g} "
                "nats, and must be 0: policy and reference are not computed alike, as where one of "
                "them keeps a dtype of its own; train with align.precision: fp32"
            )

    # ------------------------------------------------------------------------------------- loss

    def loss(self, model: Forward, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and what to watch:

        accuracy, margin: of the implicit reward.
        shift_chosen, shift_rejected: by how much the policy is worse than the reference on each
            side. DPO is content when both grow, if only the second grows faster; a user is not.
        kl: mean squared difference of the two predictions, to which the divergence of the policy's
            sampling from the reference's is in proportion: times beta, it is in units of `margin`.
        """
        condition = dict(batch)
        latents, weights = condition.pop("latents"), condition.pop("weights")
        levels, num = self.noising(latents), len(weights)
        # Drawn on the CPU: a seed then means the same noise on any device. One draw for both sides.
        noise = torch.cat(2 * [torch.randn(num, *latents.shape[1:])]).to(self.device)
        level = torch.randint(len(levels.timesteps), (num,)).repeat(2)
        noisy = levels.noisy(latents, noise, level).to(self.dtype)
        target = levels.target(latents, noise, level)
        timesteps = levels.timesteps[level].to(self.device)

        def errors(one: Forward) -> tuple[Tensor, Tensor]:
            predicted = self.family.predict(one, noisy, timesteps, condition)
            return predicted, squared_error(predicted, target)

        is_adapted = self.reference is None
        with torch.no_grad(), adapters_off(self.module) if is_adapted else nullcontext():
            by_reference, ref_error = errors(self.reference or model)
        predicted, error = errors(model)
        (chosen, rejected), (ref_chosen, ref_rejected) = error.split(num), ref_error.split(num)
        found = diffusion_dpo(
            chosen, rejected, ref_chosen, ref_rejected, self.task.objective, weights
        )
        with torch.no_grad():
            scalars = {
                "accuracy": found.accuracy,
                "margin": found.margin,
                "shift_chosen": (chosen - ref_chosen).mean(),
                "shift_rejected": (rejected - ref_rejected).mean(),
                "kl": squared_error(predicted, by_reference).mean(),
            }
        return found.loss, scalars

    # ------------------------------------------------------------------------------------- looks

    @torch.no_grad()
    def draw(self, prompts: Sequence[str], num_steps: int, guidance_scale: float) -> list[bytes]:
        """A PNG for each prompt, always from the same noise; of a clip its middle frame."""
        scheduler = self.pipeline.scheduler
        self.pipeline.scheduler = deepcopy(scheduler)  # sampling changes it
        self.pipeline.set_progress_bar_config(disable=True)
        self.module.eval()
        try:
            with torch.autocast(
                self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32
            ):
                made = self.pipeline(
                    prompt=list(prompts),
                    num_inference_steps=num_steps,
                    guidance_scale=guidance_scale,
                    generator=[torch.Generator().manual_seed(at) for at in range(len(prompts))],
                    output_type="np",
                    **call_arguments(self.task.call, len(prompts)),
                )
        finally:
            self.module.train()
            self.pipeline.scheduler = scheduler
        if self.family.is_video:
            pictures = [frames[len(frames) // 2] for frames in made.frames]
        else:
            pictures = list(made.images)
        return [encode_png((one * 255).round().astype("uint8")) for one in pictures]

    def save(self, directory: Path) -> None:
        """The whole pipeline for `DiffusionPipeline.from_pretrained`, with adapters added to its
        weights; these lie in `lora` too, for `load_lora_weights` on top of the policy.
        """
        self.pipeline.to("cpu")
        if self.task.lora is not None:
            weights, config = adapter_weights(self.module)
            part = self.family.part
            self.pipeline.save_lora_weights(
                directory / "lora",
                **{f"{part}_lora_layers": weights, f"{part}_lora_adapter_metadata": config},
            )
            merge_adapters(self.module)
        self.pipeline.save_pretrained(directory, safe_serialization=True)


def _frames(media: Mapping[str, Any] | None, key: str) -> Tensor:
    """A side's frames, uint8 [T, H, W, 3]; a picture has one.

    Raises:
        ValueError: there is no medium, or it cannot be read.
    """
    if media is None:
        raise ValueError(f"pair {key} has a side without a picture or clip")
    try:
        if media["num_frames"] > 1:
            return torch.from_numpy(decode_clip(media["image"]["bytes"], media["num_frames"]))
        return torch.from_numpy(decode_still(media["image"]["bytes"]))[None]
    except ValueError as error:
        raise ValueError(f"pair {key}: {error}") from error
