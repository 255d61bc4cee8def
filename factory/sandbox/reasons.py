"""Justifications in the sandbox's vocabulary, and whether what they claim is true.

A justification lists faults of the worse side ("image 1 is better because in image 2 the red circle
is missing ."), or of the one side that got points. Each fault is a claim about pixels or about an
answer, so the oracle can tell whether it is true, whoever wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from schemas.rows import Preference

#: Cleanliness that a picture must have more than the other to be preferred for it in words.
CLEANER = 0.1
MAX_REASONS = 3
NO_FAULT = "each element fits the caption ."
CLEAN = "it is clean"


class Measured(Protocol):
    """What is asked of the oracle's finding on a picture or a clip."""

    @property
    def clean(self) -> float:
        """0 to 1."""

    def wrong(self) -> list[str]:
        """Short sentences."""


def reasons_of_one(seen: Measured) -> str:
    """What is wrong with one side."""
    return reasons_from(seen.wrong())


def reasons_from(faults: Sequence[str]) -> str:
    """What is wrong with one side that has these faults."""
    return f"{_listed(faults)} ." if faults else NO_FAULT


def reasons_of_two(preference: Preference, first: Measured, second: Measured, noun: str) -> str:
    """Why one of two pictures ("image") or clips ("video") is preferred.

    The reasons are true of the pictures even where the preference is a mistake; where nothing
    speaks for it, none are given.
    """
    if preference != "tie":
        is_first = preference == "first"
        better, worse = (first, second) if is_first else (second, first)
        is_cleaner = better.clean > worse.clean + CLEANER
        if is_cleaner and not set(worse.wrong()) - set(better.wrong()):
            return f"{noun} {1 if is_first else 2} is better because {CLEAN} ."
    return reasons_between(preference, first.wrong(), second.wrong(), noun)


def reasons_between(
    preference: Preference, first: Sequence[str], second: Sequence[str], noun: str
) -> str:
    """Why one of two sides with these faults is preferred."""
    if preference == "tie":
        return "both are equally good ."
    better, worse = (1, 2) if preference == "first" else (2, 1)
    own, others = (first, second) if preference == "first" else (second, first)
    faults = [fault for fault in others if fault not in own]
    if not faults:
        return f"{noun} {better} is better ."
    return f"{noun} {better} is better because in {noun} {worse} {_listed(faults)} ."


_COMPARED = re.compile(r"\w+ ([12]) is better because in \w+ ([12]) (.+) \.")
_CLEANED = re.compile(rf"\w+ ([12]) is better because {CLEAN} \.")
_PUNCTUATION = re.compile(r"\s*([.,])")
_UNGROUNDED = re.compile(r"\w+ [12] is better \.|both are equally good \.")


def check_claims(text: str, sides: Sequence[Measured]) -> list[bool]:
    """Whether each factual claim of a justification is true of what the oracle sees.

    A fault is true where it is among the faults of the side that it is said of; "each element fits
    the caption" where there are none. A text without a claim ("both are equally good .") gives an
    empty list, and one that cannot be read a single False.

    Args:
        text: a justification of one side's points, or of the preference between two.
        sides: what the oracle found of the side, or of the two in the order shown.
    """
    text = _PUNCTUATION.sub(r" \1", text.strip())  # some tokenizers write "missing."
    if len(sides) == 1:
        faults = sides[0].wrong()
        if text == NO_FAULT:
            return [not faults]
        if not text.endswith(" ."):
            return [False]
        return [claim in faults for claim in text.removesuffix(" .").split(" , ")]
    if _UNGROUNDED.fullmatch(text):
        return []
    cleaned = _CLEANED.fullmatch(text)
    if cleaned:
        better = int(cleaned[1]) - 1
        return [sides[better].clean > sides[1 - better].clean]
    compared = _COMPARED.fullmatch(text)
    if compared is None or compared[1] == compared[2]:
        return [False]
    faults = sides[int(compared[2]) - 1].wrong()
    return [claim in faults for claim in compared[3].split(" , ")]


def _listed(faults: Sequence[str]) -> str:
    return " , ".join(faults[:MAX_REASONS])
