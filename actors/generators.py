"""What makes candidates: a diffusers pipeline of pictures or clips, or a model that answers.

A prompt's candidates are one batch, and each candidate's chance comes from its own seed (starting
noise, or the draw of each token), so what a candidate is depends on its prompt, its seeds and the
settings alone: not on the worker, nor on what else was made before it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from actors.answering import QuestionFormat, sampled_answers
from actors.memory import halving, reason
from actors.trust import trusted
from factory.generator_kinds import generator_kind
from factory.media.encoding import encode
from factory.protocols import Generator
from schemas.identity import identity
from schemas.recipe import Answering, GeneratorSpec
from schemas.rows import Candidate, Media, Prompt, content_id

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def load_generator(path: str, name: str, spec: GeneratorSpec) -> Generator:
    """The generator at `path`, of whichever kind it is.

    Raises:
        ValueError: no generator is there.
    """
    if generator_kind(path, spec) == "answering":
        return AnswerGenerator(path, name, spec)
    return DiffusersGenerator(path, name, spec)


#: Knobs that ids have spelled out from the first, as they then were where a recipe does not say.
_SPELLED = {
    "name": "generator",
    "num_inference_steps": 20,
    "guidance_scale": 5.0,
    "width": None,
    "height": None,
    "num_frames": None,
    "fps": 16.0,
    "precision": "fp32",
    "answering": None,
}
_ANSWERING_SPELLED = {
    "question": None,
    "clip_question": None,
    "answer_end": None,
    "num_frames": 8,
    "max_new_tokens": 128,
    "temperature": 1.0,
    "top_p": 1.0,
}


def candidate_ids(
    name: str, spec: GeneratorSpec, prompt: Prompt, seeds: Sequence[int]
) -> list[str]:
    """An id of each seed's candidate: a function of the generator's identity and its path. An id
    has no parents with digests, so here the path stands for the weights.
    """
    drawn_by = {**_SPELLED, **identity(spec), "path": spec.path}
    if spec.answering is not None:
        drawn_by["answering"] = {**_ANSWERING_SPELLED, **identity(spec.answering)}
    return [content_id("candidate", prompt.prompt_id, name, drawn_by, seed) for seed in seeds]


def _failed(
    ids: Sequence[str], name: str, seeds: Sequence[int], error: Exception
) -> list[Candidate]:
    """All of a prompt's candidates, none of which came about."""
    why = reason(error)
    return [Candidate(one, name, seed, error=why) for one, seed in zip(ids, seeds, strict=True)]


class DiffusersGenerator:
    """Loads any diffusers text-to-image or text-to-video pipeline from safetensors."""

    def __init__(self, path: str, name: str, spec: GeneratorSpec) -> None:
        from diffusers import DiffusionPipeline

        self.name = name
        self.spec = spec
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.pipeline = DiffusionPipeline.from_pretrained(
            path,
            torch_dtype=_DTYPES[spec.precision],
            use_safetensors=True,
            trust_remote_code=trusted(path, spec.trust_remote_code),
        ).to(self.device)
        self.pipeline.set_progress_bar_config(disable=True)

    def generate(self, prompt: Prompt, seeds: Sequence[int]) -> list[Candidate]:
        ids = candidate_ids(self.name, self.spec, prompt, seeds)
        try:
            drawn = halving(lambda few: self._draw(prompt.text, few), seeds)
            return [
                self._candidate(one, seed, pixels)
                for one, seed, pixels in zip(ids, seeds, drawn, strict=True)
            ]
        except Exception as error:
            return _failed(ids, self.name, seeds, error)

    def _candidate(self, candidate_id: str, seed: int, drawn: np.ndarray) -> Candidate:
        """A candidate of what was drawn: a picture [H, W, 3] or a clip [T, H, W, 3], 0 to 1."""
        if not np.isfinite(drawn).all():
            error = "the pipeline drew pixels that are not finite numbers"
            return Candidate(candidate_id, self.name, seed, error=error)
        pixels = np.asarray(np.rint(drawn * 255), dtype=np.uint8)
        medium = encode(pixels, self.spec.fps, self.spec.encoding)
        return Candidate(candidate_id, self.name, seed, medium)

    def _draw(self, text: str, seeds: Sequence[int]) -> np.ndarray:
        """Pictures [N, H, W, 3], or clips [N, T, H, W, 3], 0 to 1."""
        # Noise is always drawn on the CPU: the same seed then means the same picture on any device.
        noise = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        size = {
            "width": self.spec.width,
            "height": self.spec.height,
            "num_frames": self.spec.num_frames,
        }
        output = self.pipeline(
            [text] * len(seeds),
            generator=noise,
            num_inference_steps=self.spec.num_inference_steps,
            guidance_scale=self.spec.guidance_scale,
            output_type="np",
            **{key: value for key, value in size.items() if value is not None},
        )
        return np.asarray(output.frames if "frames" in output else output.images)


class AnswerGenerator:
    """Loads any transformers image-text-to-text model from safetensors; candidates are answers."""

    def __init__(self, path: str, name: str, spec: GeneratorSpec) -> None:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.name = name
        self.spec = spec
        self.asking = spec.answering or Answering()
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        trust = trusted(path, spec.trust_remote_code)
        processor = AutoProcessor.from_pretrained(path, trust_remote_code=trust)
        self.format = QuestionFormat(processor, self.asking)
        self.model = AutoModelForImageTextToText.from_pretrained(
            path, dtype=_DTYPES[spec.precision], use_safetensors=True, trust_remote_code=trust
        )
        self.model.eval().requires_grad_(False).to(self.device)

    def generate(self, prompt: Prompt, seeds: Sequence[int]) -> list[Candidate]:
        ids = candidate_ids(self.name, self.spec, prompt, seeds)
        try:
            media = prompt.media
            if media is None:
                raise ValueError("the prompt is a question about no picture or clip")
            answers = halving(lambda few: self._answer(prompt.text, media, few), seeds)
        except Exception as error:
            return _failed(ids, self.name, seeds, error)
        return [
            Candidate(one, self.name, seed, answer=answer, error=self._fault(answer))
            for one, seed, answer in zip(ids, seeds, answers, strict=True)
        ]

    def _fault(self, answer: str | None) -> str | None:
        """A cut answer would teach an end that the model did not give it."""
        if answer is None:
            return f"the answer does not end within {self.asking.max_new_tokens} tokens"
        return None if answer else "the answer is empty"

    @torch.inference_mode()
    def _answer(self, text: str, media: Media, seeds: Sequence[int]) -> list[str | None]:
        """One answer for each seed; None where it came to no end."""
        return sampled_answers(self.model, self.format, text, media, seeds)
