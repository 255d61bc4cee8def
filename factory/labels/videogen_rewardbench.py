"""VideoGen-RewardBench (Liu et al. 2025), and VideoAlign's training data in its form: CSV.

Reads `prompt`, `path_A`, `path_B`, the verdicts on visual quality (`VQ`), motion quality (`MQ`) and
text alignment (`TA`), which become dimensions, and `Overall`: each is "A", "B" or "same". The
training data have no overall verdict. Then it is the side that more of the dimensions prefer, and a
tie where as many prefer either: the authors' own reward of a whole clip is likewise the sum of the
three. The tag `overall` tells such labels from those whose verdict was given. A verdict that is
"invalid", or left empty, says nothing; a row that says nothing at all is a fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from factory.labels.draft import Draft
from factory.labels.record import Record
from schemas.rows import Dimension, Preference, Prompt

NAME = "videogen-rewardbench"
DIMENSIONS = ("VQ", "MQ", "TA")
COLUMNS = ("prompt", "path_A", "path_B", "Overall", *DIMENSIONS)
_VERDICTS: dict[str, Preference] = {"A": "first", "B": "second", "same": "tie"}
_SAYS_NOTHING = ("", "invalid", "nan")


def parse(record: Record) -> Iterator[Draft]:
    """One pair."""
    dimensions = tuple(
        Dimension(key.lower(), preference)
        for key in DIMENSIONS
        if (preference := _verdict(record, key)) is not None
    )
    overall = _verdict(record, "Overall")
    if overall is None and not dimensions:
        raise record.fault("Overall", f"says nothing, and nor does any of {', '.join(DIMENSIONS)}")
    tags = {"source": NAME} | ({"overall": "of the dimensions"} if overall is None else {})
    yield Draft(
        Prompt.of(record.text("prompt"), "video_generation", tags),
        NAME,
        first=record.medium("path_A", is_video=True),
        second=record.medium("path_B", is_video=True),
        preference=overall or _most(dimensions),
        dimensions=dimensions,
    )


def _verdict(record: Record, key: str) -> Preference | None:
    """A verdict; None where the row has none."""
    value = record.row.get(key)
    if value is None or value != value:
        return None
    if not isinstance(value, str) or value.strip() not in (*_VERDICTS, *_SAYS_NOTHING):
        raise record.fault(key, f"is {value!r:.40}, not A, B, same or invalid")
    return _VERDICTS.get(value.strip())


def _most(dimensions: Sequence[Dimension]) -> Preference:
    said = [dimension.preference for dimension in dimensions]
    lead = said.count("first") - said.count("second")
    return "tie" if lead == 0 else "first" if lead > 0 else "second"
