"""What a judge was asked, told by the layouts in which people write it down.

Named parts, in square brackets or on lines of their own ("Question: [...]", "The first response:
[...]", "Text Caption: ..."); headings with an end each ("[Assistant 1]" ... "[End of Assistant 1]",
"<|The Start of Assistant A's Answer|>"); and Markdown headings ("### Question"). Instructions
differ between sets and releases; the names of the parts are few. What matches none of them has no
parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Layout = Literal["named", "headed"]

_NAMES = {
    "caption": r"Text Caption|Caption|Text Prompt",
    "question": r"Question|Query",
    "first": r"Answer 1|Answer A|Response 1|Response A|The first response|The first answer",
    "second": r"Answer 2|Answer B|Response 2|Response B|The second response|The second answer",
    "only": r"The LMM response|The response|Answer|Response",
}
_NAMED = "|".join(f"(?P<{part}>{names})" for part, names in _NAMES.items())
#: "Name: ", at the head of a line or after the words that announce it; before a bracket, anywhere
#: after a sentence. Formatting marks around the name are allowed.
_PART = re.compile(
    r"(?:(?:^|\n)[ \t*#>\-]*|follows:[ \t*]*|[.:;][ \t*]+(?=[\w ]{1,24}[ \t*]*:[ \t*]*[\[「]))"
    rf"(?:{_NAMED})[ \t*]*:[ \t*]*",
    re.IGNORECASE,
)
#: The same in a sentence, the value in corner brackets.
_QUOTED = re.compile(r"\b(?P<name>caption|question)\b[^「」\n]{0,48}:[ \t]*「", re.IGNORECASE)
_ASSISTANT = r"(?:the start of )?(?:the )?assistant{}(?:'s (?:answer|response))?"
_HEADS = {
    "question": r"(?:user )?(?:question|prompt|query)",
    "first": _ASSISTANT.format(r" (?:1|a)"),
    "second": _ASSISTANT.format(r" (?:2|b)"),
    "only": rf"{_ASSISTANT.format('')}|lmm response to evaluate",
    "end": r"(?:the )?end of .*",
    "other": r"system|context|instruction|reference.*|image contents|standard human-\w+ answer",
}
_HEAD = re.compile(
    r"(?:^|\n)[ \t]*(?:\[(?P<square>[^\[\]\n]{1,60})\]|<\|(?P<pointed>[^<>|\n]{1,60})\|>"
    r"|#{2,4} (?P<hashed>[^\n]{1,60}?))[ \t]*(?=\n|$)"
)
_CLOSING = {"[": "]", "「": "」"}
#: What comes after a value that has no end of its own.
_NEXT = re.compile(r"\n(?=[ \t]*(?:From \d+ to \d+\b|ASSISTANT:))")
#: An example of sums in an instruction: "9+8+9+6=32".
_SUM = re.compile(r"[\dx]+ ?\+[\dx+. ()…]*=.*")
#: Where it goes on after a value without brackets, and nothing tells where the value ended.
_UNENDED = re.compile(r"<think>|output format|you must (?:evaluate|follow)", re.IGNORECASE)


@dataclass(frozen=True)
class Instruction:
    """What a judge was asked.

    parts: by name: caption, question, first, second, only.
    rest: the words of the instruction, without those of the parts.
    layout: in which it is written down.
    """

    parts: dict[str, str]
    rest: str
    layout: Layout

    @classmethod
    def of(cls, text: str) -> Instruction:
        """The parts of an instruction; where a name comes twice (an example first), the last.

        Raises:
            ValueError: where one of them ends cannot be told.
        """
        headed = list(_headed(text))
        if {"question"} < {name for name, _, _ in headed}:
            return cls(*_told(text, headed), "headed")
        return cls(*_told(text, list(_named(text))), "named")


_Spot = tuple[str, int, int]


def _told(text: str, spots: list[_Spot]) -> tuple[dict[str, str], str]:
    """The values of some parts, and the text without them."""
    parts = {name: value for name, start, end in spots if (value := text[start:end].strip())}
    rest, begin = [], 0
    for _, start, end in sorted(spots, key=lambda spot: spot[1:]):
        rest.append(text[begin:start])
        begin = max(begin, end)
    return parts, " ... ".join([*rest, text[begin:]])


def _named(text: str) -> Iterator[_Spot]:
    marks = list(_PART.finditer(text))
    bare: list[_Spot] = []
    closed: list[_Spot] = []
    begin = 0
    for number, mark in enumerate(marks):
        if mark.start() < begin:
            continue  # an answer in brackets may have an "Answer:" of its own
        name, start = str(mark.lastgroup), mark.end()
        stops = [*(after.start() for after in marks[number + 1 :]), len(text)]
        if text[start : start + 1] in _CLOSING:
            begin = _closing(text, start, stops)
            if text[start + 1 : begin].strip():
                closed.append((name, start + 1, begin))
            continue
        following = _NEXT.search(text, start, stops[0])
        end = following.start() if following else stops[0]
        if text[start:end].strip() and not _SUM.fullmatch(text[start:end].strip()):
            bare.append((name, start, end))
    for quoted in _QUOTED.finditer(text):
        if (end := text.find("」", quoted.end())) >= 0:
            closed.append((quoted["name"].lower(), quoted.end(), end))
    names = {name for name, _, _ in closed}
    for name, start, end in bare:
        if name not in names:
            if _UNENDED.search(text, start, end):
                raise ValueError(f"do not say where their {name!r} ends")
            yield name, start, end
    yield from closed


def _closing(text: str, start: int, stops: list[int]) -> int:
    """Where the bracket closes that opens at `start`: at the end of a line, before another part or
    before the end. What stands in it may have brackets of its own, and not all of them closed.
    """
    opening, closing = text[start], _CLOSING[text[start]]
    balanced = _balanced(text[start:], opening, closing)
    unclosed: int | None = None
    for stop in stops:
        body = re.sub(r"\s*ASSISTANT:\s*$", "", text[start:stop]).rstrip()
        if not body.endswith(closing):
            continue
        if balanced is not None and balanced < len(body) - 1:
            rest = body[balanced + 1 :]
            if rest.startswith("\n") and rest.count(opening) == rest.count(closing):
                return start + balanced  # the instruction goes on after it, and has brackets too
        if body.count(opening) <= body.count(closing):
            return start + len(body) - 1
        unclosed = unclosed or start + len(body) - 1
    if unclosed is not None:
        return unclosed
    return stops[0] if balanced is None else start + balanced


def _balanced(text: str, opening: str, closing: str) -> int | None:
    """Where the bracket closes with which a text begins, if all within it are closed."""
    depth = 0
    for at, char in enumerate(text):
        depth += (char == opening) - (char == closing)
        if depth == 0:
            return at
    return None


def _headed(text: str) -> Iterator[_Spot]:
    heads = [(name, mark) for mark in _HEAD.finditer(text) if (name := _head(mark)) is not None]
    begin = 0
    for at, (name, mark) in enumerate(heads):
        if mark.start() < begin or name in ("end", "other"):
            continue
        # An answer may quote a heading of its question; it ends where its own end is marked.
        stops = {"question", "only"} if name == "question" else set[str]()
        later = (
            following.start()
            for kind, following in heads[at + 1 :]
            if kind in stops | {"first", "second", "end", "other"}
        )
        begin = next(later, len(text))
        yield name, mark.end(), begin


def _head(mark: re.Match[str]) -> str | None:
    said = (mark["square"] or mark["pointed"] or mark["hashed"]).strip().lower().replace("’", "'")
    return next((name for name, known in _HEADS.items() if re.fullmatch(known, said)), None)
