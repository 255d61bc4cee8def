"""Generators and judges of somebody's own, kept from prompts of which they would leave a part out.

Code that was written for a text, and one medium that the text is about, finds the last turn of a
dialogue in `Prompt.text` and nothing in `Prompt.media`: what it made of that would look like any
other row. So it gets a prompt of several parts only where it says that it takes what this one asks
for, by `takes` beside its name (`factory.prompt_parts.Need`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from factory.prompt_parts import Need, check_needs, needs_of
from factory.protocols import Generator, Judge, Sitting, draws_ahead
from schemas.rows import Candidate, Prompt


@dataclass(frozen=True)
class GuardedGenerator:
    """A generator, and what it takes."""

    generator: Generator
    takes: frozenset[Need]

    @property
    def name(self) -> str:
        return self.generator.name

    def generate(self, prompt: Prompt, seeds: Sequence[int]) -> list[Candidate]:
        check_needs(needs_of(prompt), self.takes, self.name)
        return self.generator.generate(prompt, seeds)

    def draw_ahead(self, prompt: Prompt, seeds: Sequence[int]) -> Callable[[], list[Candidate]]:
        if not draws_ahead(self.generator):
            made = self.generate(prompt, seeds)
            return lambda: made
        check_needs(needs_of(prompt), self.takes, self.name)
        return self.generator.draw_ahead(prompt, seeds)


@dataclass(frozen=True)
class GuardedJudge:
    """A judge, and what it takes."""

    judge: Judge
    takes: frozenset[Need]

    @property
    def name(self) -> str:
        return self.judge.name

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> Sitting:
        check_needs(needs_of(prompt), self.takes, self.name)
        return self.judge.sit(prompt, candidates)
