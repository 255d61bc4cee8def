"""JSON Lines of objects, with the row named in every fault. Left out: opening files, and the
formats of published labels, which are read as streams (`factory.labels.streams`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from schemas.places import Place


def read_objects(
    path: Place, lines: Iterable[tuple[int, str]], fault: type[ValueError]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The object of each numbered line, with its number.

    Args:
        path: where the lines are from, for messages.
        lines: number and text of each.
        fault: what to raise.

    Raises:
        ValueError: `fault`, for a line that is not JSON, or no object.
    """
    for number, line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise fault(f"{path}: row {number}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise fault(f"{path}: row {number}: is {type(row).__name__}, not an object")
        yield number, row
