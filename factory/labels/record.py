"""One row of somebody else's data set, read key by key.

Every fault names the file, the row and the key, and says what was found there. Media may stand in
the row (bytes, or the `struct<bytes, path>` of Hugging Face) or be named by a path, which is given
to a function that the caller supplies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from factory.media.clips import describe, encode_clip
from factory.media.pictures import MediaError, decode
from factory.media.shape import shape_fault
from factory.texts import unseen_only
from schemas.rows import Media, Origin

#: Frames a second of a clip that comes as loose frames, whose rate its source does not tell.
FRAME_RATE = 8.0
#: From the path of a medium, as a row names it, to its bytes. Raises OSError.
ReadMedia = Callable[[str], bytes]


class LabelError(ValueError):
    """A row from which no label can be made; the message names file, row and key."""


@dataclass(frozen=True)
class Record:
    """A row, and where it comes from.

    row: its keys and values.
    where: "FILE: row NUMBER", for messages.
    read: opens the media that the row names.
    """

    row: Mapping[str, Any]
    where: str
    read: ReadMedia

    def fault(self, key: str, what: str) -> LabelError:
        """An error about one key, to be raised."""
        return LabelError(f"{self.where}: {key!r} {what}")

    def has(self, key: str) -> bool:
        """Whether the row has a value under this key."""
        return self.row.get(key) is not None

    def value(self, *keys: str) -> tuple[str, Any]:
        """The first of some keys that the row has, and its value."""
        for key in keys:
            if self.row.get(key) is not None:
                return key, self.row[key]
        known = ", ".join(sorted(map(str, self.row)))
        raise self.fault(keys[0], f"is missing; the row has: {known or 'nothing'}")

    def text(self, *keys: str) -> str:
        """A text that is not blank."""
        key, value = self.value(*keys)
        if not isinstance(value, str):
            raise self.fault(key, f"is {type(value).__name__}, not text")
        if not value.strip() or unseen_only(value):
            raise self.fault(key, "is empty" if not value.strip() else "holds nothing to be seen")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise self.fault(key, "holds half of a surrogate pair, which is no text") from None
        return value.strip()

    def number(self, key: str, low: float, high: float) -> float:
        """A finite number from `low` to `high`; a numeral in a text is one too."""
        _, value = self.value(key)
        return self.as_number(key, value, low, high)

    def as_number(self, key: str, value: Any, low: float, high: float) -> float:
        """The value as a number from `low` to `high`."""
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not low <= number <= high:
            raise self.fault(key, f"is {value!r:.40}, not a number from {low:g} to {high:g}")
        return number

    def items(self, *keys: str, num: int | None = None) -> list[Any]:
        """A list, of `num` items where that is given."""
        key, value = self.value(*keys)
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
            raise self.fault(key, f"is {type(value).__name__}, not a list")
        if num is not None and len(value) != num:
            raise self.fault(key, f"has {len(value)} items, not {num}")
        return list(value)

    def medium(self, *keys: str, is_video: bool = False) -> Media:
        """A picture, or a clip where the task is about video."""
        key, value = self.value(*keys)
        return self.as_medium(key, value, is_video=is_video)

    def as_medium(self, key: str, value: Any, *, is_video: bool = False) -> Media:
        """The medium that a value holds or names."""
        data = self._bytes(key, value)
        try:
            medium = describe(data)
        except MediaError as error:
            raise self.fault(key, f"cannot be read: {error}") from None
        is_clip = medium.num_frames > 1 or medium.fps > 0
        # A clip of one frame is as good a picture as any.
        if not is_clip if is_video else medium.num_frames > 1:
            found, wanted = ("a picture", "a clip") if is_video else ("a clip", "a picture")
            raise self.fault(key, f"is {found}, and this task is about {wanted}")
        if fault := shape_fault(medium.width, medium.height):
            raise self.fault(key, f"is {fault}")
        return medium

    def as_clip(self, key: str, frames: Sequence[Any]) -> Media:
        """The clip of some frames, which must be pictures of one size."""
        try:
            pixels = [decode(self._bytes(key, frame)) for frame in frames]
            if len({one.shape for one in pixels}) > 1:
                raise MediaError("its frames are of different sizes")
            return describe(encode_clip(np.stack(pixels), FRAME_RATE))
        except MediaError as error:
            raise self.fault(key, f"cannot be read: {error}") from None

    def origin(self) -> Origin | None:
        """What the row says of where it comes from, by `source`, `license` and `consent`; None
        where it says nothing. What is no text there is something else.
        """
        said = {
            name: self.row[name].strip()
            for name in ("source", "license", "consent")
            if isinstance(self.row.get(name), str) and self.row[name].strip()
        }
        return Origin(**said) if said else None

    def _bytes(self, key: str, value: Any) -> bytes:
        if isinstance(value, Mapping):
            value = value["bytes"] if value.get("bytes") is not None else value.get("path")
        if isinstance(value, bytes):
            return value
        if not isinstance(value, str) or not value:
            raise self.fault(key, f"is {type(value).__name__}, neither bytes nor a path")
        try:
            return self.read(value)
        except OSError as error:
            raise self.fault(key, f"names {value!r:.200}: {error.strerror or error}") from None
