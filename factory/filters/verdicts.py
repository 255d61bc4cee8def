"""Objections to what the judge said: statements that contradict each other or say too little."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.rows import Pair, Task

_ROUNDING = 1e-9  # the least confidence is that of a pair, which must pass


@dataclass(frozen=True)
class Inconsistent:
    """The verdict of the two sides' duel depends on which is shown first."""

    needs_media = False

    def __call__(self, pair: Pair) -> str | None:
        if not pair.is_flipped:
            return None
        return "inconsistent: the duel's verdict changes with the order shown"


@dataclass(frozen=True)
class ThinMargin:
    """The chosen side is not stronger by enough.

    min_margin: in points of the judge's scale, by task, or of all.
    """

    min_margin: float | Mapping[Task, float]

    needs_media = False

    def __call__(self, pair: Pair) -> str | None:
        least = of_task(self.min_margin, pair.prompt.task)
        if not pair.margin < least:  # a baseline without margins has NaN
            return None
        return f"thin margin: {pair.margin:.3g} points, {least:.3g} wanted"


def of_task(limit: float | Mapping[Task, float], task: Task) -> float:
    """A limit of one task: 0 where limits differ by task and none is given for it."""
    return limit.get(task, 0.0) if isinstance(limit, Mapping) else limit


@dataclass(frozen=True)
class LowConfidence:
    """It is not probable enough that the chosen side is truly the better one.

    min_confidence: least P(right), see `confidence`.
    """

    min_confidence: float

    needs_media = False

    def __call__(self, pair: Pair) -> str | None:
        sure = confidence(pair)
        if not sure < self.min_confidence:
            return None
        return f"low confidence: {sure:.2f}, {self.min_confidence:g} wanted"


def confidence(pair: Pair) -> float:
    """P(right): the probability that the chosen side is truly the better one.

    Φ(margin / sd) of the likelihood of all scores and duels of the prompt, the judge's own error
    about each candidate included. A duel of the two sides is part of it, and is no second opinion:
    its log-odds alone would leave that error out. They stand only where the order claims no margin,
    and it is NaN where there are none.
    """
    if not math.isfinite(pair.margin):
        return pair.p_chosen
    if not pair.margin_sd > 0:
        return 0.5 if pair.margin == 0 else float(pair.margin > 0)
    return 0.5 * math.erfc(-pair.margin / pair.margin_sd / math.sqrt(2))


@dataclass(frozen=True)
class Abstain:
    """The judge is less confident than its calibration asks of it, by the duel of the two sides.

    What was measured of abstention is about duels, so a pair that never met is not looked at.

    least: confidence of the preferred side, by task (`Calibration.least_confidence`).
    """

    least: Mapping[Task, float]

    needs_media = False

    def __call__(self, pair: Pair) -> str | None:
        least = self.least.get(pair.prompt.task)
        confidence = max(pair.p_chosen, 1 - pair.p_chosen)
        if least is None or not confidence < least - _ROUNDING:
            return None
        if math.isinf(least):
            return f"abstention: no confidence is known that is enough on {pair.prompt.task}"
        return f"abstention: a duel with confidence {confidence:.3f}, {least:.3f} wanted"


@dataclass(frozen=True)
class Dissent:
    """Too many members of a panel prefer the rejected side."""

    max_dissent: float

    needs_media = False

    def __call__(self, pair: Pair) -> str | None:
        if pair.dissent is None or not pair.dissent > self.max_dissent + _ROUNDING:
            return None
        return (
            f"panel: {pair.dissent:.0%} of its members prefer the rejected side, "
            f"{self.max_dissent:.0%} at most wanted"
        )


@dataclass(frozen=True)
class Disagree:
    """Order, duel and scores do not all name the same side as the better one."""

    needs_media = False

    def __call__(self, pair: Pair) -> str | None:
        says = {
            "order": pair.margin,
            "duel": pair.p_chosen - 0.5,
            "scores": pair.score_margin,
        }
        against = [name for name, lead in says.items() if lead < 0]
        in_favour = [name for name, lead in says.items() if lead > 0]
        if not against or not in_favour:
            return None
        return (
            f"disagreement: {' and '.join(in_favour)} for the chosen side, "
            f"{' and '.join(against)} for the rejected one"
        )
