"""A judge whose statements are signed by another name: that which a recipe gives it.

A judge of somebody's own calls itself what it likes; scores and duels are told apart by the names
that the recipe knows. Reasons are not passed on: whoever renames a judge compares numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from factory.protocols import Judge, Sitting, scores_of
from schemas.rows import Candidate, Duel, Prompt, Score


@dataclass(frozen=True)
class SignedJudge:
    """A judge, and the `name@version` by which it is known."""

    judge: Judge
    name: str

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> SignedSitting:
        return SignedSitting(self.judge.sit(prompt, candidates), self.name)


@dataclass(frozen=True)
class SignedSitting:
    """One prompt's candidates before a judge that is known by another name."""

    sitting: Sitting
    name: str

    def scores(self, indices: Sequence[int] | None = None) -> list[Score]:
        return [replace(score, judge=self.name) for score in scores_of(self.sitting, indices)]

    def about(self, prompt: Prompt) -> Sitting:
        return SignedSitting(self.sitting.about(prompt), self.name)

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        return [replace(duel, judge=self.name) for duel in self.sitting.duels(matches)]
