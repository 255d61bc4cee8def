"""A diffusers text-to-image pipeline as a generator.

A prompt's candidates are one batch, and each candidate's starting noise comes from its own seed, so
what a candidate looks like depends on its prompt, its seeds and the settings alone: not on the
worker, nor on what else was drawn before it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from actors.memory import halving, reason
from factory.media import encode_png
from schemas.recipe import GeneratorSpec
from schemas.rows import Candidate, Media, Prompt, content_id, seed_of

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def candidate_seeds(prompt: Prompt, generator: str, seed: int, num: int) -> list[int]:
    """The seeds of a prompt's candidates: functions of prompt, generator, recipe seed and index.

    `generator` is the *name* without version where two versions are to be compared at equal seeds.
    """
    return [seed_of(prompt.prompt_id, generator, seed, index) for index in range(num)]


class DiffusersGenerator:
    """Loads any diffusers text-to-image pipeline from safetensors."""

    def __init__(self, path: str, name: str, spec: GeneratorSpec) -> None:
        from diffusers import DiffusionPipeline

        self.name = name
        self.spec = spec
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.pipeline = DiffusionPipeline.from_pretrained(
            path, torch_dtype=_DTYPES[spec.precision], use_safetensors=True
        ).to(self.device)
        self.pipeline.set_progress_bar_config(disable=True)

    def generate(self, prompt: Prompt, seeds: Sequence[int]) -> list[Candidate]:
        ids = [
            content_id("candidate", prompt.prompt_id, self.name, self.spec.model_dump(), seed)
            for seed in seeds
        ]
        try:
            pictures = halving(lambda few: self._draw(prompt.text, few), seeds)
        except Exception as error:
            return [
                Candidate(one, self.name, seed, error=reason(error))
                for one, seed in zip(ids, seeds, strict=True)
            ]
        return [
            self._candidate(one, seed, picture)
            for one, seed, picture in zip(ids, seeds, pictures, strict=True)
        ]

    def _candidate(self, candidate_id: str, seed: int, drawn: np.ndarray) -> Candidate:
        """A candidate of what was drawn: [H, W, 3], 0 to 1."""
        if not np.isfinite(drawn).all():
            error = "the pipeline drew pixels that are not finite numbers"
            return Candidate(candidate_id, self.name, seed, error=error)
        height, width = drawn.shape[:2]
        pixels = np.asarray(np.rint(drawn * 255), dtype=np.uint8)
        return Candidate(candidate_id, self.name, seed, Media(encode_png(pixels), width, height))

    def _draw(self, text: str, seeds: Sequence[int]) -> np.ndarray:
        """Pictures [N, H, W, 3], 0 to 1."""
        # Noise is always drawn on the CPU: the same seed then means the same picture on any device.
        noise = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        size = {"width": self.spec.width, "height": self.spec.height}
        drawn = self.pipeline(
            [text] * len(seeds),
            generator=noise,
            num_inference_steps=self.spec.num_inference_steps,
            guidance_scale=self.spec.guidance_scale,
            output_type="np",
            **{key: value for key, value in size.items() if value is not None},
        ).images
        return np.asarray(drawn)
