"""YAML whose words mean the same to every reader: what a recipe is written in.

YAML has two sets of rules for words without quotes. By those of 1.1, which PyYAML follows, `1:30`
is 90, `010` is 8, `no` is false and `2026-12-01` a date; by those of 1.2, `010` is 10, `0o10` is 8,
and the others are text. Here a word is read where the two agree and is a fault where they do not,
so that nobody needs to know which rules hold. One exception: `1e-4` and `-.5` are numbers, as
people mean them, although 1.1 as PyYAML has it takes them for text.

So are duplicate keys, anchors, aliases, merge keys, tags and empty values: each lets a file say
something else than it seems to. Left out: which kind of value a key wants (`recipe_file.py`).

Rules: https://yaml.org/spec/1.2.2/#103-core-schema and https://yaml.org/type/.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

#: Where a value stands: keys and places in lists, from the top.
Path = tuple[str | int, ...]

_MOST_DIGITS = 1000
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_BASES = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_BREAKS = re.compile("[\x85\u2028\u2029]")
_INFINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_WORDS = {
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


class YamlError(ValueError):
    """Text that is no YAML, or none of one meaning."""


@dataclass
class Document:
    """What a text says.

    values: mappings, lists, text, numbers, truth values and null.
    written: each number, truth value and null as it was written, by its place.
    faults: (place, what is wrong); the values are of no use where there are any.
    """

    values: Any = None
    written: dict[Path, str] = field(default_factory=dict)
    faults: list[tuple[Path, str]] = field(default_factory=list)


def read(text: str) -> Document:
    """Read a text of one document.

    Raises:
        YamlError: no YAML at all; the message says where.
    """
    odd = _BREAKS.search(text)
    if odd is not None:
        raise YamlError(
            f"line {text.count(chr(10), 0, odd.start()) + 1}: a line ends there by the rules of "
            f"YAML 1.1 and goes on by those of 1.2; write {ascii(odd[0])[1:-1]} in double quotes"
        )
    try:
        return _Reader(text).document()
    except yaml.MarkedYAMLError as error:
        raise YamlError(_where(error)) from None
    except yaml.YAMLError as error:
        raise YamlError(str(error)) from None
    except RecursionError:
        raise YamlError("lists or mappings lie too deep in each other") from None


def read_word(word: str) -> bool | int | float | str | None:
    """What a word without quotes means.

    Raises:
        YamlError: it means one thing to some readers and another to others.
    """
    if word in ("", "~"):
        what = "nothing" if not word else "~"
        raise YamlError(f"{what} is read as null; write null, or {quoted(word)} for the text")
    older: Any = _by_1_1(word)
    newer: bool | int | float | str | None = _by_1_2(word)
    if isinstance(newer, float) and not math.isfinite(newer):
        raise YamlError(f"{word} is no finite number; write one, or {quoted(word)} for the text")
    if type(older) is type(newer) and repr(older) == repr(newer):
        return newer
    if isinstance(newer, float) and older == word:
        return newer
    raise YamlError(
        f"{word} is {_told(older)} by the rules of YAML 1.1 and {_told(newer)} by those of 1.2; "
        f"write {_meant(older, newer)}{quoted(word)} for the text"
    )


def quoted(text: str) -> str:
    """Text in YAML's double quotes, on one line."""
    dumped: str = yaml.safe_dump(text, default_style='"', width=2**31, allow_unicode=True)
    return dumped.rstrip("\n")


def dump(values: Any) -> str:
    """YAML that `read` reads as these values: words that it would not take for text are quoted."""
    text: str = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _as_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    try:
        is_text = read_word(text) == text and _BREAKS.search(text) is None
    except YamlError:
        is_text = False
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_text else '"')


_Dumper.add_representer(str, _as_text)


# ------------------------------------------------------------------------------------------ words


def _by_1_1(word: str) -> Any:
    loader = yaml.SafeLoader("")
    tag = loader.resolve(yaml.ScalarNode, word, (True, False))  # type: ignore[no-untyped-call]
    node = yaml.ScalarNode(tag, word)
    try:
        return loader.construct_object(node)
    except (ValueError, yaml.YAMLError):  # a date that no calendar has; a merge key
        return _Other(tag.rpartition(":")[2])


def _by_1_2(word: str) -> Any:
    if word in _WORDS:
        return _WORDS[word]
    if _INT.fullmatch(word):
        if len(word) > _MOST_DIGITS:
            raise YamlError(f"a number of {len(word)} digits is none that any key takes")
        return int(word)
    if _FLOAT.fullmatch(word):
        return float(word)
    if _BASES.fullmatch(word):
        return int(word, 0)
    infinite = _INFINITE.fullmatch(word)
    return float(f"{infinite[1]}inf") if infinite else word


@dataclass(frozen=True)
class _Other:
    """A reading that is no value of ours."""

    kind: str


def _told(reading: Any) -> str:
    if isinstance(reading, _Other):
        return f"a {reading.kind}"
    if isinstance(reading, str):
        return "text"
    if isinstance(reading, bool):
        return "true" if reading else "false"
    if isinstance(reading, int | float):
        return repr(reading)
    return f"the date {reading}"


def _meant(older: Any, newer: Any) -> str:
    """How to write what may have been meant beside the text; nothing where nothing else is one of
    our values.
    """
    for reading in (older, newer):
        if isinstance(reading, bool):
            return f"{_told(reading)}, or "
        if isinstance(reading, int | float):
            return "the number in decimal digits, or "
    return ""


# --------------------------------------------------------------------------------------- documents


class _Reader:
    """Builds values out of PyYAML's events, which still tell a word from the same in quotes."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, yaml.SafeLoader)
        self._said = Document()

    def document(self) -> Document:
        next(self._events)  # the beginning of the stream
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return self._said
        self._said.values = self._value(next(self._events), ())
        next(self._events)  # the end of the document
        if not isinstance(next(self._events), yaml.StreamEndEvent):
            self._fault((), "two documents stand in one file; leave one")
        return self._said

    def _fault(self, at: Path, what: str, event: yaml.Event | None = None) -> None:
        line = f"line {_line(event)}: " if event is not None else ""
        self._said.faults.append((at, line + what))

    def _value(self, event: yaml.Event, at: Path) -> Any:
        if isinstance(event, yaml.AliasEvent):
            self._fault(at, f"*{event.anchor} repeats another value; write the value itself", event)
            return None
        if event.anchor is not None:  # type: ignore[attr-defined]
            anchor = event.anchor  # type: ignore[attr-defined]
            self._fault(at, f"&{anchor} names a value to repeat it; write it out each time", event)
        if event.tag is not None:  # type: ignore[attr-defined]
            tag = event.tag  # type: ignore[attr-defined]
            self._fault(at, f"a tag ({tag}) changes what a value is; leave it out", event)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, at)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(at)
        return self._mapping(at)

    def _scalar(self, event: yaml.ScalarEvent, at: Path) -> Any:
        if event.style is not None:
            return event.value
        try:
            value = read_word(event.value)
        except YamlError as error:
            self._fault(at, str(error), event)
            return None
        if not isinstance(value, str):
            self._said.written[at] = event.value
        return value

    def _list(self, at: Path) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._value(event, (*at, len(values))))
        return values

    def _mapping(self, at: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, at)
            value = self._value(next(self._events), (*at, key))
            line = _line(event)
            if key in lines:
                self._fault((*at, key), f"is there twice, in lines {lines[key]} and {line}")
            lines[key], values[key] = line, value
        return values

    def _key(self, event: yaml.Event, at: Path) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            self._value(event, at)  # to its end
            self._fault(at, "a key is a word, not a list or a mapping", event)
            return "?"
        if event.style is None and event.value == "<<":
            self._fault(at, "<< merges another mapping; write its keys out", event)
            return event.value
        num_faults = len(self._said.faults)
        key = self._value(event, at)
        self._said.written.pop(at, None)
        if not isinstance(key, str) and len(self._said.faults) == num_faults:
            self._fault(at, f"the key {event.value} is no text; write {quoted(event.value)}", event)
        return event.value


def _line(event: yaml.Event) -> int:
    """Where an event begins, counted from 1."""
    return event.start_mark.line + 1 if event.start_mark is not None else 1


def _where(error: yaml.MarkedYAMLError) -> str:
    """What PyYAML stumbled over, in one line."""
    problem = error.problem or str(error)
    if "'\\t'" in problem:
        problem = "a tab stands where YAML takes spaces only"
    mark = error.problem_mark
    return problem if mark is None else f"line {mark.line + 1}: {problem}"
