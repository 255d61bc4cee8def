"""What counts of a text: reasoning in tags is cut off, and an answer in tags is taken out.

The rest is read as plain text: lower-case, without marks of formatting, spaces single and lines
kept. A plain text knows where each of its characters stood, so that the words around a verdict can
be given back as they were written.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal

_THINKING = re.compile(
    r"[<◁] ?(?P<close>/)? ?(?:thinking|think|thoughts?|reasoning|reasons?|rationale|analysis|"
    r"scratchpad|reflection|cot|chain of thought)(?: [^<>▷]*)?[>▷]|\[(?P<slash>/)?think\]"
)
_ANSWER = re.compile(
    r"< ?(?P<close>/)? ?(?:(?:final )?(?:answer|verdict|judge?ment|decision)|final|conclusion|"
    r"result|choice|preference|winner|output) ?>"
)
_SCORE = re.compile(r"< ?(?P<close>/)? ?(?:(?:final|overall) )?(?:score|rating) ?>")
#: Tokens that end a turn, and marks of HTML and TeX: none of them says anything.
_MARKS = re.compile(
    r"<\|[^<>|\n]{1,40}\|>|</?s>|</?(?:b|i|u|em|strong|span)(?: [^<>]*)?>"
    r"|\\(?:text|mathrm|mathbf|textbf) ?(?=\{)|\$"
)
_LINES = re.compile(r"</?(?:p|br|div|li|ul|ol|h[1-6])(?: [^<>]*)? ?/?>")
#: A line that only names what the lines after it are about, as Markdown writes it.
_HEADING = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]*(?=[^\s#])(?P<hashed>[^\n]*?)|\*\*(?P<bold>[^*\n]+)\*\*)[ \t]*$", re.M
)
_FORMATTING = frozenset('*`"“”„«»「」『』《》#')
#: A sentence that begins so belongs to the one before.
_GOES_ON = re.compile(r"\W*(?:and|or)\b")
_SENTENCE = re.compile(r"[.!?]+[\])}]*(?=\s|$)|。+|(?<!:)\n")


class UnreadableError(ValueError):
    """An answer from which no verdict or no score can be read; says why, without the judge's words.

    Errors travel to logs, reports and MLflow, and words stay in the reply that they are.
    """


@dataclass(frozen=True)
class Plain:
    """A text to be read, and where it stands in the text that was written.

    text: lower-case, in Unicode's compatibility form, without formatting.
    at: of each character, its index in `raw`.
    raw: all that was written.
    """

    text: str
    at: tuple[int, ...]
    raw: str

    @classmethod
    def of(cls, raw: str) -> Plain:
        """The plain form of a text."""
        headings = {
            match.end()
            for match in _HEADING.finditer(raw)
            if _is_heading(match[match.lastgroup or 0])
        }
        text: list[str] = []
        at: list[int] = []
        for index, char in enumerate(raw):
            is_mark = char in _FORMATTING or char in "_'‘’"
            pieces = _in_context(raw, index) if is_mark else _folded(char)
            if index in headings and char == "\n" and text[-1:] != [":"]:
                pieces = ":\n"
            for piece in pieces:
                if piece == "\n" and text[-1:] == [" "]:
                    del text[-1], at[-1]
                if piece in " \n" and (not text or text[-1] in " \n"):
                    continue
                text.append(piece)
                at.append(index)
        size = len("".join(text).rstrip())
        return cls("".join(text[:size]), tuple(at[:size]), raw)

    def cut(self, start: int, end: int) -> Plain:
        """The part from `start` to `end`, without spaces around it."""
        part = self.text[start:end]
        start, end = start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())
        return Plain(self.text[start:end], self.at[start:end], self.raw)

    def without(self, spans: Iterable[tuple[int, int]], joint: str = "\n") -> Plain:
        """The text with some parts taken out, and `joint` where one stood."""
        text: list[str] = []
        at: list[int] = []
        begin = 0
        for start, end in [*spans, (len(self.text), len(self.text))]:
            kept = self.cut(begin, start)
            if text and kept.text:
                text.append(joint)
                at.append(kept.at[0])
            text.extend(kept.text)
            at.extend(kept.at)
            begin = max(begin, end)
        return Plain("".join(text), tuple(at), self.raw)

    def without_any(self, pattern: re.Pattern[str], joint: str = "\n") -> Plain:
        """The text without what a pattern finds."""
        return self.without((match.span() for match in pattern.finditer(self.text)), joint)

    def written(self, start: int = 0, end: int | None = None) -> str:
        """The part as it was written, with the formatting that touches it."""
        at = self.at[start:end]
        if not at:
            return ""
        begin, stop = at[0], at[-1] + 1
        while start == 0 and begin and self.raw[begin - 1] in _FORMATTING:
            begin -= 1
        while stop < len(self.raw) and self.raw[stop] in _FORMATTING:
            stop += 1
        return self.raw[begin:stop]

    def sentences(self, whole: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Where each sentence begins and ends; none ends within one of the parts in `whole`."""
        found: list[tuple[int, int]] = []
        begin = 0
        for end in (*(mark.end() for mark in _SENTENCE.finditer(self.text)), len(self.text)):
            if any(start < end < stop for start, stop in whole):
                continue
            if found and _GOES_ON.match(self.text, begin):
                begin = found.pop()[0]
            found.append((begin, end))
            begin = end
        return [(start, end) for start, end in found if self.text[start:end].strip()]


@dataclass(frozen=True)
class Answer:
    """What counts of a text.

    plain: all of it but reasoning in tags, or what stands in answer tags where there are some.
    is_apart: whether it stood in answer tags, so that "1" or "Image 1" alone says something.
    reasoning: what stood in tags of reasoning, as it was written.
    is_open: whether it goes on to the end of the text.
    """

    plain: Plain
    is_apart: bool = False
    reasoning: str = ""
    is_open: bool = True

    @classmethod
    def of(cls, text: str, wants: Literal["verdict", "score"] = "verdict") -> Answer:
        """The answer in a text.

        Raises:
            UnreadableError: empty, nothing but reasoning, reasoning that has no end, or several
                answers in tags that are not the same.
        """
        whole = Plain.of(text)
        if not whole.text:
            raise UnreadableError("empty answer")
        spans = _reasoning(whole.text)
        reasoning = "\n".join(said for span in spans if (said := _stripped(whole, *span)))
        plain = whole.without(spans)
        if not plain.text:
            raise UnreadableError("nothing but reasoning")
        tags = _SCORE if wants == "score" and _SCORE.search(plain.text) else _ANSWER
        apart = _apart(plain, tags)
        if len({one.text for one in apart}) > 1:
            raise UnreadableError("contradictory answers")
        is_open = not apart or plain.text.endswith(apart[-1].text)
        counts = apart[-1] if apart else plain
        counts = counts.without_any(tags).without_any(_LINES).without_any(_MARKS, " ")
        if not counts.text:
            raise UnreadableError("empty answer")
        return cls(counts, bool(apart), reasoning, is_open)


def _stripped(whole: Plain, start: int, end: int) -> str:
    """What was written between tags, and not the tags."""
    marks = [match.span() for match in _THINKING.finditer(whole.text, start, end)]
    inner = whole.cut(
        max((b for a, b in marks if a == start), default=start),
        min((a for a, b in marks if b == end), default=end),
    )
    return inner.written().strip()


def _reasoning(text: str) -> list[tuple[int, int]]:
    """Where reasoning stands. A tag that closes what was never opened, as where a template opened
    it, ends a reasoning that began with the text.

    Raises:
        UnreadableError: one is not closed.
    """
    spans: list[tuple[int, int]] = []
    begin, depth = 0, 0
    for mark in _THINKING.finditer(text):
        if mark[0].endswith(("/>", "/ >")):
            continue
        if not (mark["close"] or mark["slash"]):
            begin = begin if depth else mark.start()
            depth += 1
        elif depth > 1:
            depth -= 1
        else:
            spans = [*spans, (begin, mark.end())] if depth else [(0, mark.end())]
            depth = 0
    if depth:
        raise UnreadableError("the reasoning has no end")
    return spans


def _apart(plain: Plain, tags: re.Pattern[str]) -> list[Plain]:
    """What stands in answer tags; those within others belong to them."""
    found: list[Plain] = []
    opened: list[int] = []
    for mark in tags.finditer(plain.text):
        if not mark["close"]:
            opened.append(mark.end())
        elif opened:
            begin = opened.pop()
            if not opened:
                found.append(plain.cut(begin, mark.start()))
    if opened:
        found.append(plain.cut(opened[0], len(plain.text)))
    return found


def _is_heading(line: str) -> bool:
    """Whether a line of Markdown is the name of what follows, and no statement."""
    return not re.search(r"\d|\b(?:is|are|better|tie)\b|[.!?:：]\W*$", line.lower())


def _in_context(raw: str, index: int) -> str:
    """What is left of a mark of formatting: nothing but for an apostrophe, and between digits."""
    before, after = raw[index - 1 : index] if index else "", raw[index + 1 : index + 2]
    if before.isdigit() and after.isdigit():
        return raw[index]
    if raw[index] == "_":
        return " "
    return "'" if raw[index] in "'‘’" and before.isalpha() and after.isalpha() else ""


@cache
def _folded(char: str) -> str:
    if char in "\n\u2028\u2029\x85":
        return "\n"
    if char.isspace():
        return " "
    category = unicodedata.category(char)
    if category == "Cf":  # invisible
        return ""
    if category == "No":  # "½" or "²" would become digits of the number before it
        return char
    return unicodedata.normalize("NFKC", char).lower()


def reason_of(reasoning: str, before: str, after: str) -> str:
    """What a text says for its verdict or score: its reasoning, and the words on both sides.

    Punctuation that only held the verdict is left out.
    """
    parts = (reasoning, before.rstrip(" \t\n,;:([{<"), after.lstrip(" \t\n,;:.!)]}>*\"'”"))
    return "\n".join(said for part in parts if (said := part.strip()))
