"""Answers in JSON: the objects in a text, and what their fields say.

Broken JSON is refused as a whole. What can still be made out in it may be a part that says
something of one aspect, as the categories do that a truncated answer leaves behind.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from factory.judging.grammar.answer import Plain, UnreadableError

#: The fields of an object, by their names in plain text: "final score" for "Final_Score".
Fields = dict[str, Any]

#: An object at the head of a line, after a colon or in a list; others are quoted in a text.
_BEGIN = re.compile(r"(?:\A|[\n:`\[])\s*(?P<object>\{\s*[\"'“”‘’])")
_THING = r"(?:image|picture|video|answer|response|assistant|option|model)"
_POINTS = r"(?:scores?|points|ratings?|totals?)"
_SIDE = re.compile(
    rf"(?:(?:overall |total )?{_POINTS} )?(?:{_THING} ?)?(?P<side>1|2|a|b)"
    rf"(?: (?:overall |total )?{_POINTS})?"
)
#: A comma after the last entry. Within a string it may be one too, of a reason: no verdict ends so.
_LAST_COMMA = re.compile(r",(?=\s*[}\]])")
_REASONS = re.compile(
    r"(?:\w+ )?(?:reason(?:ing)?|explanation|rationale|analysis|justification|thoughts?|comments?)"
)


def objects_in(raw: str, *, is_mended: bool = False) -> list[tuple[Fields, int, int]]:
    """The objects that a text holds, outermost ones alone, and where each begins and ends.

    Args:
        raw: the text.
        is_mended: whether a comma before a closing bracket is passed by, of answers that are asked
            for so. Elsewhere it is a sign that something was left out.

    Raises:
        UnreadableError: one is broken, or names a field twice.
    """
    found: list[tuple[Fields, int, int]] = []
    end = 0
    for mark in _BEGIN.finditer(raw):
        begin = mark.start("object")
        if begin < end:
            continue
        try:
            fields, end = _decoded(raw, begin, is_mended)
        except (ValueError, RecursionError):
            raise UnreadableError("broken JSON") from None
        found.append((fields, begin, end))
    return found


def _decoded(raw: str, begin: int, is_mended: bool) -> tuple[Fields, int]:
    return _DECODER.raw_decode(_LAST_COMMA.sub(" ", raw) if is_mended else raw, begin)


def reasons_in(fields: Fields) -> Iterator[str]:
    """What an object says for its verdict."""
    for key, value in fields.items():
        if isinstance(value, str) and _REASONS.fullmatch(key):
            yield value


def points_in(fields: Fields) -> Iterator[tuple[float, float]]:
    """The points of both sides, where an object gives each of them some."""
    listed = [fields, *(value for key, value in fields.items() if re.fullmatch(_POINTS, key))]
    for one in listed:
        if isinstance(one, dict):
            sides = {
                match["side"]: float(value)
                for key, value in one.items()
                if (match := _SIDE.fullmatch(key)) and is_number(value)
            }
            for first, second in (("1", "2"), ("a", "b")):
                if first in sides and second in sides:
                    yield sides[first], sides[second]
        elif isinstance(one, list) and len(one) == 2 and all(map(is_number, one)):
            yield float(one[0]), float(one[1])


def is_number(value: object) -> bool:
    """Whether a value is a finite number that a score can be."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def _fields(pairs: list[tuple[str, Any]]) -> Fields:
    fields: Fields = {}
    for key, value in pairs:
        name = Plain.of(key).text
        if name in fields:
            raise ValueError("a field comes twice")
        fields[name] = value
    return fields


_DECODER = json.JSONDecoder(object_pairs_hook=_fields)
