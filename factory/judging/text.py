"""Reading verdicts and scores from text, for checkpoints and endpoints that only answer in text.

What cannot be read is an error with a reason, never a number and never a tie. A judge may say more
than it was asked for, before or after its answer. The grammar is that of `factory.judging.grammar`,
which reads the labels that other models wrote as well; here it is asked with what a judge's
specification says: where the answer stands, on which scale it is, and what its dimensions come to.
Left out: chains of thought that must be *understood* to know the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from factory.judging.dimensions import mean_of, points_in, sides_of, verdict_of
from factory.judging.grammar.answer import Answer, UnreadableError
from factory.judging.grammar.json_answer import objects_in
from factory.judging.grammar.score import Number, score_in
from factory.judging.grammar.verdict import Verdict, verdict_in
from factory.judging.task_specification import Format, TaskSpecification
from schemas.rows import Preference

__all__ = [
    "UnreadableError",
    "parse_dimensions",
    "parse_duel",
    "parse_score",
    "parse_scored",
    "parse_verdict",
]


def parse_verdict(
    text: str, answers: Mapping[Preference, str], *, is_cut: bool = False
) -> Preference:
    """The verdict that a text gives.

    The checkpoint's own sentences count, and so do "Answer A is better", "Winner: image 2" and
    their like. If all own sentences share a lead ("Overall Judgment:"), only what follows its last
    occurrence counts.

    Args:
        text: what the judge wrote.
        answers: the sentence that stands for each verdict.
        is_cut: whether the text ends because its length limit was reached: a verdict at the very
            end could have gone on.

    Raises:
        UnreadableError: empty, no verdict, verdicts that contradict each other, one in doubt, or
            one cut short.
    """
    return verdict_in(text, answers, is_cut=is_cut).preference


def parse_duel(text: str, task: TaskSpecification, *, is_cut: bool = False) -> Verdict:
    """The verdict that a text gives where the specification says that it stands, with what was said
    for it and of single dimensions.

    Raises:
        UnreadableError: as `parse_verdict`; or the answer is not of the specification's format.
    """
    _check_format(text, task.format)
    dimensions = sides_of(text, task)
    if task.format == "dimensions":
        if is_cut and text.rstrip()[-1:].isalnum():
            raise UnreadableError("cut short")
        return Verdict(verdict_of(dimensions, task), _reasoning(text), dimensions)
    found = verdict_in(text, task.answers, is_cut=is_cut)
    return replace(found, dimensions=dimensions or found.dimensions)


def parse_score(text: str, task: TaskSpecification, *, is_cut: bool = False) -> float:
    """The score that a text gives, on the task's scale; decimals are kept.

    Args:
        text: what the judge wrote.
        task: its label format and scale.
        is_cut: whether the text ends because its length limit was reached: a number at the very
            end could have gone on ("1" of "10", "3" of "3.75").

    Raises:
        UnreadableError: empty, no number after the label, different ones, one off the scale or out
            of something else, or one cut short.
    """
    return parse_scored(text, task, is_cut=is_cut)[0].value


def parse_scored(
    text: str, task: TaskSpecification, *, is_cut: bool = False
) -> tuple[Number, dict[str, float]]:
    """The score that a text gives, with what was said for it, and its points for each dimension.

    Raises:
        UnreadableError: as `parse_score`; or a dimension is missing of which the score is made, or
            the answer is not of the specification's format.
    """
    _check_format(text, task.format)
    points = points_in(text, task, is_cut=is_cut)
    if task.overall == "mean":
        return Number(mean_of(points, task), reason=_reasoning(text)), points
    label = task.score.partition("{score}")[0]
    scale = (task.scale[0], task.scale[-1])
    return score_in(text, label=label, scale=scale, is_cut=is_cut), points


def parse_dimensions(
    text: str, task: TaskSpecification, *, is_cut: bool = False
) -> dict[str, float]:
    """What a text says of each dimension, by its label; those that cannot be read are left out."""
    points = points_in(text, task, is_cut=is_cut)
    return {one.label: points[one.key] for one in task.dimensions if one.key in points}


def _check_format(text: str, wanted: Format) -> None:
    """Refuse an answer that does not stand where it should.

    Raises:
        UnreadableError: there is none.
    """
    if wanted in ("any", "dimensions"):
        return
    answer = Answer.of(text)
    if wanted == "tags" and not answer.is_apart:
        raise UnreadableError("no answer in tags")
    if wanted == "json" and not objects_in(answer.plain.written(), is_mended=True):
        raise UnreadableError("no answer in JSON")


def _reasoning(text: str) -> str:
    """What was said beside points that stand in it: all of it, tags of reasoning first."""
    answer = Answer.of(text)
    parts = (answer.reasoning, answer.plain.written().strip())
    return "\n".join(part for part in parts if part)
