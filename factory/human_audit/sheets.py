"""Filled sheets: what people answered about the pairs of an audit sample, as CSV or JSON Lines.

    pair_id,answer,annotator,seconds
    0f3a…,left,ann,4.2

`answer` is what the page offers: left, right, equal or cannot tell; a row without one was not
looked at. Left is the side that the page shows on the left, which the sample remembers as the first
one; so the words of earlier sheets (first, second, tie, unclear) mean the same and are still read.
`seconds`, how long the look took, may be empty or missing. Nothing in a sheet says which side the
judge chose.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.json_lines import read_objects
from schemas.places import Place
from schemas.rows import Preference

COLUMNS = ("pair_id", "answer", "annotator", "seconds")
#: The answers in the words of page and sheet; None is "cannot tell".
WORDS: dict[str, Preference | None] = {
    "left": "first",
    "right": "second",
    "equal": "tie",
    "cannot tell": None,
}
_EARLIER_WORDS: dict[str, Preference | None] = {
    "first": "first",
    "second": "second",
    "tie": "tie",
    "unclear": None,
}
_PREFERENCES = WORDS | _EARLIER_WORDS


class SheetError(ValueError):
    """A sheet that cannot be used; the message names file, row and column."""


@dataclass(frozen=True)
class Answer:
    """What one person said of one pair, in the order in which the sides were shown.

    preference: "first" is the side shown on the left; None for "cannot tell".
    seconds: that the look took; NaN where it was not measured.
    """

    pair_id: str
    annotator: str
    preference: Preference | None
    seconds: float = math.nan

    @property
    def word(self) -> str:
        """What a sheet says."""
        return next(word for word, meaning in WORDS.items() if meaning == self.preference)


def read_sheet(path: str | Place, pair_ids: Collection[str]) -> list[Answer]:
    """The answers of a sheet; rows without an answer are left out.

    Args:
        path: `.csv` or `.jsonl`.
        pair_ids: of the sample.

    Raises:
        SheetError: missing or unreadable file, unknown kind of file, missing column, unknown pair
            or answer, no annotator, a person who answers twice, seconds that are no time.
    """
    if isinstance(path, str):
        path = Path(path)
    readers = {".csv": _csv_rows, ".jsonl": _json_rows}
    if path.suffix not in readers:
        raise SheetError(f"{path}: a sheet is {' or '.join(readers)}, not {path.suffix!r}")
    found: dict[tuple[str, str], Answer] = {}
    try:
        for number, row in readers[path.suffix](path):
            answer = _answer(row, f"{path}: row {number}", pair_ids)
            if answer is None:
                continue
            if (answer.pair_id, answer.annotator) in found:
                raise SheetError(
                    f"{path}: row {number}: {answer.annotator!r} has answered pair "
                    f"{answer.pair_id} already; leave one of the two answers"
                )
            found[answer.pair_id, answer.annotator] = answer
    except FileNotFoundError:
        raise SheetError(f"{path}: no such sheet") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SheetError(f"{path}: cannot be read: {error}") from None
    return list(found.values())


def with_later(answers: Iterable[Answer], later: Iterable[Answer]) -> tuple[list[Answer], int]:
    """Answers with those of a later sheet, and how many of the earlier ones it corrects.

    Where the same person answers the same pair again, the later answer counts; it corrects the
    earlier one where it says something else. An answer that the later sheet leaves out stays.
    """
    by_person = {(one.pair_id, one.annotator): one for one in answers}
    num_corrected = 0
    for answer in later:
        earlier = by_person.get((answer.pair_id, answer.annotator))
        num_corrected += earlier is not None and earlier.preference != answer.preference
        by_person[answer.pair_id, answer.annotator] = answer
    return list(by_person.values()), num_corrected


def _answer(row: dict[str, Any], where: str, pair_ids: Collection[str]) -> Answer | None:
    given = str(row.get("answer") or "").strip().lower()
    if not given:
        return None
    pair_id, annotator = (str(row.get(key) or "").strip() for key in ("pair_id", "annotator"))
    if pair_id not in pair_ids:
        raise SheetError(f"{where}: pair_id: {pair_id!r:.40} is not in the audit sample")
    if given not in _PREFERENCES:
        raise SheetError(
            f"{where}: answer: {given!r:.40} is none of {', '.join(WORDS)} "
            f"(nor of the earlier {', '.join(_EARLIER_WORDS)})"
        )
    if not annotator:
        raise SheetError(f"{where}: annotator: is empty; say who answered")
    return Answer(pair_id, annotator, _PREFERENCES[given], _seconds(row.get("seconds"), where))


def _seconds(given: Any, where: str) -> float:
    if given is None or given == "":
        return math.nan
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        raise SheetError(f"{where}: seconds: {given!r:.40} is not a number") from None
    if seconds < 0 or seconds == math.inf:
        raise SheetError(f"{where}: seconds: {given!r:.40} is not a time; leave it empty")
    return seconds


def _csv_rows(path: Place) -> Iterator[tuple[int, dict[str, Any]]]:
    # utf-8-sig: spreadsheet programs put a mark before the first column's name.
    rows = csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""))
    missing = [name for name in COLUMNS[:3] if name not in (rows.fieldnames or ())]
    if missing:
        raise SheetError(f"{path}: column {missing[0]!r} is missing")
    yield from enumerate(rows, start=2)


def _json_rows(path: Place) -> Iterator[tuple[int, dict[str, Any]]]:
    lines = enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1)
    return read_objects(path, ((at, line) for at, line in lines if line.strip()), SheetError)
