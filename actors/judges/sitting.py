"""One prompt's candidates before any judge of ours: what cannot be judged is marked, never guessed.

A judge fills in two methods: how scores and duels of what *can* be judged are read.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import Self

from actors.judges.looks import look_at
from factory.judging.specification import TaskSpecification
from factory.judging.text import UnreadableError, parse_score, parse_verdict
from factory.judging.verdicts import PREFERENCES
from schemas.rows import Candidate, Duel, Prompt, Score

Match = tuple[int, int]
#: Numbers read from one answer (value and spread, or p of first, second and tie), or why none are.
Found = tuple[tuple[float, ...], str | None]


class ReadSitting(ABC):
    """Scores and duels with every failure marked.

    looks: the media, each decoded once.
    sides: for each candidate what is judged of it, or why it cannot be.
    """

    def __init__(
        self, judge: str, task: TaskSpecification, prompt: Prompt, candidates: Sequence[Candidate]
    ) -> None:
        self.name = judge
        self.task = task.for_prompt(prompt)
        self.prompt = prompt
        self.candidates = candidates
        self.looks, self.sides = look_at(prompt, candidates, task.num_frames)

    @abstractmethod
    def read_scores(self, indices: Sequence[int]) -> Sequence[Found]:
        """Value and spread of each of these candidates."""

    @abstractmethod
    def read_duels(self, matches: Sequence[Match]) -> Sequence[Found]:
        """Probabilities of first, second and tie of each of these matches."""

    def scores(self) -> list[Score]:
        playable = [at for at, side in enumerate(self.sides) if side.error is None]
        found = dict(zip(playable, self.read_scores(playable) if playable else (), strict=True))
        made = []
        for at, (candidate, side) in enumerate(zip(self.candidates, self.sides, strict=True)):
            (value, spread), error = _checked(found.get(at), side.error, 2)
            made.append(Score(candidate.candidate_id, self.name, value, spread, error))
        return made

    def about(self, prompt: Prompt) -> Self:
        other = copy(self)  # with the same media, however they are encoded
        other.prompt = prompt
        return other

    def duels(self, matches: Sequence[Match]) -> list[Duel]:
        broken = {match: next(filter(None, self._errors(match)), None) for match in matches}
        playable = [match for match in broken if broken[match] is None]
        found = dict(zip(playable, self.read_duels(playable) if playable else (), strict=True))
        made = []
        for match in matches:
            (p_first, p_second, p_tie), error = _checked(found.get(match), broken[match], 3)
            first, second = (self.candidates[at].candidate_id for at in match)
            made.append(Duel(first, second, self.name, p_first, p_second, p_tie, error))
        return made

    def _errors(self, match: Match) -> list[str | None]:
        return [self.sides[at].error for at in match]

    def shown(self, match: Sequence[int]) -> tuple[list[int], list[str], list[int]]:
        """Indices of the looks that a prompt for these sides shows, their answers, and indices of
        what their edits start from.
        """
        sides = [self.sides[at] for at in match]
        answers = [side.answer for side in sides if side.answer is not None]
        looks = [look for side in (sides[:1] if answers else sides) for look in side.looks]
        return looks, answers, list(sides[0].sources)

    def score_in(self, text: str, is_cut: bool) -> Found:
        """The score in what a judge wrote."""
        try:
            return (parse_score(text, self.task, is_cut=is_cut), 0.0), None
        except UnreadableError as error:
            return (), f"unreadable: {error}"

    def verdict_in(self, text: str, is_cut: bool) -> Found:
        """The verdict in what a judge wrote; it is certain, since a text tells no probability."""
        try:
            verdict = parse_verdict(text, self.task.answers, is_cut=is_cut)
        except UnreadableError as error:
            return (), f"unreadable: {error}"
        return tuple(float(verdict == one) for one in PREFERENCES), None


def _checked(found: Found | None, error: str | None, size: int) -> Found:
    """Numbers that are finite, or NaN and a reason."""
    numbers: tuple[float, ...] = ()
    if found is not None and error is None:
        numbers, error = found
    if error is None and not all(math.isfinite(one) for one in numbers):
        error = "the judge's answer is not a finite number"
    return (numbers, None) if error is None else ((math.nan,) * size, error)
