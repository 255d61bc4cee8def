"""Reading verdicts and scores from text, for checkpoints and endpoints that only answer in text.

What cannot be read is an error with a reason, never a number and never a tie. A judge may say more
than it was asked for, before or after its answer. The grammar is that of `factory.judging.grammar`,
which reads the labels that other models wrote as well; here it is asked with what a judge's
specification says. Left out: chains of thought that must be *understood* to know the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping

from factory.judging.grammar.answer import UnreadableError
from factory.judging.grammar.score import dimension_in, score_in
from factory.judging.grammar.verdict import verdict_in
from factory.judging.specification import TaskSpecification
from schemas.rows import Preference

__all__ = ["UnreadableError", "parse_dimensions", "parse_score", "parse_verdict"]


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
    label = task.score.partition("{score}")[0]
    scale = (task.scale[0], task.scale[-1])
    return score_in(text, label=label, scale=scale, is_cut=is_cut).value


def parse_dimensions(
    text: str, task: TaskSpecification, *, is_cut: bool = False
) -> dict[str, float]:
    """What a text says of each dimension; those that cannot be read are left out."""
    found = {}
    for one in task.dimensions:
        try:
            number = dimension_in(text, one.label, (one.low, one.high), is_cut=is_cut)
        except UnreadableError:
            continue
        found[one.label] = number.value
    return found
