"""One row of somebody else's data set, read key by key.

Every fault names the file, the row and the key, and says what was found there. Media may stand in
the row (bytes, or the `struct<bytes, path>` of Hugging Face) or be named by a path, which is given
to a function that the caller supplies. A URL is never fetched: what counts is the file of its name
that somebody has downloaded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from factory.labels.urls import tails
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
    """A row, or a part of one, from which no label can be made; the message names file, row and
    key.

    where: of the row, as its `Record` says; None where the error is about all rows that are parsed
        together.
    """

    def __init__(self, message: str, where: str | None = None) -> None:
        super().__init__(message)
        self.where = where


class NotHeldError(LabelError):
    """A row of a kind that none of the four tasks holds, such as answers of interleaved words and
    pictures.

    what: the kind, in words; the same for all rows of it, so that they are counted by it.
    """

    def __init__(self, message: str, where: str, what: str) -> None:
        super().__init__(message, where)
        self.what = what


class NoSuchMediaError(LabelError):
    """The row names a medium that is not there."""


@dataclass(frozen=True)
class Record:
    """A row, and where it comes from.

    row: its keys and values.
    where: "FILE: row NUMBER", for messages.
    read: opens the media that the row names.
    columns: of the file, where only some of them were read.
    urls: which URL a file was taken for, in all rows so far: two URLs of one file are a fault.
    """

    row: Mapping[str, Any]
    where: str
    read: ReadMedia
    columns: Sequence[str] = ()
    urls: dict[str, str] = field(default_factory=dict)

    def fault(self, key: str, what: str) -> LabelError:
        """An error about one key, to be raised."""
        return LabelError(f"{self.where}: {key!r} {what}", self.where)

    def not_held(self, what: str) -> NotHeldError:
        """An error about a row of a kind that none of the tasks holds, to be raised."""
        return NotHeldError(
            f"{self.where}: {what}: none of the four tasks holds such a pair", self.where, what
        )

    def has(self, key: str) -> bool:
        """Whether the row has a value under this key."""
        return self.row.get(key) is not None

    def value(self, *keys: str) -> tuple[str, Any]:
        """The first of some keys that the row has, and its value."""
        for key in keys:
            if self.row.get(key) is not None:
                return key, self.row[key]
        known = ", ".join(sorted(map(str, self.columns or self.row)))
        raise self.fault(keys[0], f"is missing; the row has: {known or 'nothing'}")

    def text(self, *keys: str) -> str:
        """A text that is not blank."""
        return self.as_text(*self.value(*keys))

    def as_text(self, key: str, value: Any) -> str:
        """The value as a text that is not blank."""
        if not isinstance(value, str):
            raise self.fault(key, f"is {type(value).__name__}, not text")
        if not value.strip() or unseen_only(value):
            raise self.fault(key, "is empty" if not value.strip() else "holds nothing to be seen")
        try:
            value.encode()
        except UnicodeEncodeError:
            # Bytes that are no UTF-8 are read as such halves (`jobs.datasets.foreign`).
            what = "holds half of a surrogate pair, or bytes that are no UTF-8"
            raise self.fault(key, f"{what}: {value!r:.80}") from None
        return value.strip()

    def name(self, key: str) -> str | None:
        """What tells somebody or something apart: a text or a whole number; None where the row
        has none.
        """
        value = self.row.get(key)
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, float) and value.is_integer():  # pandas makes them of whole numbers
            return str(int(value))
        return self.as_text(key, value)

    def weight(self, key: str) -> float | None:
        """A confidence, from above 0 to 1; None where the row has none, which is not 0."""
        value = self.row.get(key)
        if value is None or value in ("", "null") or value != value:
            return None
        weight = self.as_number(key, value, 0, 1)
        if weight == 0:
            raise self.fault(key, "is 0, and a label of no weight is none")
        return weight

    def number(self, key: str, low: float, high: float) -> float:
        """A finite number from `low` to `high`; a numeral in a text is one too."""
        _, value = self.value(key)
        return self.as_number(key, value, low, high)

    def as_number(self, key: str, value: Any, low: float, high: float) -> float:
        """The value as a number from `low` to `high`."""
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
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
        medium = self.any_medium(key, value)
        # A clip of one frame is as good a picture as any.
        if not is_clip(medium) if is_video else medium.num_frames > 1:
            found, wanted = ("a picture", "a clip") if is_video else ("a clip", "a picture")
            raise self.fault(key, f"is {found}, and this task is about {wanted}")
        return medium

    def any_medium(self, key: str, value: Any) -> Media:
        """The picture or clip that a value holds or names."""
        data = self._bytes(key, value)
        try:
            medium = describe(data)
        except MediaError as error:
            raise self.fault(key, f"cannot be read: {error}") from None
        if fault := shape_fault(medium.width, medium.height):
            raise self.fault(key, f"is {fault}")
        return medium

    def pictures(self, key: str, values: Sequence[Any]) -> list[Media | LabelError]:
        """Several pictures, of which those that cannot be read are errors: they cost what is said
        about them, and not the row.
        """
        return [attempt(self.as_medium, key, value) for value in values]

    def as_clip(self, key: str, frames: Sequence[Any]) -> Media:
        """The clip of some frames, which must be pictures of one size."""
        if not frames:
            raise self.fault(key, "is empty")
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
        names = tails(value)
        if names is not None:
            return self._of_url(key, value, names)
        try:
            return self.read(value)
        except FileNotFoundError as error:
            raise self._missing(key, f"names {value!r:.200}: {error.strerror or error}") from None
        except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
            what = getattr(error, "strerror", None) or error
            raise self.fault(key, f"names {value!r:.200}: {what}") from None

    def _of_url(self, key: str, url: str, names: Sequence[str]) -> bytes:
        """The file of a URL's name, with the longest part of its path that is there."""
        for name in names:
            try:
                data = self.read(name)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                what = getattr(error, "strerror", None) or error
                raise self.fault(key, f"names {url!r:.200}: {what}") from None
            if self.urls.setdefault(name, url) != url:
                raise self.fault(
                    key,
                    f"is a URL, {url!r:.200}, and {name!r} was taken for {self.urls[name]!r:.200} "
                    "already; lay such files below --media with the folders of their URLs",
                )
            return data
        if not names:
            raise self.fault(key, f"is a URL that does not end in the name of a file: {url!r:.200}")
        raise self._missing(
            key,
            f"is a URL, {url!r:.200}, and nothing is fetched: download it and lay it below --media "
            f"as {names[-1]!r}",
        )

    def _missing(self, key: str, what: str) -> NoSuchMediaError:
        return NoSuchMediaError(f"{self.where}: {key!r} {what}", self.where)


def attempt(read: Callable[..., Media], *arguments: Any, **options: Any) -> Media | LabelError:
    """What a reader of media returns, or the error that it raises."""
    try:
        return read(*arguments, **options)
    except LabelError as error:
        return error


def is_clip(medium: Media) -> bool:
    """Whether it moves, if only for one frame."""
    return medium.num_frames > 1 or medium.fps > 0
