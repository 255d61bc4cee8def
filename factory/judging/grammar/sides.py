"""How people name two sides: "Image 1", "the second response", "B", "the other one"."""

from __future__ import annotations

import re

from schemas.rows import Preference


def any_of(phrases: str) -> str:
    """A pattern for one of several phrases, as in "much, by far, a bit"."""
    return "(?:" + "|".join(phrase.strip() for phrase in phrases.split(",")) + ")"


THING = any_of(
    "image, picture, photo, video, clip, answer, response, reply, caption, option, assistant,"
    "model, output, candidate, sample, description, edit"
)
#: Not the beginning of "12", "1.5" or "1/2", which a template leaves where nobody has chosen.
_END = r"(?![\w/]|[.,][0-9])"
SIDE = (
    rf"(?:{THING}s? ?(?:number |no\.? |: ?)?[\[(]?(?:1|2|one|two|a|b){_END}[\])]?"
    rf"|(?:the )?(?:first|second|1st|2nd) (?:{THING}|one)\b"
    r"|the (?:first|second)(?= (?:is|was|wins)\b|[^\w]*$|[,.;)]))"
)
#: A side by a letter or number alone, where a label or a bracket says that it is one.
BARE = rf"(?:[12ab]|first|second|one|two){_END}"
OTHER = rf"[\[(]?(?:{SIDE}|the (?:other|alternative)(?: {THING}| one)?)"
CHINESE = r"(?:图|图片|图像|视频|回答|答案) ?[12ab一二]"

_FIRST = {"1", "one", "a", "first", "1st", "一"}
_ORDINAL = re.compile(r"\b(?:first|second|1st|2nd)\b")
_NUMBER = re.compile(r"(?:1|2|one|two|a|b|一|二)(?=\W*$)")
_IS_OTHER = re.compile(r"the (?:other|alternative)")

OPPOSITE: dict[Preference, Preference] = {"first": "second", "second": "first", "tie": "tie"}


def side_of(words: str) -> Preference:
    """Which side some words name."""
    named = _ORDINAL.search(words) or _NUMBER.search(words)
    return "first" if named is not None and named[0] in _FIRST else "second"


def is_same(side: Preference, other: str) -> bool:
    """Whether other words name a side too, and not the other one."""
    return not _IS_OTHER.match(other) and side_of(other) == side
