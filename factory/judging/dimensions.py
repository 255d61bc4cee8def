"""What an answer says of each dimension, by a judge's specification: of one side, or of two.

Dimensions stand on lines of their own ("Alignment Score (1-5): 2.69"), in sections
(`factory.judging.grammar.sections`), or in JSON: by name, or in the order of the specification
where a score is a list. What cannot be read is left out; whether that matters is said by whoever
needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from factory.judging.grammar.answer import Answer, Plain, UnreadableError
from factory.judging.grammar.json_answer import Fields, is_number, objects_in
from factory.judging.grammar.score import dimension_in, plain_label
from factory.judging.grammar.sections import points_of, points_of_sides, sections_in
from factory.judging.grammar.verdict import sides_in
from factory.judging.task_specification import Dimension, TaskSpecification
from schemas import rows
from schemas.rows import Preference

#: Of a difference in points that is none.
_EQUAL = 1e-9


def points_in(text: str, task: TaskSpecification, *, is_cut: bool = False) -> dict[str, float]:
    """The points of one side, by the dimensions' names.

    Args:
        text: what the judge wrote.
        task: its dimensions.
        is_cut: whether the text ends because its length limit was reached.
    """
    if not task.dimensions:
        return {}
    try:
        answer = Answer.of(text, "score")
        objects = objects_in(answer.plain.written(), is_mended=True)
    except UnreadableError:
        return {}
    if objects:
        return _points_in_json([fields for fields, _, _ in objects], task)
    sections = sections_in(answer.plain, [plain_label(one.label) for one in task.dimensions])
    found: dict[str, float] = {}
    for one in task.dimensions:
        bounds = (one.low, one.high)
        try:
            found[one.key] = dimension_in(text, one.label, bounds, is_cut=is_cut).value
        except UnreadableError:
            section = sections.get(plain_label(one.label))
            if section is None:
                continue
            is_open = is_cut and answer.plain.text.endswith(section)
            try:
                found[one.key] = points_of(section, bounds, is_cut=is_open)
            except UnreadableError:
                continue
    return found


def mean_of(points: Mapping[str, float], task: TaskSpecification) -> float:
    """The weighted mean of the dimensions' points, each brought from its own bounds to the scale.

    Raises:
        UnreadableError: one that counts is missing, and may not be; or none is there.
    """
    total = weights = 0.0
    low, high = task.scale[0], task.scale[-1]
    for one in task.dimensions:
        if one.key not in points:
            if one.weight and not one.is_optional:
                raise UnreadableError(f"no points for the dimension {one.key!r}")
            continue
        share = (points[one.key] - one.low) / (one.high - one.low)
        total += one.weight * (low + share * (high - low))
        weights += one.weight
    if not weights:
        raise UnreadableError("no points for any dimension")
    return total / weights


def sides_of(text: str, task: TaskSpecification) -> tuple[rows.Dimension, ...]:
    """What an answer says of two sides in each dimension, in the order of the specification; those
    that it names itself follow.

    Args:
        text: what the judge wrote.
        task: its dimensions; their bounds are those of one side's points and hold here only for
            points in sections.
    """
    try:
        answer = Answer.of(text)
        objects = objects_in(answer.plain.written())
    except UnreadableError:
        return ()
    if objects:
        return ()
    labels = {plain_label(one.label): one for one in task.dimensions}
    named: dict[str, rows.Dimension] = {}
    try:
        for said in sides_in(answer.plain):
            known = _known(said.name, labels)
            key = known.key if known is not None else said.name
            named[key] = rows.Dimension(key, said.preference, said.first, said.second)
    except UnreadableError:
        named = {}
    sections = sections_in(answer.plain, list(labels))
    for label, one in labels.items():
        if one.key in named or label not in sections:
            continue
        try:
            first, second = points_of_sides(sections[label])
        except UnreadableError:
            continue
        named[one.key] = rows.Dimension(one.key, more(first - second), first, second)
    ordered = [one.key for one in task.dimensions if one.key in named]
    return tuple(named[key] for key in (*ordered, *(key for key in named if key not in ordered)))


def verdict_of(dimensions: tuple[rows.Dimension, ...], task: TaskSpecification) -> Preference:
    """The side with more points, by the dimensions' weights.

    Raises:
        UnreadableError: one that counts is missing, and may not be; or none is there.
    """
    found = {one.name: one for one in dimensions}
    lead = weights = 0.0
    for one in task.dimensions:
        said = found.get(one.key)
        if said is None or said.first is None or said.second is None:
            if one.weight and not one.is_optional:
                raise UnreadableError(f"no points for the dimension {one.key!r}")
            continue
        lead += one.weight * (said.first - said.second)
        weights += one.weight
    if not weights:
        raise UnreadableError("no points for any dimension")
    return more(lead)


def more(lead: float) -> Preference:
    """Who has more points, by the first side's lead."""
    if abs(lead) < _EQUAL:
        return "tie"
    return "first" if lead > 0 else "second"


def _known(name: str, labels: Mapping[str, Dimension]) -> Dimension | None:
    """The dimension that a text calls so."""
    for label, one in labels.items():
        if name in (label, one.key, label.removesuffix(" score")):
            return one
    return None


def _points_in_json(objects: list[Fields], task: TaskSpecification) -> dict[str, float]:
    """By the names of fields, of the object or of one within it; or a list under "score"."""
    found: dict[str, float] = {}
    for fields in objects:
        layers = [fields, *(value for value in fields.values() if isinstance(value, dict))]
        for one in task.dimensions:
            label = plain_label(one.label)
            names = {label, label.removesuffix(" score"), Plain.of(one.key).text}
            names |= {f"{name} score" for name in names}
            for layer in layers:
                for name, value in layer.items():
                    if Plain.of(name).text in names and _fits(value, one):
                        found.setdefault(one.key, float(value))
        for name in ("score", "scores"):
            listed = fields.get(name)
            if isinstance(listed, list) and len(listed) == len(task.dimensions):
                for one, value in zip(task.dimensions, listed, strict=True):
                    if _fits(value, one):
                        found.setdefault(one.key, float(value))
    return found


def _fits(value: Any, one: Dimension) -> bool:
    return is_number(value) and one.low <= value <= one.high
