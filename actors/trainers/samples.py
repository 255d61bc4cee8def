"""What a policy draws while it is trained, for people to look at: a grid every so many steps.

Drawn by the first worker from noise that is the same each time, with the weights of that step, not
their average. It takes no random number from the training and changes nothing of it; where it fails
it says so and the training goes on. Answers are left out, and so are weights that ZeRO 3 shards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from actors.memory import reason
from actors.storage import place, write_whole
from factory.grids import picture_grid


@runtime_checkable
class Draws(Protocol):
    """A learner that can show what its model makes at this moment."""

    def draw(self, prompts: Sequence[str], num_steps: int, guidance_scale: float) -> list[bytes]:
        """A PNG for each prompt, from the same noise at each call."""


@dataclass(frozen=True)
class Samples:
    """When to look, at what, and where the grids go.

    prompts: one picture each.
    every: optimiser steps.
    directory: gets `step-000100.png` and so on.
    num_steps, guidance_scale: of the sampling.
    """

    prompts: tuple[str, ...]
    every: int
    directory: str
    num_steps: int
    guidance_scale: float

    def look(self, learner: object, before: int, step: int) -> None:
        """Draw and write a grid where a look is due between two steps."""
        if step // self.every == before // self.every or not isinstance(learner, Draws):
            return
        try:
            drawn = learner.draw(self.prompts, self.num_steps, self.guidance_scale)
            grid = picture_grid([[one] for one in drawn], [f"step {step}"], self.prompts)
        except Exception as error:  # whatever it is, it must not cost the training
            print(f"samples at step {step}: none: {reason(error)}", flush=True)
            return
        write_whole(place(self.directory) / f"step-{step:06d}.png", grid)
