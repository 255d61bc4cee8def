"""What a model must offer to the factory, and what may stand in for people and for the truth.

Everything in `actors` is a `Generator` or a `Judge`. What knows the truth is a `Judge` too, so
whatever can be measured by a judge can be measured by the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from inspect import signature
from typing import Literal, Protocol, TypeGuard, runtime_checkable

from schemas.recipe import GeneratorSpec
from schemas.rows import Candidate, Duel, Group, Label, Preference, Prompt, Score


class Generator(Protocol):
    """Draws candidates. The same name, prompt and seeds give the same bytes."""

    @property
    def name(self) -> str:
        """`name@version`."""

    def generate(self, prompt: Prompt, seeds: Sequence[int]) -> list[Candidate]:
        """One candidate for each seed, in order; a failure is a candidate with an `error`."""


@runtime_checkable
class DrawsAhead(Protocol):
    """A generator that can go on while what it has drawn is encoded and measured elsewhere."""

    def draw_ahead(self, prompt: Prompt, seeds: Sequence[int]) -> Callable[[], list[Candidate]]:
        """As `generate` in two steps: all is drawn when this returns, and what it returns encodes
        and measures. That second step may run in another thread beside further draws, is called
        once, and raises nothing that a candidate's `error` can say.
        """


def draws_ahead(generator: Generator) -> TypeGuard[DrawsAhead]:
    """Whether a generator is one; asked for each prompt, so without Python's slow look at all that
    a protocol names.
    """
    return hasattr(generator, "draw_ahead")


class Sitting(Protocol):
    """The candidates of one prompt before a judge: each is encoded once and used many times."""

    def scores(self, indices: Sequence[int] | None = None) -> list[Score]:
        """One score for each of these candidates, in order, or for all; an unreadable one has an
        `error`. A sitting that takes no `indices` is always asked about all (`scores_of`).
        """

    def about(self, prompt: Prompt) -> Sitting:
        """The same candidates before the same judge under another prompt, such as one with a
        criterion added; what was encoded is kept.
        """

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        """One duel for each match, in order; a match is (index shown first, index shown second)."""


def scores_of(sitting: Sitting, indices: Sequence[int] | None = None) -> list[Score]:
    """Scores of these candidates, in order, or of all; of a sitting that can only be asked about
    all, those among them.
    """
    if indices is None:
        return sitting.scores()
    if "indices" in signature(sitting.scores).parameters:
        return sitting.scores(indices)
    every = sitting.scores()
    return [every[index] for index in indices]


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


class ReferenceJudge(Judge, Protocol):
    """A judge that knows what is right of some prompts, where others have an opinion
    (`evaluate.oracle`). The driver makes one as well as the workers: what is heavy waits for `sit`.
    """

    @property
    def full_marks(self) -> float:
        """The score of what has no fault; anything less is an error."""

    def check(self, path: str, prompts: Iterable[Prompt]) -> None:
        """Refuse prompts of which it does not know what is right.

        Args:
            path: of their file, for the message.
            prompts: in the order of its rows.

        Raises:
            ValueError: names file and row, and says why.
        """

    def how_to_make(
        self, part: Literal["generator", "prompts"], directory: str, generator: GeneratorSpec
    ) -> str:
        """How to make what a recipe about its prompts names and nobody has made yet, as the end of
        a sentence; empty where it cannot say.

        Args:
            part: what is missing.
            directory: in which the recipe expects it.
            generator: that is missing, or that is to draw for the missing prompts.
        """


class Simulator(Protocol):
    """Labels groups where there are no people (`labels.simulator`). It is made of a recipe's
    `labels` and its seed.
    """

    def check(self, path: str, prompts: Iterable[Prompt]) -> None:
        """Refuse prompts whose candidates it cannot label; as `ReferenceJudge.check`."""

    def __call__(self, group: Group) -> list[Label]:
        """Labels of a group's candidates, each signed `simulated:NAME`. The same group gives the
        same labels.
        """
