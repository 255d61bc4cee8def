"""Several outputs of one prompt in an order: every two of them are a pair.

An output that cannot be read costs its own pairs and no other.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from factory.labels.draft import Draft
from factory.labels.record import LabelError
from schemas.rows import Media, Prompt


def pairs(
    prompt: Prompt,
    annotator: str,
    pictures: Sequence[Media | LabelError],
    worths: Sequence[float],
) -> Iterator[Draft]:
    """The pairs of those that can be read; equal worths are a tie.

    Args:
        prompt: of all of them.
        annotator: who ordered them.
        pictures: as `Record.pictures` gives them.
        worths: of each, the higher the better.
    """
    told = [
        (picture, worth)
        for picture, worth in zip(pictures, worths, strict=True)
        if not isinstance(picture, LabelError)
    ]
    for (first, one), (second, other) in itertools.combinations(told, 2):
        yield Draft(
            prompt,
            annotator,
            first=first,
            second=second,
            preference="tie" if one == other else "first" if one > other else "second",
        )
