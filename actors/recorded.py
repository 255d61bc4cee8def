"""A generator of somebody's own, whose candidates say what they were drawn from as those of our own
do: without a revision of its owner's they have no keys, and nobody takes them over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from actors.memory import is_attempt, reason
from factory.keys import with_keys
from factory.media.measures import all_measures
from factory.protocols import Generator, draws_ahead
from schemas.identity import identity
from schemas.recipe import GeneratorSpec
from schemas.rows import Candidate, Drawn, Prompt, content_id

#: What has a field of its own in `Drawn`, or decides nothing of what is drawn.
_SAID = ("name", "precision", "revision", "width", "height", "num_frames", "trust_remote_code")


def drawn_by(engine: str, spec: GeneratorSpec, weights: str | None) -> Drawn:
    """What candidates are drawn from by such a generator, whatever the prompt, and without key."""
    said = {key: value for key, value in identity(spec).items() if key not in _SAID}
    return Drawn(
        key=None,
        prompt="",
        weights=weights,
        engine=engine,
        precision=spec.precision,
        encoding="its own",
        arguments=json.dumps(said, sort_keys=True),
        width=spec.width,
        height=spec.height,
        num_frames=spec.num_frames,
    )


@dataclass(frozen=True)
class RecordedGenerator:
    """Fills in `drawn` and `measures`, where the generator has not done so.

    generator: that draws; `DrawsAhead` is made use of.
    engine: what is named in the recipe, `package.module:name`.
    spec: the section that it was made of.
    weights: its name and its owner's revision; None without one.
    """

    generator: Generator
    engine: str
    spec: GeneratorSpec
    weights: str | None

    @property
    def name(self) -> str:
        return self.generator.name

    def from_what(self, prompt: Prompt) -> Drawn:
        """What a prompt's candidates are drawn from, without key."""
        return replace(self._drawn_by, prompt=prompt.text)

    @cached_property
    def _drawn_by(self) -> Drawn:
        return drawn_by(self.engine, self.spec, self.weights)

    def generate(self, prompt: Prompt, seeds: Sequence[int]) -> list[Candidate]:
        return self.draw_ahead(prompt, seeds)()

    def draw_ahead(self, prompt: Prompt, seeds: Sequence[int]) -> Callable[[], list[Candidate]]:
        drawn = self.from_what(prompt)
        try:
            finish = self._draw(prompt, seeds)
        except Exception as error:
            none = [
                self._failed(one, prompt, seed, error)
                for seed, one in zip(seeds, with_keys(drawn, prompt, seeds), strict=True)
            ]
            return lambda: none
        return lambda: _recorded(finish(), drawn, prompt)

    def _draw(self, prompt: Prompt, seeds: Sequence[int]) -> Callable[[], list[Candidate]]:
        if draws_ahead(self.generator):
            return self.generator.draw_ahead(prompt, seeds)
        made = self.generator.generate(prompt, seeds)
        return lambda: made

    def _failed(self, drawn: Drawn, prompt: Prompt, seed: int, error: Exception) -> Candidate:
        return Candidate(
            content_id("candidate", prompt.prompt_id, self.name, seed),
            self.name,
            seed,
            error=reason(error),
            drawn=drawn,
            is_attempt=is_attempt(error),
        )


def _recorded(made: Sequence[Candidate], drawn: Drawn, prompt: Prompt) -> list[Candidate]:
    """What the generator says itself stands, under the keys that were known before."""
    made = [_one_output(one) for one in made]
    keyed = with_keys(drawn, prompt, [one.seed for one in made])
    measured = all_measures([_without_error(one) for one in made])
    return [
        replace(
            one,
            drawn=known if one.drawn is None else replace(one.drawn, key=known.key),
            measures=measures,
        )
        for one, known, measures in zip(made, keyed, measured, strict=True)
    ]


def _one_output(candidate: Candidate) -> Candidate:
    """The candidate, or what is wrong with it where a row could not hold it: it is nobody's to
    guess which of two outputs was meant, and its fault is no other candidate's.
    """
    media = candidate.media
    answer: object = candidate.answer  # of anybody's code
    if media is not None and answer is not None:
        why = "both a medium and an answer: a candidate is one of them"
    elif media is not None and not isinstance(media.stored, bytes):
        why = f"a medium of {type(media.stored).__name__}, not of the bytes of a file"
    elif answer is not None and not isinstance(answer, str):
        why = f"an answer of {type(answer).__name__}, not of str"
    elif media is None and answer is None and candidate.error is None:
        why = "neither a medium nor an answer, and no error"
    else:
        return candidate
    return replace(candidate, media=None, answer=None, error=f"the generator gave {why}")


def _without_error(candidate: Candidate) -> Candidate:
    """What there is of a candidate is measured, whatever its generator says against it."""
    return candidate if candidate.error is None else replace(candidate, error=None)
