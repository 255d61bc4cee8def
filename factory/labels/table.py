"""A table of your own: `--map` says which column holds what, and `--values` what its verdicts mean.

A row is a verdict on two sides (`first`, `second`, `preference`) or points for one (`first`,
`points`). The sides are pictures or clips, for which `prompt` is the caption, and `source_image`
what an edit starts from; or they are answers (`first_answer`, `second_answer`) to the question
`prompt` about the picture or clip `media`. These fields are read from the columns of their own
names where nothing is said; the others only where they are mapped: `annotator`, `weight`,
`justification`, `tag.NAME`, and `dimension.NAME`, a verdict or points on one aspect.

Left out: points for each of two sides. Which side has more is the preference; say that.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from factory.labels.draft import Draft, Scale
from factory.labels.record import LabelError, Record, is_clip
from schemas.rows import SIMULATED, Dimension, Media, Part, Preference, Prompt, Task

NAME = "table"
#: What is read from the column of its own name where nothing is said.
_USUAL = (
    *("prompt", "first", "second", "preference", "points"),
    *("first_answer", "second_answer", "media", "source_image"),
)
_OTHERS = ("annotator", "weight", "justification")
_FAMILIES = ("tag.", "dimension.")
_VERDICTS: dict[str, Preference | None] = {
    "first": "first",
    "second": "second",
    "tie": "tie",
    "none": None,
}
_UNBOUNDED: Scale = (float("-inf"), float("inf"))


class TableError(ValueError):
    """A map or values that say nothing of a table; names the argument."""


@dataclass(frozen=True)
class Table:
    """Reads a row.

    columns: by field, as `--map` gives them.
    values: first, second, tie, or none for no opinion, by what a verdict's column holds.
    scale: on which the points lie; None where nobody says.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    scale: Scale | None = None

    def __post_init__(self) -> None:
        for name in self.columns:
            is_member = any(name.startswith(one) and name != one for one in _FAMILIES)
            if name not in (*_USUAL, *_OTHERS) and not is_member:
                known = ", ".join((*_USUAL, *_OTHERS, *(f"{one}NAME" for one in _FAMILIES)))
                raise TableError(f"--map: {name!r} is no field; known: {known}")
        for value, meaning in self.values.items():
            if meaning not in _VERDICTS:
                known = ", ".join(_VERDICTS)
                raise TableError(f"--values: {value!r} means {meaning!r:.40}; known: {known}")
        if "preference" in self.columns and "points" in self.columns:
            raise TableError("--map: a row is a preference or points, and both are mapped")
        if self.scale is not None and "preference" in self.columns:
            raise TableError("--points: is for points, and a preference is mapped")

    @property
    def read(self) -> tuple[str, ...]:
        """All columns that it may look at."""
        usual = (name for name in _USUAL if name not in self.columns)
        return tuple(dict.fromkeys((*self.columns.values(), *usual)))

    @property
    def is_of_unknown_points(self) -> bool:
        """Whether it may hold points of which nobody has said on which scale they lie."""
        return "preference" not in self.columns and self.scale is None

    def __call__(self, record: Record) -> Iterator[Draft]:
        """The label of a row; none where it has no opinion."""
        preference, rating = self._opinion(record)
        if preference is None and rating is None:
            return
        is_pair = rating is None
        question = self._has(record, "first_answer")
        draft = self._of_answers(record, is_pair) if question else self._of_media(record, is_pair)
        yield replace(
            draft,
            annotator=self._annotator(record),
            preference=preference,
            rating=rating,
            scale=None if is_pair else self.scale,
            justification=self._optional(record, "justification") or "",
            dimensions=tuple(self._dimensions(record, is_pair)),
            weight=record.weight(self.columns["weight"]) if "weight" in self.columns else None,
        )

    def _of_media(self, record: Record, is_pair: bool) -> Draft:
        first = record.any_medium(*self._value(record, "first"))
        second = None
        if is_pair:
            second = record.as_medium(*self._value(record, "second"), is_video=is_clip(first))
        task: Task = "video_generation" if is_clip(first) else "image_generation"
        text = record.as_text(*self._value(record, "prompt"))
        tags = self._tags(record)
        if self._has(record, "source_image"):
            source = record.as_medium(*self._value(record, "source_image"))
            parts = [Part("source", media=source), Part("user", text)]
            return Draft(Prompt.of_parts(parts, task, tags), NAME, first=first, second=second)
        return Draft(Prompt.of(text, task, tags), NAME, first=first, second=second)

    def _of_answers(self, record: Record, is_pair: bool) -> Draft:
        about: Media = record.any_medium(*self._value(record, "media"))
        task: Task = "video_understanding" if is_clip(about) else "image_understanding"
        text = record.as_text(*self._value(record, "prompt"))
        first = record.as_text(*self._value(record, "first_answer"))
        second = record.as_text(*self._value(record, "second_answer")) if is_pair else None
        prompt = Prompt.of(text, task, self._tags(record), about)
        return Draft(prompt, NAME, first_answer=first, second_answer=second)

    def _opinion(self, record: Record) -> tuple[Preference | None, float | None]:
        """A preference or points; neither where the row has no opinion."""
        is_points = "points" in self.columns or (
            "preference" not in self.columns and not self._has(record, "preference")
        )
        if is_points and self._has(record, "points"):
            key, value = self._value(record, "points")
            return None, self._points(record, key, value)
        if "points" in self.columns:
            self._value(record, "points")  # says what is missing
        return self._verdict(record, *self._value(record, "preference")), None

    def _points(self, record: Record, key: str, value: Any) -> float:
        points = record.as_number(key, value, *(self.scale or _UNBOUNDED))
        if points in _UNBOUNDED:
            raise record.fault(key, f"is {value!r:.40}, not a finite number")
        return points

    def _verdict(self, record: Record, key: str, value: Any) -> Preference | None:
        word = _word(value)
        meaning = self.values.get(word, word)
        if meaning not in _VERDICTS:
            known = ", ".join(dict.fromkeys((*self.values, *_VERDICTS)))
            raise record.fault(
                key, f"is {word!r:.60}; known: {known} (say what it means by --values)"
            )
        return _VERDICTS[meaning]

    def _dimensions(self, record: Record, is_pair: bool) -> Iterator[Dimension]:
        """What is said of single aspects; of those that a row leaves empty, nothing."""
        for name, column in self._family("dimension."):
            value = record.row.get(column)
            if value is None or _word(value) == "":
                continue
            if not is_pair:
                yield Dimension(name.lower(), first=self._points(record, column, value))
            elif (preference := self._verdict(record, column, value)) is not None:
                yield Dimension(name.lower(), preference)

    def _tags(self, record: Record) -> dict[str, str]:
        tags = {"source": NAME}
        for name, column in self._family("tag."):
            if (word := _word(record.row.get(column))) != "":
                tags[name] = record.as_text(column, word)
        return tags

    def _annotator(self, record: Record) -> str:
        if "annotator" not in self.columns:
            return NAME
        who = record.name(self.columns["annotator"])
        if who is not None and who.startswith(SIMULATED):
            return who  # and is called simulated wherever it is told
        return NAME if who is None else f"{NAME}:{who}"

    def _optional(self, record: Record, name: str) -> str | None:
        column = self.columns.get(name)
        if column is None or _word(record.row.get(column)) == "":
            return None
        return record.as_text(column, record.row[column])

    def _family(self, prefix: str) -> list[tuple[str, str]]:
        return [
            (name.removeprefix(prefix), column)
            for name, column in self.columns.items()
            if name.startswith(prefix)
        ]

    def _has(self, record: Record, name: str) -> bool:
        """Whether the row has this field; an empty cell is none."""
        return _word(record.row.get(self.columns.get(name, name))) != ""

    def _value(self, record: Record, name: str) -> tuple[str, Any]:
        """The column of a field, and what it holds."""
        column = self.columns.get(name, name)
        try:
            return record.value(column)
        except LabelError as error:
            how = "" if name in self.columns else f"; or name another column: --map {name}=COLUMN"
            raise LabelError(f"{error}{how}", error.where) from None


def _word(value: object) -> str:
    """What a cell of a verdict or tag says: 1.0 is "1" and True is "true"."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def assignments(argument: str, texts: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE,… of a command line; what holds a comma stands in double quotes.

    Raises:
        TableError: names the argument, and what is wrong with it.
    """
    told: dict[str, str] = {}
    for item in (item for row in csv.reader(texts) for item in row):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not name or not value:
            raise TableError(f"{argument}: {item!r:.80} is not NAME=VALUE")
        if name in told:
            raise TableError(f"{argument}: {name!r} is given twice")
        told[name] = value
    return told


def scale_of(argument: str, text: str) -> Scale:
    """LOW:HIGH of a command line.

    Raises:
        TableError: names the argument.
    """
    low, _, high = text.partition(":")
    try:
        scale = float(low), float(high)
    except ValueError:
        scale = (0.0, 0.0)
    if not -math.inf < scale[0] < scale[1] < math.inf:
        raise TableError(f"{argument}: {text!r:.40} is not LOW:HIGH with LOW below HIGH")
    return scale
