"""Rows out of text, a few at a time: JSON Lines, and one large JSON array.

Published label files are often a single array of a million objects. It is cut into its elements as
the text comes in, so that a file larger than the memory can be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

#: Characters of one element beyond which the text is taken for broken.
MAX_ELEMENT = 64 * 1024**2


class StreamError(ValueError):
    """Text that is not a JSON array of objects, nor JSON objects one after another."""


def objects(chunks: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The objects of a JSON array, or of JSON Lines, whichever the text begins with.

    Raises:
        StreamError: broken JSON, or an element that is no object; says which element.
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
            found = buffer.element()
        except ValueError as error:
            raise StreamError(f"row {number}: not JSON: {error}") from None
        if not isinstance(found, dict):
            raise StreamError(f"row {number}: is {type(found).__name__}, not an object")
        yield found


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
                found, self.at = self._decoder.raw_decode(self.text, self.at)
            except ValueError:
                # Cut off, or broken? More text tells; twice as much each time costs O(n) in all.
                size = len(self.text) - self.at
                if size > MAX_ELEMENT or not self._grow(size):
                    raise
            else:
                return found

    def _grow(self, num: int) -> bool:
        """Let in at least `num` more characters, where there are any."""
        parts, size = [self.text[self.at :]], 0
        while size < num and (chunk := next(self._chunks, None)) is not None:
            parts.append(chunk)
            size += len(chunk)
        self.text, self.at = "".join(parts), 0
        return size > 0


def together(rows: Iterable[tuple[int, Any]], key: str | None) -> Iterator[list[tuple[int, Any]]]:
    """Rows that follow one another and have the same value under `key`; each alone without a key.

    Raises:
        StreamError: a value comes back after others; the rows must be sorted first.
    """
    group: list[tuple[int, Any]] = []
    seen: set[Any] = set()
    for number, row in rows:
        if group and (key is None or row.get(key) != group[0][1].get(key)):
            yield group
            group = []
        if not group and key is not None:
            if row.get(key) in seen:
                raise StreamError(
                    f"row {number}: {key!r} {row.get(key)!r:.80} comes back after other rows; "
                    f"sort the file by {key}"
                )
            seen.add(row.get(key))
        group.append((number, row))
    if group:
        yield group
