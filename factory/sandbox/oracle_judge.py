"""The sandbox oracle as a judge: the truth, behind the same protocol as any opinion.

It scores a picture, a clip or an answer by its measured quality on a scale from 1 to 5, and its
verdicts are certain. It is no model and must never label training data in place of the simulated
annotators. As the reference of a recipe it also says which prompts it knows, and how to make the
parts of the sandbox that are not shipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from copy import copy
from typing import Literal

from factory.media.pictures import MediaError
from factory.sandbox.four_tasks import Side, check_prompts, see
from schemas.recipe import GeneratorSpec
from schemas.rows import UNDERSTANDING, Candidate, Duel, Prompt, Score

NAME = "oracle@0"
#: Points of what has no fault.
FULL = 5.0
#: Qualities that differ by less are a tie, in all four tasks (`ORACLE_TIE`, `CLIP_TIE`,
#: `ANSWER_TIE`).
TIE = 0.04


class OracleJudge:
    """Judges what was made for the sandbox's captions by measuring pixels, and answers to its
    questions by the scene that they are about.
    """

    name = NAME
    full_marks = FULL

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> OracleSitting:
        return OracleSitting(prompt, candidates)

    def check(self, path: str, prompts: Iterable[Prompt]) -> None:
        """Refuse prompts that are not the sandbox's; raises ForeignPromptError."""
        check_prompts(path, prompts)

    def how_to_make(
        self, part: Literal["generator", "prompts"], directory: str, generator: GeneratorSpec
    ) -> str:
        """The command that makes a part of the sandbox which is not shipped."""
        if part == "generator" and generator.num_frames is not None:
            made = "clips"
        elif part == "prompts" and generator.answering is not None:
            made = "questions"
        else:
            return ""
        command = f"python -m jobs.sandbox {made} --out {directory}"
        return f"the sandbox's own {made} are made by `{command}`"


class OracleSitting:
    """One prompt's candidates, each measured once."""

    def __init__(self, prompt: Prompt, candidates: Sequence[Candidate]) -> None:
        self.candidates = candidates
        self.found: list[float | str] = [_measure(prompt, candidate) for candidate in candidates]

    def scores(self, indices: Sequence[int] | None = None) -> list[Score]:
        wanted = range(len(self.candidates)) if indices is None else indices
        return [self._score(index) for index in wanted]

    def about(self, prompt: Prompt) -> OracleSitting:
        """A sitting that can tell nothing: the oracle measures prompts and knows no criteria."""
        other = copy(self)
        other.found = ["the oracle measures prompts and knows no criteria"] * len(self.found)
        return other

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        return [self._duel(first, second) for first, second in matches]

    def _score(self, index: int) -> Score:
        candidate_id, found = self.candidates[index].candidate_id, self.found[index]
        if isinstance(found, str):
            return Score(candidate_id, NAME, math.nan, math.nan, found)
        return Score(candidate_id, NAME, 1 + (FULL - 1) * found, 0.0)

    def _duel(self, first: int, second: int) -> Duel:
        ids = self.candidates[first].candidate_id, self.candidates[second].candidate_id
        one, other = self.found[first], self.found[second]
        if isinstance(one, str) or isinstance(other, str):
            error = one if isinstance(one, str) else str(other)
            return Duel(*ids, NAME, math.nan, math.nan, math.nan, error)
        lead = one - other
        if abs(lead) < TIE:
            return Duel(*ids, NAME, 0.0, 0.0, 1.0)
        return Duel(*ids, NAME, float(lead > 0), float(lead < 0), 0.0)


def _measure(prompt: Prompt, candidate: Candidate) -> float | str:
    """The quality that the oracle measures, 0 to 1, or why it measures none."""
    if candidate.error is not None:
        return f"not generated: {candidate.error}"
    is_answer = prompt.task in UNDERSTANDING
    if (candidate.answer if is_answer else candidate.media) is None:
        return "no answer" if is_answer else "no media"
    try:
        return see(prompt, Side(candidate.media, candidate.answer)).quality
    except MediaError as error:
        return f"broken media: {error}"
