"""What a policy makes while it is trained, for people to look at, every so many steps: a grid of
pictures, or a table of answers beside those of the reference.

Made from the same noise or seeds each time, with the weights of that step, not their average. It
changes nothing of the training, whose random numbers are seeded anew for each micro-batch. A look
that fails leaves its reason as a text, and the training goes on.

The first worker looks. Weights that ZeRO 3 shards are gathered layer by layer, for which every
worker must call every layer: all of them look then, and the first one writes. So a look that fails
on one of these workers alone leaves the others waiting, until the group's own time limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from actors.memory import reason
from actors.storage import place, write_whole
from factory.media.grids import picture_grid
from factory.media.transcripts import Exchange, transcript
from factory.prompt_parts import check_needs, needs_of
from schemas.rows import Prompt


@runtime_checkable
class Draws(Protocol):
    """A learner that can show what its model makes at this moment."""

    def draw(self, prompts: Sequence[str], num_steps: int, guidance_scale: float) -> list[bytes]:
        """A PNG for each prompt, from the same noise at each call."""


@runtime_checkable
class Answers(Protocol):
    """A learner that can say what its model answers at this moment."""

    def answer(self, questions: Sequence[Prompt]) -> list[str | None]:
        """An answer to each question, by the same seeds at each call; None for one without end."""


@dataclass(frozen=True)
class Samples:
    """When to look, at what, and where it goes.

    prompts: one picture or answer each.
    every: optimiser steps.
    directory: gets `step-000100.png` and so on; `.html` for answers, `.txt` for why there is none.
    num_steps, guidance_scale: of the sampling of pictures.
    """

    prompts: tuple[Prompt, ...]
    every: int
    directory: str
    num_steps: int
    guidance_scale: float


class Looks:
    """One worker's looks at its learner."""

    def __init__(self, samples: Samples, learner: object, *, is_writer: bool) -> None:
        """Ask the untouched model first: call this before the weights of a checkpoint are loaded.

        Args:
            samples: what is wanted.
            learner: one that draws or answers; any other is left alone.
            is_writer: whether this worker writes and tells; the others only go along.
        """
        self._samples, self._learner, self._is_writer = samples, learner, is_writer
        self._before: list[str | None] | None = None
        if isinstance(learner, Answers):
            try:
                self._before = learner.answer(samples.prompts)
            except Exception as error:  # whatever it is, it must not cost the training
                self._tell("step-000000", error)

    def look(self, before: int, step: int) -> None:
        """Make and write samples where a look is due between two steps."""
        if step // self._samples.every == before // self._samples.every:
            return
        try:
            made = self._made(step)
        except Exception as error:
            self._tell(f"step-{step:06d}", error)
            return
        if made is not None and self._is_writer:
            suffix, data = made
            write_whole(place(self._samples.directory) / f"step-{step:06d}{suffix}", data)

    def _made(self, step: int) -> tuple[str, bytes] | None:
        wanted, title = self._samples, f"step {step}"
        if isinstance(self._learner, Draws):
            for one in wanted.prompts:
                check_needs(needs_of(one), (), "a look at what is drawn")
            prompts = [one.text for one in wanted.prompts]
            drawn = self._learner.draw(prompts, wanted.num_steps, wanted.guidance_scale)
            return ".png", picture_grid([[one] for one in drawn], [title], prompts)
        if isinstance(self._learner, Answers) and self._before is not None:
            now = self._learner.answer(wanted.prompts)
            met = zip(wanted.prompts, self._before, now, strict=True)
            return ".html", transcript(title, [Exchange(*one) for one in met]).encode()
        return None

    def _tell(self, name: str, error: Exception) -> None:
        """Leave the reason where the samples would have been: nobody reads a worker's own log."""
        if self._is_writer:
            text = f"no samples: {reason(error)}\n"
            write_whole(place(self._samples.directory) / f"{name}.txt", text.encode())
