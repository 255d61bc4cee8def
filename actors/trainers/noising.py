"""How noise gets into latents and what the model should then predict, read from the scheduler.

Two kinds: diffusion, whose model predicts noise or v, and flow matching, whose model predicts the
velocity from data to noise. Either has levels of noise, of which a step draws one for each pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


class Noising(Protocol):
    """A schedule. `level` [B] are indices of `timesteps`; latents [B, ...] of any shape."""

    @property
    def timesteps(self) -> Tensor:
        """[L] as the pipeline hands them to its model."""

    def noisy(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """What the model sees."""

    def target(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """What it should predict."""


@dataclass(frozen=True)
class Diffusion:
    """Noise in proportion to the square root of 1 - alpha; predicts noise or v.

    schedule: a diffusers `DDPMScheduler`, whichever sampler the pipeline draws with.
    timesteps: [L], whole numbers.
    """

    schedule: Any
    timesteps: Tensor

    def noisy(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        return self.schedule.add_noise(clean, noise, self._at(level, clean))

    def target(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        if self.schedule.config.prediction_type == "epsilon":
            return noise
        return self.schedule.get_velocity(clean, noise, self._at(level, clean))

    def _at(self, level: Tensor, latents: Tensor) -> Tensor:
        return self.timesteps[level.cpu()].to(latents.device)


@dataclass(frozen=True)
class Flow:
    """Rectified flow (Liu et al. 2022, arXiv 2209.03003; Esser et al. 2024, arXiv 2403.03206):
    a straight line from data to noise, whose direction is predicted.

    sigmas: [L], the share of noise, as the scheduler shifts it.
    timesteps: [L].
    """

    sigmas: Tensor
    timesteps: Tensor

    def noisy(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        return clean.lerp(noise, self._sigma(level, clean))

    def target(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        return noise - clean

    def _sigma(self, level: Tensor, latents: Tensor) -> Tensor:
        sigma = self.sigmas[level.cpu()].to(latents)
        return sigma.view(-1, *[1] * (latents.ndim - 1))


def is_flow(scheduler: Any) -> bool:
    """Whether a diffusers scheduler samples a flow."""
    config = scheduler.config
    return (
        type(scheduler).__name__.startswith("FlowMatch")
        or config.get("prediction_type") == "flow_prediction"
        or bool(config.get("use_flow_sigmas"))
    )


def check_prediction(scheduler: Any) -> None:
    """Refuse a model that predicts neither noise, nor v, nor a velocity.

    Raises:
        ValueError: says what it predicts.
    """
    predicted = scheduler.config.get("prediction_type", "epsilon")
    if not is_flow(scheduler) and predicted not in ("epsilon", "v_prediction"):
        raise ValueError(f"the model predicts {predicted!r}: not noise, not v and not a velocity")


def noising(scheduler: Any, num_steps: int | None, **shift: Any) -> Noising:
    """The levels of noise of a scheduler.

    Diffusion without `num_steps` has all levels that it was trained on. A flow has no others than
    those of its sampler, which shifts them toward noise, so it has as many of these as a training
    schedule counts.

    Args:
        scheduler: the pipeline's, whose own steps are set.
        num_steps: for few-step models, the steps that they draw with; all levels where not given.
        shift: how this pipeline calls `set_timesteps` beside the number of steps.
    """
    from diffusers import DDPMScheduler

    num_all = scheduler.config.num_train_timesteps
    if is_flow(scheduler):
        scheduler.set_timesteps(num_steps or num_all, **shift)
        timesteps = scheduler.timesteps.cpu().float()
        return Flow(scheduler.sigmas[: len(timesteps)].cpu().float(), timesteps)
    schedule = DDPMScheduler.from_config(scheduler.config)
    if num_steps is None:
        return Diffusion(schedule, torch.arange(num_all))
    scheduler.set_timesteps(num_steps, **shift)
    return Diffusion(schedule, scheduler.timesteps.cpu().round().long())
