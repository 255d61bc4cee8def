"""What a judge made of the sides of a conversation: its answer, read by the grammar of judges.

A scale that stands beside a number counts first, then the one that the instruction states, then
that of the set. Points of dimensions are put on the label's scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from factory.judging.grammar.answer import Answer, UnreadableError
from factory.judging.grammar.score import (
    Number,
    dimensions_in,
    listed_scale_in,
    scale_in,
    score_in,
    two_scores_in,
)
from factory.judging.grammar.verdict import Verdict, verdict_in
from factory.labels.draft import Draft, Scale
from factory.labels.instruction import Instruction
from factory.labels.record import Record
from schemas.rows import Dimension, Preference, Prompt

#: The scale of points of which two sides share one.
_SHARES: Scale = (0.0, 1.0)


@dataclass(frozen=True)
class Judgement:
    """What was said of one side, or of two.

    why: the reason given.
    preference: of two sides.
    rating: of one, on `scale`.
    scale: of the rating and of the dimensions' points.
    dimensions: what was said of single aspects.
    """

    why: str
    preference: Preference | None = None
    rating: float | None = None
    scale: Scale | None = None
    dimensions: tuple[Dimension, ...] = ()

    def draft(self, prompt: Prompt, annotator: str, **sides: Any) -> Draft:
        """The draft of a label about these sides."""
        return Draft(
            prompt,
            annotator,
            preference=self.preference,
            rating=self.rating,
            scale=self.scale,
            justification=self.why,
            dimensions=self.dimensions,
            **sides,
        )


def of_pair(record: Record, told: Instruction, answered: str) -> Judgement:
    """The verdict of an answer; points of dimensions count on a scale that is known.

    Raises:
        LabelError: it cannot be read.
    """
    if told.layout == "headed":
        try:
            return _two_scores(record, told, answered)
        except UnreadableError:
            pass  # not every such layout asks for two scores
    try:
        verdict = verdict_in(answered)
    except UnreadableError as error:
        known = {"no verdict": "gives no verdict", "contradictory verdicts": "contradicts itself"}
        what = known.get(str(error), f"cannot be read ({error})")
        raise record.fault("conversations", f"{what}: {answered!r:.120}") from None
    scale, dimensions = _dimensions_of_pair(told, verdict)
    return Judgement(verdict.reason, verdict.preference, scale=scale, dimensions=dimensions)


def _two_scores(record: Record, told: Instruction, answered: str) -> Judgement:
    first, second, why = two_scores_in(answered)
    scale = scale_in(told.rest)
    if scale is not None:
        for score in (first, second):
            record.as_number("conversations", score, *scale)
    preference: Preference = "tie" if first == second else "first" if first > second else "second"
    return Judgement(why, preference)


def _dimensions_of_pair(
    told: Instruction, verdict: Verdict
) -> tuple[Scale | None, tuple[Dimension, ...]]:
    """What is said of dimensions; without a scale, which side each prefers alone."""
    points = [(one.first or 0.0, one.second or 0.0) for one in verdict.dimensions]
    if not points:
        return None, ()
    are_shares = all(abs(first + second - 1) < 0.02 for first, second in points)
    scale = _SHARES if are_shares else scale_in(told.rest)
    if scale is None or not all(scale[0] <= one <= scale[1] for both in points for one in both):
        return None, tuple(Dimension(one.name, one.preference) for one in verdict.dimensions)
    return scale, verdict.dimensions


def of_one(record: Record, told: Instruction, answered: str, usual: Scale | None) -> Judgement:
    """The score of an answer, else the mean of its dimensions.

    Args:
        record: of the row, for its faults.
        told: what was asked.
        answered: in words.
        usual: the scale where neither the answer nor the instruction states one; None where that
            is a fault.

    Raises:
        LabelError: it cannot be read, or on no scale that is known.
    """
    rest = told.rest.lower()
    try:
        numbers = dimensions_in(answered, lambda name: name in rest)
        score = _score(answered, is_needed=not numbers)
    except UnreadableError as error:
        what = "give no score" if str(error).startswith("no number") else f"give no score ({error})"
        raise record.fault("conversations", f"{what}: {answered!r:.120}") from None
    scale = _scale(record, told, score, numbers, usual)
    dimensions = _dimensions(record, told, numbers, scale, is_mean=score is None)
    if score is not None:
        if score.of not in (None, scale[1]):
            said = (
                f"{score.value:g} out of {score.of:g} on a scale from {scale[0]:g} to {scale[1]:g}"
            )
            raise record.fault("conversations", f"give {said}")
        rating = record.as_number("conversations", score.value, *scale)
        return Judgement(score.reason, rating=rating, scale=scale, dimensions=dimensions)
    points = [one.first for one in dimensions if one.first is not None]
    why = Answer.of(answered).reasoning
    return Judgement(why, rating=sum(points) / len(points), scale=scale, dimensions=dimensions)


def _score(answered: str, *, is_needed: bool) -> Number | None:
    """The score of the whole; None where none is needed, and there is none."""
    try:
        return score_in(answered)
    except UnreadableError as error:
        if is_needed or not str(error).startswith("no number"):
            raise
        return None


def _scale(
    record: Record,
    told: Instruction,
    score: Number | None,
    numbers: Mapping[str, Number],
    usual: Scale | None,
) -> Scale:
    """That which stands beside the number, else that of the instruction, else the usual one."""
    beside = {score.scale} if score is not None else {one.scale for one in numbers.values()}
    stated, asked = beside.pop() if len(beside) == 1 else None, scale_in(told.rest)
    if score is not None and stated and asked not in (None, stated):
        raise record.fault("conversations", "give a score on another scale than was asked for")
    scale = stated or asked or usual
    if scale is None:
        raise record.fault(
            "conversations",
            "state no scale, as 'from 0 to 100', and this layout of the set has several",
        )
    return scale


def _dimensions(
    record: Record,
    told: Instruction,
    numbers: Mapping[str, Number],
    scale: Scale,
    *,
    is_mean: bool,
) -> tuple[Dimension, ...]:
    """Dimensions with their points on the label's scale; one beside a score whose own scale is
    not known is left out.
    """
    listed = scale if is_mean else listed_scale_in(told.rest)
    found = []
    for name, number in numbers.items():
        own = number.scale or listed
        if own is not None:
            value = record.as_number("conversations", number.value, *own)
            if own != scale:
                share = (value - own[0]) / (own[1] - own[0])
                value = round(scale[0] + share * (scale[1] - scale[0]), 9)
            found.append(Dimension(name, first=value))
    return tuple(found)
