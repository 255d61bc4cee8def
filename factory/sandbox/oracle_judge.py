"""The sandbox oracle as a judge: the truth, behind the same protocol as any opinion.

It scores a picture by its measured quality on the judge's 1-5 scale, and its verdicts are certain.
It is no model and must never label training data in place of the simulated annotators.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy

from factory.media import MediaError
from factory.sandbox.oracle import Measurement, measure_png, prefer
from schemas.rows import Candidate, Duel, Prompt, Score

NAME = "oracle@0"


class OracleJudge:
    """Judges sandbox captions by measuring pixels."""

    name = NAME

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> OracleSitting:
        return OracleSitting(prompt, candidates)


class OracleSitting:
    """One prompt's candidates, each measured once."""

    def __init__(self, prompt: Prompt, candidates: Sequence[Candidate]) -> None:
        self.candidates = candidates
        self.found: list[Measurement | str] = [
            _measure(candidate, prompt.text) for candidate in candidates
        ]

    def scores(self) -> list[Score]:
        return [
            Score(candidate.candidate_id, NAME, math.nan, math.nan, found)
            if isinstance(found, str)
            else Score(candidate.candidate_id, NAME, 1 + 4 * found.quality, 0.0)
            for candidate, found in zip(self.candidates, self.found, strict=True)
        ]

    def about(self, prompt: Prompt) -> OracleSitting:
        """A sitting that can tell nothing: the oracle measures captions and knows no criteria."""
        other = copy(self)
        other.found = ["the oracle measures captions and knows no criteria"] * len(self.found)
        return other

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        return [self._duel(first, second) for first, second in matches]

    def _duel(self, first: int, second: int) -> Duel:
        ids = self.candidates[first].candidate_id, self.candidates[second].candidate_id
        one, other = self.found[first], self.found[second]
        if isinstance(one, str) or isinstance(other, str):
            error = one if isinstance(one, str) else str(other)
            return Duel(*ids, NAME, math.nan, math.nan, math.nan, error)
        found = prefer(one, other)
        return Duel(
            *ids, NAME, float(found == "first"), float(found == "second"), float(found == "tie")
        )


def _measure(candidate: Candidate, caption: str) -> Measurement | str:
    """The oracle's measurement, or why there is none."""
    if candidate.error is not None:
        return f"not generated: {candidate.error}"
    if candidate.media is None:
        return "no media"
    try:
        return measure_png(candidate.media.data, caption)
    except MediaError as error:
        return f"broken media: {error}"
