"""The words around a statement: whether they take it back, doubt it, or make it one of a part.

A clause of its own before the statement ("While Image 2 may be sharper, ...", "..., so") may deny
and doubt what it likes. Other words that deny, doubt or name an aspect count against the statement.
"""

from __future__ import annotations

import re

from factory.judging.grammar.sides import SIDE, THING, any_of

_AND = r"^(?:and |but |yet |so |also,? |however,? |[-•–—] ?){0,4}"
_SUBORDINATE = re.compile(
    _AND
    + any_of(
        "although, though, even though, even if, while, whilst, whereas, despite, because, since"
    )
    + r"\b[^,;:]*[,;] ?|"
    + _AND
    + r"(?:as|given)\b[^,;:]*[,;] ?"
)
_CONSEQUENCE = re.compile(
    rf"^.*[,;] ?(?:(?:and |but )?{any_of('so, thus, hence, therefore, consequently, which means')}"
    r"|but overall)\b,? ?",
    re.DOTALL,
)
_DENIED = re.compile(
    rf"\b{any_of('not, never, neither, nor, no, cannot, hardly, unlikely, doubt, false, wrong')}\b"
    rf"|\b{any_of('untrue, unclear, doubtful, debatable, questionable, incorrect, disagree')}\b"
    rf"|\b{any_of('refuse, barely, rarely, scarcely, nobody, none, nothing, far from')}\b"
    r"|n't\b|不|没"
)
#: What is no denial, for all its words.
_SURE = re.compile(r"\b(?:no|(?:without|beyond)(?: a| any)?) doubt\b|\b(?:not only|no question)\b")
#: Said on a condition, by somebody else, at another time, or as what could be said.
_UNSAID = re.compile(
    r"\b(?:"
    + any_of("if, whether, unless, otherwise, were, suppose, assuming, provided, thought, claims?")
    + r"|(?<!i )would (?:say|argue)|(?:might|may|people|some) say|said that|says"
    r"|wrote|writes|states?|stated|suggests?|tells|told"
    r"|(?:some|many|others|viewers|people|users)(?: \w+)? (?:say|think|prefer|believe|argue|feel)"
    r"|should (?:say|be|answer|output)|instruct\w*|format|such as|one of (?:the|these|those)"
    r"|options? (?:is|are)|choose between"
    r"|(?:output|answer|respond|reply) (?:exactly|only|with)|asked (?:to|whether|if))\b"
)
_MAYBE = any_of("perhaps, maybe, possibly, probably, potentially, presumably, arguably, likely")
_DOUBT = re.compile(
    rf"\b(?:{_MAYBE}|might|may|could|unsure|uncertain|undecided"
    r"|not (?:\w+ )?(?:sure|certain|confident)|either (?:one|way|is|of)"
    rf"|or (?=perhaps|maybe|possibly|it |both|neither|the other|[12ab]\b|{SIDE}))"
)
#: Doubt in a sentence that states nothing else.
_UNSURE = re.compile(
    rf"^or (?:(?:is|was|maybe|perhaps|rather|it)[:,]? ){{0,4}}{SIDE}"
    r"|\b(?:(?:am|is|are|'m|it's)(?: not|n't)(?: \w+)? (?:sure|certain|confident)"
    r"(?! (?:what|how|where|why))|unsure|undecided"
    r"|(?:cannot|can't|could not|couldn't|unable to|(?:hard|difficult|impossible) to) "
    r"(?:say|tell|decide|choose|determine|judge)"
    rf"(?: which (?:one|is|of|{THING})| between (?:them|the two|both|{SIDE})|,? but\b|[.!,;]*$)"
    rf"|or (?:maybe|perhaps|possibly) (?:it is )?{SIDE}|could go either way"
    r"|no clear (?:winner|verdict)"
    rf"|{SIDE} (?:(?:might|may|could) be|seems|appears|looks|(?:is )?{_MAYBE}(?: is)?) "
    r"(?:the |slightly |a bit |much ){0,3}better(?: than \w+(?: \w+){0,2})?[\s.!,;]*$)"
)
#: Words that take back what was said before them, beside a side or alone.
_RETRACTED = re.compile(
    r"\b(?:wait|actually|correction|sorry|i mean|scratch that|on second thoughts?)\b|^\W*no[,.!]"
    r"|^\W*(?:not|no|false|wrong)\W*$"
)
_EVERY = r"(?:both|all|every|(?:the )?overall)"
#: Words at the head of a sentence after which it is about one aspect, or about what seemed so once.
_ASPECT = re.compile(
    r"^(?:and |but |yet |also,? |however,? |[-•–—] ?){0,4}(?:"
    + any_of("in, on, at, for, from, by, under, with respect, with regard, regarding, concerning")
    + "|"
    + any_of("considering, judging by, as for, as to, as far, when it comes to, initially")
    + r"|previously|here(?=,)|there(?=,)|where|only|purely)\b"
)
_WHOLE = re.compile(
    _AND
    + r"(?:in (?:conclusion|summary|short|sum|brief|total|general|the end|my \w+|light of|view of"
    rf"|comparison|this (?:case|comparison)|(?:all|both|every) \w+|terms of {_EVERY})"
    r"|on (?:balance|the whole|both|all)|at the end of the day"
    r"|by (?:an?|all|any|every|total)|for (?:this|these|that|those|the above|all (?:of )?these"
    r"|(?:the|this) (?:given )?(?:caption|prompt|question))"
    r"|(?:considering|judging by|from) (?:all|both|everything|this|these|that|the (?:above|analysis"
    r"|comparison|total|criteria)))\b"
)
#: After which a side is no subject: "the light in Image 2 is better".
_PART_OF = re.compile(
    rf"\b{any_of('of, in, within, from, with, for, on, at, by, to, like, unlike')}(?: the)?\s*$"
)
_ASPECT_WITHIN = re.compile(
    rf"\b(?:alone|in terms of(?! {_EVERY})|at first (?:glance|sight)|at a glance)\b"
)
_WHOLE_LABEL = re.compile(
    r"\b(?:"
    + any_of("overall, conclusion, conclude, verdict, judge?ment, decision, answer, final, result")
    + "|"
    + any_of(
        "summary, winner, therefore, thus, so, hence, preference, choice, better, best, outcome"
    )
    + r"|assessment|evaluation|comparison|rank(?:ing|ed)?|order)\b"
)
#: After which a label is one of the whole.
_HEAD = re.compile(
    rf"(?:^|[,;:(\[{{—–-]|\b{any_of('so, thus, therefore, hence, that, and, overall, finally')}"
    r"|\b(?:then|say|is))\s*$"
)
_BECAUSE = any_of("because, since, as, due to, owing to, thanks to, given")
_AND_SO = any_of(
    "and, but, while, whereas, though, although, so, which, with(?! (?:regard|respect))"
)
_COMPLETE = re.compile(
    rf"[\])}}>]*\s*(?:$|[.,;:!?)(\]}}。—–-]|\[\[|(?:overall|{_BECAUSE}|{_AND_SO}|by (?:a|far)"
    rf"|in (?:all|both|every|general|my|this comparison|terms of {_EVERY})|on (?:all|both|every)"
    r"|for (?:this|these|those) (?:reasons?|caption|prompt|question))\b)"
)
_LETTER_COMPLETE = re.compile(rf"[\])}}>]*\s*(?:[.!]*\s*$|[;(,—–-]* ?{_BECAUSE}\b)")
_REASON = re.compile(rf"\b(?:{_BECAUSE}|for)\b")
_LATER_ASPECT = re.compile(
    r"^[\s,;:(–—-]*(?:(?:but|though|although|albeit) )?(?:"
    + any_of("at least, only, just, mainly, if, unless, provided, assuming, regarding")
    + r"|when it comes|(?:in|on|for|at)(?! (?:all|both|every|general|my|conclusion|short|sum|this"
    rf"|these|those|total|terms of {_EVERY})\b))\b"
)


def own_clause(before: str) -> str:
    """Of the words before a statement, those that belong to it."""
    return _CONSEQUENCE.sub("", _SUBORDINATE.sub("", before.lstrip()))


def is_unsaid(before: str) -> bool:
    """Whether the words before a statement take it back, or put it to somebody else."""
    clause = _SURE.sub("", re.split(r"[;:]", own_clause(before))[-1])
    return _DENIED.search(clause) is not None or _UNSAID.search(clause) is not None


def is_doubted(before: str, after: str) -> bool:
    """Whether the words on either side doubt a statement; its reason may doubt other things."""
    said = f"{own_clause(before)} {reasonless(after)}"
    is_taken_back = _RETRACTED.search(reasonless(after)) is not None
    return is_taken_back or _DOUBT.search(said) is not None or is_unsure(said)


def is_retracted(sentence: str) -> bool:
    """Whether a sentence that states nothing takes back what was stated before."""
    is_short = len(re.findall(r"\w+", sentence)) < 4
    names_side = re.search(rf"(?<!\w){SIDE}", sentence) is not None
    return _RETRACTED.search(sentence.strip()) is not None and (is_short or names_side)


def is_unsure(sentence: str) -> bool:
    """Whether a sentence doubts, whatever it states."""
    return _UNSURE.search(sentence.strip()) is not None


def reasonless(after: str) -> str:
    """The words after a statement up to the reason for it."""
    return _REASON.split(after)[0]


def is_whole(before: str, after: str, *, is_letter: bool = False) -> bool:
    """Whether a statement between these words is complete, and one of the whole."""
    complete = _LETTER_COMPLETE if is_letter else _COMPLETE
    if not complete.match(after) or _LATER_ASPECT.match(after) or after.rstrip().endswith("?"):
        return False
    lead = own_clause(before).strip()
    if _PART_OF.search(before):
        return False
    if _ASPECT_WITHIN.search(lead) or (_ASPECT.match(lead) and not _WHOLE.match(lead)):
        return False
    label, colon, _ = lead.rpartition(":")
    return not colon or names_whole(label)


def names_whole(words: str) -> bool:
    """Whether some words announce what is said of the whole."""
    return _WHOLE_LABEL.search(words) is not None


def may_head(before: str) -> bool:
    """Whether a label after these words is one of the whole, and not "category winner"."""
    return _HEAD.search(before) is not None
