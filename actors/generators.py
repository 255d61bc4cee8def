"""What makes candidates: a diffusers pipeline of pictures or clips, or a model that answers.

    prompt -> Drawn (what it is drawn from, with its key) -> the model -> encoded, measured

A prompt's candidates are one batch, and each candidate's chance comes from its own seed (starting
noise, or the draw of each token), so what a candidate is depends on its prompt, its seeds and the
settings alone: not on the worker, nor on what else was made before it. The model is called with
what `Drawn` says and with nothing else, so a candidate can be drawn again from its row. Pixels are
encoded and measured apart from drawing, for callers that draw the next prompt meanwhile.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from actors.answering import QuestionFormat, sampled_answers
from actors.calling import call_arguments, frames_argument
from actors.checkpoints import load_whole
from actors.conditioning import call_inputs
from actors.drawing import BESIDE_THE_CALL, Drawing
from actors.memory import in_batches, is_attempt, reason
from actors.processors import load_processor
from actors.trust import trusted
from actors.weights import pinned_commit
from factory.candidates import UNFINISHED
from factory.generator_kinds import generator_kind
from factory.media.encoding import encode, is_exact
from factory.media.measures import measure, measure_all, measure_answer
from factory.media.pictures import Pixels
from schemas.recipe import Answering, Encoding, GeneratorSpec
from schemas.rows import Candidate, Drawn, Measures, Media, Prompt

_FPS = 16.0  # of a clip of which a row does not say it: code of a checkpoint's own drew it
#: How the error of a candidate begins that a safety checker flagged, by the name in its output.
FLAGGED = "nsfw_content_detected"
#: What they call it in their outputs.
_FLAGS = (FLAGGED, "nsfw_detected")
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


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


def failed(candidate: Candidate, error: Exception) -> Candidate:
    """A candidate that did not come about."""
    return replace(candidate, error=reason(error), is_attempt=is_attempt(error))


def _together(drawn: Drawn, seeds: Sequence[int]) -> int:
    """How many are computed in one batch: as many as a row says, else all of them."""
    return drawn.num_together or max(1, len(seeds))


def _drawn_with(candidate: Candidate, num: int) -> Candidate:
    """A candidate that was computed in a batch of `num`."""
    drawn = candidate.drawn
    return replace(candidate, drawn=drawn and replace(drawn, num_together=num))


@dataclass(frozen=True)
class Raw:
    """What a pipeline drew for one seed, before it is encoded.

    pixels: a picture [H, W, 3] or a clip [T, H, W, 3], 0 to 1.
    is_unsafe: what the pipeline's safety checker says, where it has one; it then blackens them.
    """

    pixels: np.ndarray
    is_unsafe: bool | None = None


class _Ours(ABC):
    """What all generators of ours have in common: they draw ahead, from what rows can say.

    drawing: of what, known without the model.
    """

    drawing: Drawing

    @property
    def name(self) -> str:
        return self.drawing.name

    def generate(self, prompt: Prompt, seeds: Sequence[int]) -> list[Candidate]:
        return self.draw_ahead(prompt, seeds)()

    def draw_ahead(self, prompt: Prompt, seeds: Sequence[int]) -> Callable[[], list[Candidate]]:
        return self.draw_from(self.drawing.from_what(prompt), prompt, seeds)

    @abstractmethod
    def draw_from(
        self, drawn: Drawn, prompt: Prompt, seeds: Sequence[int]
    ) -> Callable[[], list[Candidate]]:
        """As `draw_ahead`, from what a row says that its candidates were drawn from."""


class DiffusersGenerator(_Ours):
    """Loads any diffusers pipeline from safetensors that draws pictures or clips from a text, or
    from a text and the picture that it edits.
    """

    def __init__(
        self, path: str, name: str, spec: GeneratorSpec, weights: str | None = None
    ) -> None:
        from diffusers import DiffusionPipeline

        self.drawing = Drawing(path, name, spec, weights)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.pipeline = DiffusionPipeline.from_pretrained(
            path,
            revision=pinned_commit(weights),
            torch_dtype=_DTYPES[spec.precision],
            variant=spec.variant,
            use_safetensors=True,
            trust_remote_code=trusted(path, spec.trust_remote_code),
        ).to(self.device)
        self.pipeline.set_progress_bar_config(disable=True)

    def draw_from(
        self, drawn: Drawn, prompt: Prompt, seeds: Sequence[int]
    ) -> Callable[[], list[Candidate]]:
        candidates = self.drawing.candidates(prompt, seeds, drawn)
        outcomes = self._outcomes(drawn, prompt, seeds)
        return lambda: _ended(candidates, outcomes, drawn)

    def _outcomes(
        self, drawn: Drawn, prompt: Prompt, seeds: Sequence[int]
    ) -> list[tuple[Raw | Exception, int]]:
        """What came of each seed, with how many were computed together.

        Some pipelines draw one at a time, and one candidate's fault is no other's: where a batch
        fails, each of it is drawn alone.
        """

        def draw(few: Sequence[int]) -> list[Raw]:
            return self._draw(drawn, prompt, few)

        try:
            return [*in_batches(draw, seeds, _together(drawn, seeds))]
        except Exception as error:
            if len(seeds) == 1 or is_attempt(error):
                return [(error, 0)] * len(seeds)
        return [_alone(draw, seed) for seed in seeds]

    def _draw(self, drawn: Drawn, prompt: Prompt, seeds: Sequence[int]) -> list[Raw]:
        """What the pipeline draws, called with what `drawn` says, and the prompt's picture."""
        # Noise is always drawn on the CPU: the same seed then means the same picture on any device.
        noise = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        said = json.loads(drawn.arguments)
        call = {name: value for name, value in said.items() if name not in BESIDE_THE_CALL}
        if drawn.negative_prompt is not None:
            call["negative_prompt"] = drawn.negative_prompt
        frames = frames_argument(type(self.pipeline)) or "num_frames"
        sizes = {"width": drawn.width, "height": drawn.height, frames: drawn.num_frames}
        output = self.pipeline(
            **call_inputs(self.pipeline, prompt.saying(drawn.prompt), len(seeds)),
            generator=noise,
            output_type="np",
            **call_arguments(call, len(seeds)),
            **{key: value for key, value in sizes.items() if value is not None},
        )
        pixels = np.asarray(output.frames if "frames" in output else output.images)
        flags = next((output[name] for name in _FLAGS if output.get(name) is not None), None)
        if flags is None:
            return list(map(Raw, pixels))
        return [Raw(one, bool(flag)) for one, flag in zip(pixels, flags, strict=True)]


def _alone(draw: Callable[[Sequence[int]], list[Raw]], seed: int) -> tuple[Raw | Exception, int]:
    try:
        (raw,) = draw([seed])
    except Exception as error:
        return error, 0
    return raw, 1


def _ended(
    candidates: Sequence[Candidate], outcomes: Sequence[tuple[Raw | Exception, int]], drawn: Drawn
) -> list[Candidate]:
    """A prompt's candidates of which a pipeline drew something or failed to: their media encoded
    one by one and measured together, with errors where there are none.
    """
    ended = [
        _stored(one, outcome, num, drawn)
        for one, (outcome, num) in zip(candidates, outcomes, strict=True)
    ]
    media = {at: one.media for at, (one, _) in enumerate(ended) if one.media is not None}
    try:
        found: list[Measures | Exception] = [
            *measure_all(list(media.values()), [ended[at][1] for at in media])
        ]
    except Exception:  # one candidate's fault is no other's, nor is memory that all took together
        found = [_measured_alone(one) for one in media.values()]
    measured = [one for one, _ in ended]
    for at, measures in zip(media, found, strict=True):
        if isinstance(measures, Exception):
            measured[at] = failed(replace(measured[at], media=None), measures)
            continue
        raw = outcomes[at][0]
        is_unsafe = raw.is_unsafe if isinstance(raw, Raw) else None
        measured[at] = replace(measured[at], measures=replace(measures, is_unsafe=is_unsafe))
    return measured


def _measured_alone(media: Media) -> Measures | Exception:
    try:
        return measure(media)
    except Exception as error:
        return error


def _stored(
    candidate: Candidate, outcome: Raw | Exception, num: int, drawn: Drawn
) -> tuple[Candidate, Pixels | None]:
    """A candidate with its medium, or with an error where there is none; and the pixels of the
    medium, where nothing was lost in storing them.
    """
    if isinstance(outcome, Exception):
        return failed(candidate, outcome), None
    candidate = _drawn_with(candidate, num)
    if outcome.is_unsafe:
        nothing = replace(measure_answer(""), num_words=None, is_unsafe=True)
        why = f"{FLAGGED}: the pipeline's safety checker flagged it"
        return replace(candidate, error=why, measures=nothing), None
    if not np.isfinite(outcome.pixels).all():
        why = "the pipeline drew pixels that are not finite numbers"
        return replace(candidate, error=why), None
    try:
        encoding = Encoding.of(drawn.encoding)
        pixels = np.asarray(np.rint(outcome.pixels * 255), dtype=np.uint8)
        medium = encode(pixels, json.loads(drawn.arguments).get("fps", _FPS), encoding)
    except Exception as error:
        return failed(candidate, error), None
    return replace(candidate, media=medium), pixels if is_exact(pixels, encoding) else None


class AnswerGenerator(_Ours):
    """Loads any transformers image-text-to-text model from safetensors; candidates are answers.

    Raises:
        CheckpointError: weights that are not all those of the model.
        ProcessorError: its processor cannot be built here.
    """

    def __init__(
        self, path: str, name: str, spec: GeneratorSpec, weights: str | None = None
    ) -> None:
        self.drawing = Drawing(path, name, spec, weights)
        self.asking = spec.answering or Answering()
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        trust = trusted(path, spec.trust_remote_code)
        revision = pinned_commit(weights)
        self.processor = load_processor(path, revision, trust_remote_code=trust)
        QuestionFormat(self.processor, self.asking)  # refuses what could not be asked
        self.model = load_whole(
            path,
            _DTYPES[spec.precision],
            self.device,
            revision=revision,
            allow_missing=self.asking.allow_missing,
            trust_remote_code=trust,
        )
        self.model.eval().requires_grad_(False)

    def draw_from(
        self, drawn: Drawn, prompt: Prompt, seeds: Sequence[int]
    ) -> Callable[[], list[Candidate]]:
        candidates = self.drawing.candidates(prompt, seeds, drawn)
        try:
            asking = Answering(**json.loads(drawn.arguments))
            asked = QuestionFormat(self.processor, asking)
            put = prompt.saying(drawn.prompt)
            answers = in_batches(
                lambda few: self._answer(asked, put, few), seeds, _together(drawn, seeds)
            )
        except Exception as error:
            none = [failed(one, error) for one in candidates]
            return lambda: none
        limit = asking.max_new_tokens
        return lambda: [
            _with_answer(_drawn_with(one, num), answer, limit)
            for one, (answer, num) in zip(candidates, answers, strict=True)
        ]

    @torch.inference_mode()
    def _answer(
        self, asked: QuestionFormat, prompt: Prompt, seeds: Sequence[int]
    ) -> list[tuple[str, bool]]:
        """One answer for each seed, and whether it came to an end."""
        return sampled_answers(self.model, asked, prompt, seeds)


def _with_answer(candidate: Candidate, said: tuple[str, bool], limit: int) -> Candidate:
    """A cut answer would teach an end that the model did not give it: it is kept as a failure,
    which may be a rejected side and nothing else.
    """
    answer, is_ended = said
    if not is_ended:
        return replace(candidate, answer=answer or None, error=f"{UNFINISHED} {limit} tokens")
    error = None if answer else "the answer is empty"
    return replace(candidate, answer=answer, measures=measure_answer(answer), error=error)
