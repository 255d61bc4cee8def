"""Labels that repeat, or contradict, others of the same data set: counted, and told at the end.

What is kept of a label is two numbers, so that millions of them fit.
"""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass, field

import numpy as np

from schemas.rows import SWAPPED, Label, Media


@dataclass
class Repeats:
    """What has been seen: of each label what it is about and who gave it, and what it says."""

    _about: array[int] = field(default_factory=lambda: array("q"))
    _said: array[int] = field(default_factory=lambda: array("q"))

    def add(self, label: Label) -> None:
        """Take down a label; its sides may be told in either order."""
        sides = [_side(label.first, label.first_answer), _side(label.second, label.second_answer)]
        preference = label.preference
        if preference is not None and sides[0] > sides[1]:
            sides.reverse()
            preference = SWAPPED[preference]
        # A preference and points are two questions, and do not contradict each other.
        is_pair = preference is not None
        self._about.append(_number(label.prompt.prompt_id, label.annotator, *sides, is_pair))
        self._said.append(_number(preference, label.points))

    def counts(self) -> dict[str, int]:
        """duplicate: labels of one annotator that say again what another has said.
        contradictory: labels of one annotator that say otherwise of the same sides.
        """
        rows = np.stack([np.asarray(self._about), np.asarray(self._said)], axis=1)
        if not len(rows):
            return {"duplicate": 0, "contradictory": 0}
        different = np.unique(rows, axis=0)
        num_questions = len(np.unique(different[:, 0]))
        return {
            "duplicate": len(rows) - len(different),
            "contradictory": len(different) - num_questions,
        }


def _side(medium: Media | None, answer: str | None) -> str:
    if medium is None:
        return answer or ""
    return hashlib.blake2b(medium.data, digest_size=16).hexdigest()


def _number(*parts: object) -> int:
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
