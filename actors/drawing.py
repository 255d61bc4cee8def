"""What a candidate is drawn from, told before anything is drawn and without loading the model.

    prompt, seeds -> candidates without content: id, seed, `Drawn` with its key

A run can so find out what it need not draw, and a generator that has nothing to draw is never
loaded: only the small files of the model are looked at, which say of what class it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from actors.calling import arguments_of, frames_argument
from actors.trust import trusted
from actors.weights import pinned_commit
from factory.generator_kinds import generator_kind
from factory.keys import DRAWING, with_keys
from schemas.identity import identity
from schemas.recipe import CLIP_FORMATS, Answering, GeneratorSpec
from schemas.rows import Candidate, Drawn, Prompt, content_id

#: How answers are stored.
TEXT = "text"
#: In what a candidate says of the call, what is no argument of it: how it is stored, and which of
#: the model's weights were loaded.
BESIDE_THE_CALL = ("fps", "variant")

#: The argument of a call that candidates say in a field of its own.
_NEGATIVE = "negative_prompt"

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


@dataclass(frozen=True)
class Drawing:
    """How one generator of ours draws.

    path: a directory on this machine, or a hub's name.
    name: `name@version`.
    spec: the recipe's section.
    weights: as `actors.weights.model_weights`; candidates have no keys where None.
    """

    path: str
    name: str
    spec: GeneratorSpec
    weights: str | None = None

    @cached_property
    def is_answering(self) -> bool:
        """Whether it answers questions.

        Raises:
            ValueError: no generator is there.
        """
        return generator_kind(self.path, self.spec) == "answering"

    @cached_property
    def _class(self) -> str:
        """The name of the class that draws."""
        revision = pinned_commit(self.weights)
        if self.is_answering:
            from transformers import AutoConfig

            config = AutoConfig.from_pretrained(
                self.path,
                revision=revision or "main",
                trust_remote_code=trusted(self.path, self.spec.trust_remote_code),
            )
            return str((config.architectures or [type(config).__name__])[0])
        from diffusers import DiffusionPipeline

        named = DiffusionPipeline.load_config(self.path, revision=revision)["_class_name"]
        # Code of a checkpoint's own: the file and the class.
        return str(named if isinstance(named, str) else named[-1])

    @cached_property
    def _kind(self) -> type | None:
        """The class that draws; None of code that comes with the checkpoint."""
        import diffusers

        kind: type | None = getattr(diffusers, self._class, None)
        return kind

    @property
    def _makes_clips(self) -> bool:
        if self._kind is None:
            return self.spec.num_frames is not None
        return frames_argument(self._kind) is not None

    @property
    def engine(self) -> str:
        """The class that draws, and the version of what we do around it."""
        return f"{self._class}, drawing {DRAWING}"

    def from_what(self, prompt: Prompt) -> Drawn:
        """What a prompt's candidates are drawn from, without the key that a seed makes of it."""
        return self._answered(prompt) if self.is_answering else self._drawn(prompt)

    def candidates(
        self, prompt: Prompt, seeds: Sequence[int], drawn: Drawn | None = None
    ) -> list[Candidate]:
        """A prompt's candidates before there is anything of them: their ids, and what they are to
        be drawn from with their keys, which stay the same whatever becomes of them.

        Args:
            prompt: of the candidates.
            seeds: of them.
            drawn: what a row says that they were drawn from; the recipe counts where None.
        """
        drawn = drawn or self.from_what(prompt)
        ids = candidate_ids(self.name, self.spec, prompt, seeds)
        keyed = with_keys(drawn, prompt, seeds)
        return [
            Candidate(candidate_id, self.name, seed, drawn=one)
            for candidate_id, seed, one in zip(ids, seeds, keyed, strict=True)
        ]

    def _drawn(self, prompt: Prompt) -> Drawn:
        spec = self.spec
        arguments: dict[str, Any] = {
            "num_inference_steps": spec.num_inference_steps,
            "guidance_scale": spec.guidance_scale,
        }
        if self._kind is not None:
            known = arguments_of(self._kind)
            arguments = {name: one for name, one in arguments.items() if name in known}
        arguments |= {name: one for name, one in spec.call.items() if name != _NEGATIVE}
        if self._makes_clips:
            arguments["fps"] = spec.fps
        if spec.variant is not None:
            arguments["variant"] = spec.variant
        negative = spec.call.get(_NEGATIVE)
        usual = f"h264 crf {CLIP_FORMATS['h264']}" if self._makes_clips else "png"
        return Drawn(
            key=None,
            prompt=prompt.text,
            weights=self.weights,
            engine=self.engine,
            precision=spec.precision,
            encoding=usual if spec.encoding.format is None else spec.encoding.told(),
            arguments=json.dumps(arguments, sort_keys=True),
            negative_prompt=None if negative is None else str(negative),
            width=spec.width,
            height=spec.height,
            num_frames=spec.num_frames,
        )

    def _answered(self, prompt: Prompt) -> Drawn:
        asking = self.spec.answering or Answering()
        arguments: dict[str, Any] = {
            "question": asking.question,
            "answer_end": asking.answer_end,
            "temperature": asking.temperature,
            "top_p": asking.top_p,
            "max_new_tokens": asking.max_new_tokens,
        }
        if any(one.num_frames > 1 for one in prompt.media_of("question")):
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
