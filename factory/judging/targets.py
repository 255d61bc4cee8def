"""What a judge that answers in words is to write for a label that says something of each dimension.

A label of points becomes a line for each dimension and, where the judge gives one, the score; a
label of two sides becomes the points of both, for judges whose verdict follows from them. Left out:
sections with a justification each, which no label has.
"""

from __future__ import annotations

from factory.judging.task_specification import Dimension, TaskSpecification
from schemas import rows
from schemas.rows import UNDERSTANDING, Label


def answer_in_words(label: Label, task: TaskSpecification) -> str | None:
    """The answer in full; None where the label is learned by its verdict or its points alone: it
    says nothing of a dimension that counts, or the judge is not asked for dimensions in words.
    """
    if task.reading != "text" or not task.dimensions or not label.dimensions:
        return None
    said = {one.name: one for one in label.dimensions}
    wanted = [one for one in task.dimensions if one.key in said or not one.is_optional]
    if any(one.key not in said for one in wanted):
        return None
    if label.preference is not None:
        return _of_two(label, wanted, said) if task.format == "dimensions" else None
    lines = []
    for one in wanted:
        points = said[one.key].first
        if points is None or not one.low <= points <= one.high:
            return None
        lines.append(f"{one.label}: {points:g}")
    if task.overall == "given":
        if label.points is None:
            return None
        lines.append(task.score.replace("{score}", f"{label.points:g}"))
    return "\n".join(lines)


def _of_two(
    label: Label,
    wanted: list[Dimension],
    said: dict[str, rows.Dimension],
) -> str | None:
    """The points of both sides under the name of each dimension."""
    medium = "video" if label.prompt.task.startswith("video") else "image"
    thing = "Answer" if label.prompt.task in UNDERSTANDING else medium.capitalize()
    blocks = []
    for one in wanted:
        first, second = said[one.key].first, said[one.key].second
        if first is None or second is None:
            return None
        name = one.label.partition("(")[0].strip()
        blocks.append(f"{name}:\n {thing} 1: {first:g}\n {thing} 2: {second:g}")
    return "\n\n".join(blocks)
