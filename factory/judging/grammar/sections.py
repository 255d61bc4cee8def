"""Answers in sections: a heading for each dimension, what is said of it, and its points.

    1. Text Faithfulness:
    ## Justification: the car is red, and there is no lake.
    ## Score: 2.5

A section ends at the next heading of a dimension, or at a summary. Points stand after "Score"; of
two sides after "Score A" and "Score B", or after the sides themselves. "N/A" is no number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from factory.judging.grammar.answer import Plain, UnreadableError
from factory.judging.grammar.score import Scale, score_in
from factory.judging.grammar.sides import THING

_POINTS = r"(?P<points>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?![\w%]|\.[0-9]| ?[+*=%])"
_OF_SIDE = re.compile(
    rf"^[-•\s]*(?:scores? ?|(?:{THING}) ?)(?P<side>[12ab])(?: score)? ?[:=(] ?{_POINTS}"
    r"(?: ?/ ?[0-9]+(?:\.[0-9]+)?)?\)?(?=\W|$)",
    re.MULTILINE,
)
_END = r"(?:summary|conclusion|overall|final|total|user request)\b"


def sections_in(plain: Plain, labels: Sequence[str]) -> dict[str, str]:
    """What is said under each heading, in plain text; headings that are not there, or twice, are
    left out.

    Args:
        plain: of the answer.
        labels: the headings, in plain text.
    """
    if not labels:
        return {}
    named = "|".join(re.escape(one) for one in sorted(labels, key=len, reverse=True))
    head = re.compile(
        rf"^[-•\s]*(?:\(?[0-9]+[.)] ?)?(?:(?P<name>{named})(?: (?:score|rating))?"
        rf"(?: ?\([^()\n]*\))? ?:? ?$|{_END})",
        re.MULTILINE,
    )
    marks = list(head.finditer(plain.text))
    found: dict[str, str] = {}
    twice: set[str] = set()
    for at, mark in enumerate(marks):
        name = mark["name"]
        if name is None:
            continue
        end = marks[at + 1].start() if at + 1 < len(marks) else len(plain.text)
        if name in found:
            twice.add(name)
        found[name] = plain.text[mark.end() : end].strip()
    return {name: said for name, said in found.items() if name not in twice}


def points_of(section: str, scale: Scale, *, is_cut: bool = False) -> float:
    """The points of a section; of one that was cut, not those at its very end.

    Raises:
        UnreadableError: none, or several that differ, or some off the scale.
    """
    return score_in(section, label="Score:", scale=scale, is_cut=is_cut).value


def points_of_sides(section: str, scale: Scale | None = None) -> tuple[float, float]:
    """The points of both sides in a section.

    Raises:
        UnreadableError: not one number for each side, or one off the scale.
    """
    sides: dict[str, set[float]] = {"1": set(), "2": set()}
    for match in _OF_SIDE.finditer(section):
        sides["1" if match["side"] in "1a" else "2"].add(float(match["points"]))
    if any(len(numbers) != 1 for numbers in sides.values()):
        raise UnreadableError("no points of each side")
    first, second = sides["1"].pop(), sides["2"].pop()
    if scale is not None and not all(scale[0] <= one <= scale[1] for one in (first, second)):
        raise UnreadableError("points off the scale")
    return first, second
