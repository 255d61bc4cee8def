"""A judge that says what its calibration makes of it: the same protocol, mapped numbers.

For whoever wants people's points and honest probabilities instead of the judge's own. What was
measured of the judge as it is (its abstention, its bias profile) does not hold for this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from factory.judging.calibration import Calibration
from factory.protocols import Judge, Sitting, scores_of
from schemas.rows import Candidate, Duel, Prompt, Score, Task


@dataclass(frozen=True)
class CalibratedJudge:
    """A judge and its calibration."""

    judge: Judge
    calibration: Calibration

    @property
    def name(self) -> str:
        return self.judge.name

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> CalibratedSitting:
        return CalibratedSitting(self.judge.sit(prompt, candidates), self.calibration, prompt.task)


@dataclass(frozen=True)
class CalibratedSitting:
    """One prompt's candidates before a calibrated judge."""

    sitting: Sitting
    calibration: Calibration
    task: Task

    def scores(self, indices: Sequence[int] | None = None) -> list[Score]:
        return [self.calibration.score(self.task, one) for one in scores_of(self.sitting, indices)]

    def about(self, prompt: Prompt) -> Sitting:
        return CalibratedSitting(self.sitting.about(prompt), self.calibration, self.task)

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        return [self.calibration.duel(self.task, one) for one in self.sitting.duels(matches)]
