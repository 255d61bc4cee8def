"""What a model must offer to the factory. Everything in `actors` implements one of these two.

The oracle of the sandbox is a `Judge` too, so whatever can be measured by a judge can be measured
by the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from schemas.rows import Candidate, Duel, Preference, Prompt, Score


class Generator(Protocol):
    """Draws candidates. The same name, prompt and seeds give the same bytes."""

    @property
    def name(self) -> str:
        """`name@version`."""

    def generate(self, prompt: Prompt, seeds: Sequence[int]) -> list[Candidate]:
        """One candidate for each seed, in order; a failure is a candidate with an `error`."""


class Sitting(Protocol):
    """The candidates of one prompt before a judge: each is encoded once and used many times."""

    def scores(self) -> list[Score]:
        """One score for each candidate, in order; an unreadable one has an `error`."""

    def about(self, prompt: Prompt) -> Sitting:
        """The same candidates before the same judge under another prompt, such as one with a
        criterion added; what was encoded is kept.
        """

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        """One duel for each match, in order; a match is (index shown first, index shown second)."""


@runtime_checkable
class Explains(Protocol):
    """A sitting whose judge can say why, as far as its specification asks for reasons."""

    def justify_score(self, index: int, value: float) -> str:
        """Why a candidate has its score; empty where no reason can be had."""

    def justify_duel(self, match: tuple[int, int], preference: Preference) -> str:
        """Why one of the two sides, in the order shown, is preferred; empty likewise."""


class Judge(Protocol):
    """Scores and compares candidates."""

    @property
    def name(self) -> str:
        """`name@version`."""

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> Sitting:
        """Take in one prompt's candidates."""
