"""What makes candidates: a diffusers pipeline of pictures or clips, or a model that answers.

    prompt -> Drawn (what it is drawn from, with its key) -> the model -> encoded, measured

A prompt's candidates are one batch, and each candidate's chance comes from its own seed (starting
noise, or the draw of each token), so what a candidate is depends on its prompt, its seeds and the
settings alone: not on the worker, nor on what else was made before it. The model is called with
what `Drawn` says and with nothing else, so a candidate can be drawn again from its row. Pixels are
encoded and measured apart from drawing, for callers that draw the next prompt meanwhile.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from actors.answering import QuestionFormat, sampled_answers
from actors.memory import halving, is_attempt, reason
from actors.trust import trusted
from actors.weights import pinned_commit
from factory.generator_kinds import generator_kind
from factory.keys import DRAWING, with_key
from factory.media.clips import encode_clip
from factory.media.measures import measure, measure_answer
from factory.media.pictures import encode_png
from schemas.identity import identity
from schemas.recipe import Answering, GeneratorSpec
from schemas.rows import Candidate, Drawn, Media, Prompt, content_id

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


#: How pixels are stored.
PNG, H264 = "png", "h264 crf 12"
TEXT = "text"


def load_generator(
    path: str, name: str, spec: GeneratorSpec, weights: str | None = None
) -> DiffusersGenerator | AnswerGenerator:
    """The generator at `path`, of whichever kind it is.

    Args:
        path: a directory or hub name; a hub's is loaded at the commit that `weights` names.
        name: `name@version`.
        spec: the recipe's section.
        weights: as `actors.weights.model_weights`; candidates have no keys where None.

    Raises:
        ValueError: no generator is there.
    """
    if generator_kind(path, spec) == "answering":
        return AnswerGenerator(path, name, spec, weights)
    return DiffusersGenerator(path, name, spec, weights)


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


def _engine_of(model: object) -> str:
    """The class that draws, and the version of what we do around it."""
    return f"{type(model).__name__}, drawing {DRAWING}"


def to_draw(
    name: str, spec: GeneratorSpec, drawn: Drawn, prompt: Prompt, seeds: Sequence[int]
) -> list[Candidate]:
    """A prompt's candidates before there is anything of them: their ids, and what they will be
    drawn from with their keys, which stay the same whatever becomes of them.
    """
    ids = candidate_ids(name, spec, prompt, seeds)
    return [
        Candidate(one, name, seed, drawn=with_key(drawn, prompt, seed))
        for one, seed in zip(ids, seeds, strict=True)
    ]


def failed(candidate: Candidate, error: Exception) -> Candidate:
    """A candidate that did not come about."""
    return replace(candidate, error=reason(error), is_attempt=is_attempt(error))


@dataclass(frozen=True)
class Raw:
    """What a pipeline drew for one seed, before it is encoded.

    pixels: a picture [H, W, 3] or a clip [T, H, W, 3], 0 to 1.
    is_unsafe: what the pipeline's safety checker says, where it has one; it then blackens them.
    """

    pixels: np.ndarray
    is_unsafe: bool | None = None


class DiffusersGenerator:
    """Loads any diffusers text-to-image or text-to-video pipeline from safetensors."""

    def __init__(
        self, path: str, name: str, spec: GeneratorSpec, weights: str | None = None
    ) -> None:
        from diffusers import DiffusionPipeline

        self.name = name
        self.spec = spec
        self.weights = weights
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.pipeline = DiffusionPipeline.from_pretrained(
            path,
            revision=pinned_commit(weights),
            torch_dtype=_DTYPES[spec.precision],
            use_safetensors=True,
            trust_remote_code=trusted(path, spec.trust_remote_code),
        ).to(self.device)
        self.pipeline.set_progress_bar_config(disable=True)
        self.engine = _engine_of(self.pipeline)
        self._makes_clips = "num_frames" in inspect.signature(self.pipeline.__call__).parameters

    def drawn_from(self, prompt: Prompt) -> Drawn:
        """What a prompt's candidates are drawn from, without key."""
        spec = self.spec
        arguments: dict[str, Any] = {
            "num_inference_steps": spec.num_inference_steps,
            "guidance_scale": spec.guidance_scale,
        }
        if self._makes_clips:
            arguments["fps"] = spec.fps
        return Drawn(
            key=None,
            prompt=prompt.text,
            weights=self.weights,
            engine=self.engine,
            precision=spec.precision,
            encoding=H264 if self._makes_clips else PNG,
            arguments=json.dumps(arguments, sort_keys=True),
            width=spec.width,
            height=spec.height,
            num_frames=spec.num_frames,
        )

    def generate(self, prompt: Prompt, seeds: Sequence[int]) -> list[Candidate]:
        return self.draw(prompt, seeds)()

    def draw(self, prompt: Prompt, seeds: Sequence[int]) -> Callable[[], list[Candidate]]:
        return self.draw_from(self.drawn_from(prompt), prompt, seeds)

    def draw_from(
        self, drawn: Drawn, prompt: Prompt, seeds: Sequence[int]
    ) -> Callable[[], list[Candidate]]:
        """As `draw`, from what a row says that its candidates were drawn from."""
        candidates = to_draw(self.name, self.spec, drawn, prompt, seeds)
        try:
            made = halving(lambda few: self._draw(drawn, few), seeds)
        except Exception as error:
            none = [failed(one, error) for one in candidates]
            return lambda: none
        return lambda: [
            _with_pixels(one, raw, drawn) for one, raw in zip(candidates, made, strict=True)
        ]

    def _draw(self, drawn: Drawn, seeds: Sequence[int]) -> list[Raw]:
        """What the pipeline draws, called with what `drawn` says."""
        # Noise is always drawn on the CPU: the same seed then means the same picture on any device.
        noise = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        asked = {
            **json.loads(drawn.arguments),
            "width": drawn.width,
            "height": drawn.height,
            "num_frames": drawn.num_frames,
        }
        asked.pop("fps", None)  # of how it is stored
        output = self.pipeline(
            [drawn.prompt] * len(seeds),
            generator=noise,
            output_type="np",
            **{key: value for key, value in asked.items() if value is not None},
        )
        pixels = np.asarray(output.frames if "frames" in output else output.images)
        flags = output.get("nsfw_content_detected")
        if flags is None:
            return list(map(Raw, pixels))
        return [Raw(one, bool(flag)) for one, flag in zip(pixels, flags, strict=True)]


def _with_pixels(candidate: Candidate, raw: Raw, drawn: Drawn) -> Candidate:
    """A candidate with its medium, encoded and measured; with an error where there is none."""
    if raw.is_unsafe:
        nothing = replace(measure_answer(""), num_words=None, is_unsafe=True)
        return replace(candidate, error="the safety checker flagged it", measures=nothing)
    if not np.isfinite(raw.pixels).all():
        return replace(candidate, error="the pipeline drew pixels that are not finite numbers")
    try:
        medium = _encoded(raw.pixels, drawn)
        measures = replace(measure(medium), is_unsafe=raw.is_unsafe)
        return replace(candidate, media=medium, measures=measures)
    except Exception as error:
        return failed(candidate, error)


def _encoded(shares: np.ndarray, drawn: Drawn) -> Media:
    """A picture [H, W, 3] or a clip [T, H, W, 3], 0 to 1, as it is stored."""
    pixels = np.asarray(np.rint(shares * 255), dtype=np.uint8)
    height, width = pixels.shape[-3:-1]
    if pixels.ndim == 3:
        return Media(encode_png(pixels), width, height)
    fps = json.loads(drawn.arguments)["fps"]
    return Media(encode_clip(pixels, fps), width, height, len(pixels), fps)


class AnswerGenerator:
    """Loads any transformers image-text-to-text model from safetensors; candidates are answers."""

    def __init__(
        self, path: str, name: str, spec: GeneratorSpec, weights: str | None = None
    ) -> None:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.name = name
        self.spec = spec
        self.weights = weights
        self.asking = spec.answering or Answering()
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        trust = trusted(path, spec.trust_remote_code)
        revision = pinned_commit(weights) or "main"
        self.processor = AutoProcessor.from_pretrained(
            path, revision=revision, trust_remote_code=trust
        )
        QuestionFormat(self.processor, self.asking)  # refuses what could not be asked
        self.model = AutoModelForImageTextToText.from_pretrained(
            path,
            revision=revision,
            dtype=_DTYPES[spec.precision],
            use_safetensors=True,
            trust_remote_code=trust,
        )
        self.model.eval().requires_grad_(False).to(self.device)
        self.engine = _engine_of(self.model)

    def drawn_from(self, prompt: Prompt) -> Drawn:
        """What a prompt's candidates are drawn from, without key."""
        asking = self.asking
        arguments: dict[str, Any] = {
            "question": asking.question,
            "answer_end": asking.answer_end,
            "temperature": asking.temperature,
            "top_p": asking.top_p,
            "max_new_tokens": asking.max_new_tokens,
        }
        if prompt.media is not None and prompt.media.num_frames > 1:
            arguments["num_frames"] = asking.num_frames
            if None not in (asking.question, asking.clip_question):
                arguments["question"] = asking.clip_question
        return Drawn(
            key=None,
            prompt=prompt.text,
            weights=self.weights,
            engine=self.engine,
            precision=self.spec.precision,
            encoding=TEXT,
            arguments=json.dumps(arguments, sort_keys=True),
        )

    def generate(self, prompt: Prompt, seeds: Sequence[int]) -> list[Candidate]:
        return self.draw(prompt, seeds)()

    def draw(self, prompt: Prompt, seeds: Sequence[int]) -> Callable[[], list[Candidate]]:
        return self.draw_from(self.drawn_from(prompt), prompt, seeds)

    def draw_from(
        self, drawn: Drawn, prompt: Prompt, seeds: Sequence[int]
    ) -> Callable[[], list[Candidate]]:
        """As `draw`, from what a row says that its candidates were drawn from."""
        candidates = to_draw(self.name, self.spec, drawn, prompt, seeds)
        try:
            if prompt.media is None:
                raise ValueError("the prompt is a question about no picture or clip")
            media = prompt.media
            asking = Answering(**json.loads(drawn.arguments))
            asked = QuestionFormat(self.processor, asking)
            answers = halving(lambda few: self._answer(asked, drawn.prompt, media, few), seeds)
        except Exception as error:
            none = [failed(one, error) for one in candidates]
            return lambda: none
        limit = asking.max_new_tokens
        return lambda: [
            _with_answer(one, answer, limit)
            for one, answer in zip(candidates, answers, strict=True)
        ]

    @torch.inference_mode()
    def _answer(
        self, asked: QuestionFormat, text: str, media: Media, seeds: Sequence[int]
    ) -> list[str | None]:
        """One answer for each seed; None where it came to no end."""
        return sampled_answers(self.model, asked, text, media, seeds)


def _with_answer(candidate: Candidate, answer: str | None, limit: int) -> Candidate:
    """A cut answer would teach an end that the model did not give it."""
    if answer is None:
        return replace(candidate, error=f"the answer does not end within {limit} tokens")
    error = None if answer else "the answer is empty"
    return replace(candidate, answer=answer, measures=measure_answer(answer), error=error)
