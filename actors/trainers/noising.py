"""How noise gets into latents and what the model should then predict, read from the scheduler.

Three kinds: diffusion, whose model predicts noise or v; EDM, whose model is told the logarithm of
the noise and predicts a mixture of data and noise; and flow matching, whose model predicts the
velocity from data to noise. Each has levels of noise, of which a step draws one for each pair.
Which of them a scheduler is, `factory.alignment.pipelines` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from factory.alignment.pipelines import noise_kind


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


@dataclass(frozen=True)
class Edm:
    """EDM (Karras et al. 2022, arXiv 2206.00364): noise of any size sigma is added to the data, and
    the model F is preconditioned so that what it sees and what it predicts have unit variance.

        D(x, sigma) = c_skip x + c_out F(c_in x, ln(sigma) / 4)    (equation 7 and table 1)

    is to be the data y for x = y + sigma n, so that the target of F is
    (sigma y / sigma_data - sigma_data n) / sqrt(sigma^2 + sigma_data^2). Where a scheduler says
    v_prediction, F has the other sign.

    sigmas: [L], the sizes of noise.
    timesteps: [L], ln(sigma) / 4.
    """

    sigmas: Tensor
    timesteps: Tensor
    sigma_data: float
    is_negated: bool = False

    def noisy(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        sigma = self._sigma(level, clean)
        return (clean + sigma * noise) * (sigma**2 + self.sigma_data**2).rsqrt()

    def target(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        sigma, sd = self._sigma(level, clean), self.sigma_data
        target = (sigma * clean / sd - sd * noise) * (sigma**2 + sd**2).rsqrt()
        return -target if self.is_negated else target

    def _sigma(self, level: Tensor, latents: Tensor) -> Tensor:
        sigma = self.sigmas[level.cpu()].to(latents)
        return sigma.view(-1, *[1] * (latents.ndim - 1))


def noising(scheduler: Any, num_steps: int | None, **shift: Any) -> Noising:
    """The levels of noise of a scheduler.

    Diffusion without `num_steps` has all levels that it was trained on. A flow and EDM have no
    others than those of their samplers, so they have as many of these as a training schedule
    counts.

    Args:
        scheduler: the pipeline's, whose own steps are set.
        num_steps: for few-step models, the steps that they draw with; all levels where not given.
        shift: how this pipeline calls `set_timesteps` beside the number of steps.

    Raises:
        ValueError: as `noise_kind`.
    """
    from diffusers import DDPMScheduler

    config = scheduler.config
    kind, num_all = noise_kind(type(scheduler).__name__, config), config.num_train_timesteps
    if kind != "diffusion":
        scheduler.set_timesteps(num_steps or num_all, **shift)
        timesteps = scheduler.timesteps.cpu().float()
        sigmas = scheduler.sigmas[: len(timesteps)].cpu().float()
        if kind == "flow":
            return Flow(sigmas, timesteps)
        return Edm(sigmas, timesteps, config.sigma_data, config.prediction_type == "v_prediction")
    schedule = DDPMScheduler.from_config(scheduler.config)
    if num_steps is None:
        return Diffusion(schedule, torch.arange(num_all))
    scheduler.set_timesteps(num_steps, **shift)
    return Diffusion(schedule, scheduler.timesteps.cpu().round().long())
