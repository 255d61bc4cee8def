"""Rows out of text, a few at a time: JSON Lines, and one large JSON array.

Published label files are often a single array of a million objects. It is cut into its elements as
the text comes in, so that a file larger than the memory can be read. A row that cannot be read is
given as the error that it is, and the rows after it are read; only where nothing tells where the
next one begins does the file end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: Characters of one element beyond which the text is taken for broken.
MAX_ELEMENT = 64 * 1024**2


class StreamError(ValueError):
    """Text that is not a JSON array of objects, nor JSON objects one after another."""


@dataclass(frozen=True)
class BrokenRow:
    """A row that cannot be read, in the place of the row.

    reason: in words.
    """

    reason: str


#: A row as it is read.
Row = Mapping[str, Any] | BrokenRow


def objects(chunks: Iterable[str]) -> Iterator[Row]:
    """The objects of a JSON array, or of JSON Lines, whichever the text begins with.

    Of JSON Lines a row that is no JSON ends with its line.

    Raises:
        StreamError: an array that is broken, which says where.
    """
    buffer = _Buffer(chunks)
    is_array = buffer.peek() == "["
    if is_array:
        buffer.at += 1
    number = 0
    while (mark := buffer.peek()) != ("]" if is_array else ""):
        number += 1
        if is_array and number > 1:
            if mark != ",":
                raise StreamError(f"row {number}: not JSON: {mark or 'the end'!r} where ',' is due")
            buffer.at += 1
            buffer.peek()
        try:
            value = buffer.element()
        except ValueError as error:
            if is_array:
                raise StreamError(f"row {number}: not JSON: {error}") from None
            buffer.skip_line()
            yield BrokenRow(f"is not JSON: {error}")
            continue
        if isinstance(value, dict):
            yield value
        else:
            yield BrokenRow(f"is {type(value).__name__}, not an object")


class _Buffer:
    """The text that has come in and was not used yet: `text[at:]`."""

    def __init__(self, chunks: Iterable[str]) -> None:
        self._chunks = iter(chunks)
        self._decoder = json.JSONDecoder()
        self.text = ""
        self.at = 0

    def peek(self) -> str:
        """Go to the next character that is no space; "" at the end of the text."""
        while True:
            while self.at < len(self.text):
                if not self.text[self.at].isspace():
                    return self.text[self.at]
                self.at += 1
            if not self._grow(1):
                return ""

    def element(self) -> Any:
        """Take the JSON value that begins here. Raises ValueError."""
        while True:
            try:
                value, self.at = self._decoder.raw_decode(self.text, self.at)
            except RecursionError:
                raise ValueError("it is nested too deeply") from None
            except ValueError:
                # Cut off, or broken? More text tells; twice as much each time costs O(n) in all.
                size = len(self.text) - self.at
                if size > MAX_ELEMENT or not self._grow(size):
                    raise
            else:
                return value

    def skip_line(self) -> None:
        """Go to the end of this line."""
        while (end := self.text.find("\n", self.at)) < 0:
            self.at = len(self.text)
            if not self._grow(1):
                return
        self.at = end + 1

    def _grow(self, num: int) -> bool:
        """Let in at least `num` more characters, where there are any."""
        parts, size = [self.text[self.at :]], 0
        while size < num and (chunk := next(self._chunks, None)) is not None:
            parts.append(chunk)
            size += len(chunk)
        self.text, self.at = "".join(parts), 0
        return size > 0


def within(rows: Iterable[tuple[int, Row]], key: str | None) -> Iterator[tuple[int, Row]]:
    """The rows that a file has in a list under `key` of its one object, numbered as they come; rows
    without such a list stand as they are, and so do all without a key.
    """
    number = 0
    for _, row in rows:
        inner = row.get(key) if key is not None and isinstance(row, Mapping) else None
        for one in inner if isinstance(inner, list) else [row]:
            number += 1
            is_row = isinstance(one, Mapping | BrokenRow)
            yield number, one if is_row else BrokenRow(f"is {type(one).__name__}, not an object")


def together(rows: Iterable[tuple[int, Row]], key: str | None) -> Iterator[list[tuple[int, Row]]]:
    """Rows that follow one another and have the same value under `key`.

    A row stands alone where it has no such value, or cannot be read, and so do all rows without a
    key. A row whose value comes back after others is broken: its group is gone.
    """
    group: list[tuple[int, Row]] = []
    seen: set[str] = set()
    for number, row in rows:
        name = _name(row, key)
        if group and (name is None or name != _name(group[0][1], key)):
            yield group
            group = []
        if not group and name is not None:
            if name in seen:
                reason = f"{key!r} {name:.80} comes back after other rows; sort the file by {key}"
                yield [(number, BrokenRow(reason))]
                continue
            seen.add(name)
        group.append((number, row))
    if group:
        yield group


def _name(row: Row, key: str | None) -> str | None:
    """Of the group that a row belongs to: its value in words, since a list is in no set."""
    if key is None or isinstance(row, BrokenRow) or row.get(key) is None:
        return None
    return repr(row[key])
