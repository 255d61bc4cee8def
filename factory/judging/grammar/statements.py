"""What looks like a statement about two sides in a sentence: better and worse, ties, labels, signs.

Whether it counts is for the words around it to say (`factory.judging.grammar.clauses`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from factory.judging.grammar.sides import (
    BARE,
    CHINESE,
    OPPOSITE,
    OTHER,
    SIDE,
    THING,
    any_of,
    is_same,
    side_of,
)
from schemas.rows import Preference

_SURELY = (
    "(?:"
    + any_of(
        "much, far, clear, clearly, slightly, significantly, substantially, considerably,"
        "noticeably, markedly, marginally, somewhat, definitely, certainly, obviously, overall,"
        "generally, simply, therefore, thus, indeed, still, strictly, decidedly, a bit, a little,"
        "by far, the"
    )
    + " ){0,4}"
)
_KIND = rf"(?: {THING}| one| choice| of the two)?"
_BETTER = rf"(?:(?:better|superior|preferred|best){_KIND}|preferable|winner)\b"
_THAN = rf"(?P<than> (?:than|to|over)\b(?: (?P<other>{OTHER}))?)?"
_BEST = (
    rf"(?<!\w)(?P<side>{SIDE}) (?:is|was) {_SURELY}{_BETTER}{_THAN}",
    rf"(?<!\w)(?P<side>{SIDE}) (?:clearly |easily )?"
    rf"(?:wins\b|(?:outperforms|beats|surpasses)(?P<than> (?P<other>{OTHER})?))",
    r"\b(?:i|we)(?:'d|'ll)? (?:would |will |strongly |clearly ){0,3}"
    rf"{any_of('prefer, choose, pick, select, favou?r, go with')} (?P<side>{SIDE}){_THAN}",
    rf"^(?:{any_of('so, thus, therefore, hence, overall')},? )?(?P<side>[ab12]) is "
    rf"{_SURELY}{_BETTER}(?P<than> (?:than|to|over) (?P<other>[ab12])(?!\w))?",
    rf"(?P<side>{CHINESE})(?P<than>比(?P<other>{CHINESE}))?(?:明显|略|稍)?(?:更好|更优)",
)
_WORSE = (
    rf"(?<!\w)(?P<side>{SIDE}) (?:is|was) {_SURELY}(?:worse|inferior)\b"
    rf"(?P<than> (?:than|to)\b(?: (?P<other>{OTHER}))?)?",
)
_TIES = (
    rf"\b(?:(?:both|the two|these two|two)(?: of them)?(?: {THING}s)?|they|{SIDE} and {SIDE}) are "
    r"(?:both |just |about |roughly )?"
    rf"{any_of('equally good, equally bad, equal, tied, of equal quality, of the same quality')}\b",
    rf"\b(?:{any_of('it, this, the result, the verdict, the outcome')} is|it's) an? (?:tie|draw)\b",
    r"^(?:tie|draw)\b",
    rf"\bneither(?: {THING})? is (?:clearly |significantly )?better than the other\b",
    r"平局|一样好|同样好",
)
_NAMES = any_of(
    f"winner, winning {THING}, verdict, judge?ment, decision, conclusion, preference, selection,"
    f"pick, preferred(?: {THING})?, (?:better|best|superior)(?: {THING}| one)?, 1st(?: place)?,"
    "first place, rank(?:ed)? ?1"
)
_LABEL = (
    rf"\b(?P<label>(?:(?:my|the|our|final|overall) ){{0,3}}"
    rf"(?:{_NAMES} ?(?:is|are|would be|[:=]+|[-=]+>|[→–—-])+"
    r"|(?:final |my )(?:answer|choice) is:?|(?:answer|choice) ?[:=]+))"
    r"[\s:]*[\[({<\\]*(?:boxed ?)?[\[({<\\ ]*"
    rf"(?:(?P<side>{SIDE}|{BARE})"
    r"|(?:(?:an?|it is an?) )?(?:tie|draw)\b|both(?: equal(?:ly good)?)?\b(?! \w)"
    r"|equal(?:ly good)?\b|same\b)",
)
#: "[[A]]" and "[[C]]" for a tie, as arenas ask for it; "\\boxed{A}".
_BOXED = (
    rf"(?:\[\[|\\boxed ?\{{) ?[{{(]? ?(?:(?P<side>{SIDE}|{BARE})|tie|draw|c|equal)"
    r" ?[)}]? ?(?:\]\]|\})",
)
_ALONE = (
    rf"^[\[({{<\\ ]*(?:(?P<side>{SIDE}|{BARE})|(?:an? )?(?:tie|draw)|(?:both )?equal(?:ly good)?"
    r"|both)[\])}> .!]*$",
)
_LETTER = r"\b[ab12]\b(?![\w/]|[.,][0-9])"
_RANKED = (
    rf"(?P<before>[<>=≻≺≈~+*/-] ?)?(?<![\w.])(?P<one>{SIDE}|{_LETTER}) ?"
    rf"(?P<sign>>{{1,3}}|<{{1,3}}|={{1,2}}|≻|≺|≈) ?(?P<two>{SIDE}|{_LETTER})"
    r"(?P<after> ?[<>=≻≺≈~+*/])?",
)
_AGAINST = re.compile(
    rf"(?<!\w)(?P<side>{SIDE}) (?:(?:is|was)(?: not|n't| hardly| never| no)|(?:cannot|can not) be) "
    rf"{_SURELY}{_BETTER}"
)


def _compiled(*patterns: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern) for some in patterns for pattern in some)


_COMPARED = _compiled(_BEST, _WORSE)
_IS_WORSE = set(_compiled(_WORSE))
_TIED = _compiled(_TIES)
_SIGNED = _compiled(_RANKED)
_NAMED = _compiled(_LABEL, _BOXED)
_SIDE_ALONE = _compiled(_ALONE)


@dataclass(frozen=True)
class Statement:
    """What a sentence seems to say.

    start, end: of its words in the sentence.
    is_letter: whether it names its side by a letter or a number alone.
    needs_head: whether it is the value of a label ("Winner: B"), which the words before it may make
        that of a part ("category winner:").
    """

    preference: Preference
    start: int
    end: int
    is_letter: bool = False
    needs_head: bool = False


def statements_in(sentence: str, *, is_alone: bool = False) -> Iterator[Statement]:
    """All statements of a sentence, whether or not they count.

    Args:
        sentence: plain.
        is_alone: whether a side alone ("B") is one, as in answer tags.
    """
    for pattern in _COMPARED:
        for match in pattern.finditer(sentence):
            side, other = side_of(match["side"]), match["other"]
            if match["than"] and (other is None or is_same(side, other)):
                continue  # "than" nothing, or than itself
            yield Statement(OPPOSITE[side] if pattern in _IS_WORSE else side, *match.span())
    for pattern in _TIED:
        for match in pattern.finditer(sentence):
            yield Statement("tie", *match.span())
    for pattern in _SIGNED:
        for match in pattern.finditer(sentence):
            if (ranked := _ranked(match, sentence)) is not None:
                yield Statement(ranked, *match.span())
    for pattern in (*_NAMED, *(_SIDE_ALONE if is_alone else ())):
        for match in pattern.finditer(sentence):
            named, is_label = match["side"], "label" in match.groupdict()
            is_letter = is_label and named is not None and bool(re.fullmatch(BARE, named))
            side = side_of(named) if named else "tie"
            yield Statement(side, *match.span(), is_letter, is_label)


def denied_in(sentence: str) -> list[Preference]:
    """The sides of which a sentence says that they are not better."""
    return [side_of(match["side"]) for match in _AGAINST.finditer(sentence)]


def _ranked(match: re.Match[str], sentence: str) -> Preference | None:
    """What "A > B" says; None of a chain, of a side against itself, and of letters in a text."""
    if match["before"] or match["after"]:
        return None
    before, after = sentence[: match.start()], sentence[match.end() :]
    is_apart = before.endswith(("[", ":", ": ", "is ")) or not re.search(r"\w", before + after)
    if not is_apart and 1 in (len(match["one"]), len(match["two"])):
        return None
    one, two = side_of(match["one"]), side_of(match["two"])
    if one == two:
        return None
    if match["sign"][0] in "=≈":
        return "tie"
    return one if match["sign"][0] in ">≻" else two
