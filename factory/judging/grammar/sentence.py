"""What one sentence says of two sides: that one is better, that neither is, or nothing that counts.

A statement counts where it is one of the whole ("Image 1 is better than Image 2", "Winner: B",
"[[A>B]]"), complete, and said by the judge for itself. One about an aspect ("better in colour",
"Style: Image 2 is better"), a condition, a question and a quotation are none. A doubt is
remembered, since a judge that doubts its last word has not given one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from factory.judging.grammar.clauses import (
    is_doubted,
    is_retracted,
    is_unsaid,
    is_unsure,
    is_whole,
    may_head,
    names_whole,
    reasonless,
)
from factory.judging.grammar.sides import SIDE
from factory.judging.grammar.statements import denied_in, statements_in
from schemas.rows import Preference

#: What a sentence amounts to. "against" is a statement that a side is *not* better.
Kind = Literal["verdict", "both", "doubt", "against", "nothing"]
#: A verdict, and where the words that stand for it begin and end.
Span = tuple[Preference, int, int]

_NAMES_SIDE = re.compile(rf"(?<!\w){SIDE}")


@dataclass(frozen=True)
class Said:
    """What a sentence says.

    preference: of a verdict; of "against", the side that is not better.
    start, end: of a verdict in the text, with its label; a reason beside it is left out.
    is_bare: whether the sentence is the statement and nothing else.
    """

    kind: Kind
    preference: Preference | None = None
    start: int = 0
    end: int = 0
    is_bare: bool = False


@dataclass(frozen=True)
class _Claim:
    """A statement that somebody makes, of the whole or of an aspect."""

    preference: Preference
    start: int
    end: int
    is_whole: bool


def said_in(
    text: str, start: int, end: int, own: Sequence[Span], *, is_alone: bool = False
) -> Said:
    """What the sentence from `start` to `end` of a text says.

    Args:
        text: plain (`Plain`).
        start: where the sentence begins.
        end: where it ends.
        own: where the judge's own sentences stand in the text, and what they stand for.
        is_alone: whether a side alone ("B") is a verdict, as in answer tags.
    """
    claims = list(_own(text, start, end, own))
    asked = [(claim.start, claim.end) for claim in claims if claim.is_whole]
    for claim in _claims(text, start, end, is_alone):
        # What a judge's own sentence stands for is its specification's to say.
        if not any(claim.start < stop and begin < claim.end for begin, stop in asked):
            claims.append(claim)
    denied = denied_in(text[start:end])
    whole = [claim for claim in claims if claim.is_whole]
    if not whole:
        if is_unsure(text[start:end]) or is_retracted(text[start:end]):
            return Said("doubt")
        return Said("against", denied[-1]) if denied else Said("nothing")
    sides = {claim.preference for claim in claims}
    if len(sides) > 1 or sides.intersection(denied):
        return Said("both")
    begin, stop = min(claim.start for claim in whole), max(claim.end for claim in whole)
    before, after = text[start:begin].lstrip(), text[stop:end]
    if is_doubted(before, after):
        return Said("doubt")
    if len(re.findall(r"\w+", before)) > 2 and not names_whole(before):
        start = begin  # a reason, which stands before its verdict
    is_bare = not re.search(r"\w", before + after)
    return Said("verdict", whole[-1].preference, start, stop, is_bare)


def _own(text: str, start: int, end: int, own: Sequence[Span]) -> Iterator[_Claim]:
    for preference, begin, stop in own:
        if start <= begin and stop <= end and not is_unsaid(text[start:begin]):
            yield _Claim(preference, begin, stop, is_whole(text[start:begin], text[stop:end]))


def _claims(text: str, start: int, end: int, is_alone: bool) -> Iterator[_Claim]:
    """What is claimed in the usual words."""
    sentence = text[start:end]
    for one in statements_in(sentence, is_alone=is_alone):
        before, after = sentence[: one.start], sentence[one.end :]
        if is_unsaid(before) or (one.needs_head and not may_head(before)):
            continue
        counts = is_whole(before, after, is_letter=one.is_letter)
        if one.needs_head and (not counts or _NAMES_SIDE.search(reasonless(after))):
            continue  # "Answer: a cat", "Winner: Image 1, Image 2"
        yield _Claim(one.preference, start + one.start, start + one.end, counts)
