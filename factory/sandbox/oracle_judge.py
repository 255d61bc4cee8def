"""The sandbox oracle as a judge: the truth, behind the same protocol as any opinion.

It scores a picture by its measured quality on the judge's 1-5 scale, and its verdicts are certain.
It is no model and must never label training data in place of the simulated annotators.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from factory.media import MediaError
from factory.sandbox.oracle import measure_png, prefer
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
        self.quality: list[float] = []
        self.errors: list[str | None] = []
        for candidate in candidates:
            quality, error = math.nan, candidate.error
            if candidate.media is None:
                error = error or "no media"
            else:
                try:
                    quality = measure_png(candidate.media.data, prompt.text).quality
                except MediaError as broken:
                    error = f"broken media: {broken}"
            self.quality.append(quality)
            self.errors.append(error)

    def scores(self) -> list[Score]:
        return [
            Score(candidate.candidate_id, NAME, 1 + 4 * quality, 0.0, error)
            for candidate, quality, error in zip(
                self.candidates, self.quality, self.errors, strict=True
            )
        ]

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        return [self._duel(first, second) for first, second in matches]

    def _duel(self, first: int, second: int) -> Duel:
        ids = self.candidates[first].candidate_id, self.candidates[second].candidate_id
        error = self.errors[first] or self.errors[second]
        if error is not None:
            return Duel(*ids, NAME, math.nan, math.nan, math.nan, error)
        found = prefer(self.quality[first], self.quality[second])
        return Duel(
            *ids, NAME, float(found == "first"), float(found == "second"), float(found == "tie")
        )
