"""What one sentence says of two sides: that one is better, that neither is, or nothing that counts.

A statement counts where it is one of the whole ("Image 1 is better than Image 2", "Winner: B",
"[[A>B]]"), complete, and said by the judge for itself. One about an aspect ("better in colour", "Style:
Image 2 is better"), a condition, a question and a quotation are none. A doubt is remembered, since a
judge that doubts its last word has not given one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from schemas.rows import Preference

#: What a sentence amounts to. "against" is a statement that a side is *not* better.
Kind = Literal["verdict", "both", "doubt", "against", "nothing"]
#: A verdict, and where the words that stand for it begin and end.
Span = tuple[Preference, int, int]

_THING = (
    r"(?:image|picture|photo|video|clip|answer|response|reply|caption|option|assistant|model|output|"
    r"candidate|sample|description|edit)"
)
_NUMBER = r"(?:1|2|one|two|a|b)(?![\w/]|[.,][0-9])"
_SIDE = (
    rf"(?:{_THING}s? ?(?:number |no\.? |: ?)?[\[(]?{_NUMBER}[\])]?"
    rf"|(?:the )?(?:first|second|1st|2nd) (?:{_THING}|one)\b"
    r"|the (?:first|second)(?= (?:is|was|wins)\b|[^\w]*$|[,.;)]))"
)
_OTHER = rf"(?:{_SIDE}|the (?:other|alternative)(?: {_THING}| one)?)"
_BARE = r"(?:[12ab]|first|second|one|two)(?![\w/]|[.,][0-9])"
_SURELY = (
    r"(?:(?:much|far|clearly|slightly|significantly|substantially|considerably|noticeably|markedly|"
    r"marginally|somewhat|definitely|certainly|obviously|overall|generally|simply|therefore|thus|"
    r"indeed|still|strictly|decidedly|a bit|a little|by far|the) ){0,4}"
)
_KIND = rf"(?: {_THING}| one| choice| of the two)?"
_BETTER = rf"(?:better{_KIND}|superior{_KIND}|preferable|preferred{_KIND}|best{_KIND}|winner)\b"
_THAN = rf"(?P<than> (?:than|to|over)\b(?: (?P<other>{_OTHER}))?)?"
_CLAIMS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?<!\w)(?P<side>{_SIDE}),? (?:is|was) {_SURELY}{_BETTER}{_THAN}",
        rf"(?<!\w)(?P<side>{_SIDE}) (?:clearly |easily )?(?:wins\b|(?:outperforms|beats|surpasses)"
        rf"(?P<than> (?P<other>{_OTHER})?))",
        rf"\b(?:i|we)(?:'d|'ll)? (?:would |will |strongly |clearly ){{0,3}}(?:prefer|choose|pick|select|favou?r)"
        rf" (?P<side>{_SIDE}){_THAN}",
        r"^(?:(?:so|thus|therefore|hence|overall),? )?(?P<side>[ab12]) is "
        rf"{_SURELY}{_BETTER}(?P<than> (?:than|to|over) (?P<other>[ab12])(?!\w))?",
        r"(?P<side>(?:图|图片|图像|视频|回答|答案) ?[12ab一二])(?P<than>比(?P<other>"
        r"(?:图|图片|图像|视频|回答|答案) ?[12ab一二]))?(?:明显|略|稍)?(?:更好|更优)",
    )
)
_WORSE = re.compile(
    rf"(?<!\w)(?P<side>{_SIDE}) (?:is|was) {_SURELY}(?:worse|inferior)\b"
    rf"(?P<than> (?:than|to)\b(?: (?P<other>{_OTHER}))?)?"
)
_LABEL = re.compile(
    rf"\b(?P<label>(?:(?:my|the|our|final|overall) ){{0,3}}(?:(?:winner|winning {_THING}|verdict|judge?ment|"
    rf"decision|conclusion|preference|preferred {_THING}|selection|pick|best|superior|"
    rf"(?:better|best|superior)(?: {_THING}| one)|better|1st(?: place)?|first place|rank(?:ed)? ?1)"
    r" ?(?:is|are|would be|[:=]+|[-=]+>|[→–—-])+|(?:final |my )(?:answer|choice) is:?"
    r"|(?:answer|choice) ?[:=]+))[\s:]*[\[({<\\]*(?:boxed ?)?[\[({<\\ ]*"
    rf"(?:(?P<side>{_SIDE}|{_BARE})|(?P<tie>(?:an? |it is an? )?(?:tie|draw)\b|both(?: equal(?:ly good)?)?"
    r"\b(?! \w)|equal(?:ly good)?\b|same\b))"
)
_RANKED = re.compile(
    rf"(?P<before>[<>=≻≺≈~+*/-] ?)?(?<![\w.])(?P<one>{_SIDE}|\b[ab12]\b) ?(?P<sign>>{{1,3}}|<{{1,3}}"
    rf"|={{1,2}}|≻|≺|≈) ?(?P<two>{_SIDE}|\b[ab12]\b(?![\w/]|[.,][0-9]))(?P<after> ?[<>=≻≺≈~+*/])?"
)
_BOXED = re.compile(
    rf"(?:\[\[|\\boxed ?\{{) ?[{{(]? ?(?:(?P<side>{_SIDE}|{_BARE})|(?P<tie>tie|draw|c|equal))"
    r" ?[)}]? ?(?:\]\]|\})"
)
_ALONE = re.compile(
    rf"^[\[({{<\\ ]*(?:(?P<side>{_SIDE}|{_BARE})|(?P<tie>(?:an? )?(?:tie|draw)|equal|both(?: equally good)?|"
    r"equally good))[\])}> .!]*$"
)
_TIE = re.compile(
    rf"\b(?:(?:both|the two|these two|two)(?: of them)?(?: {_THING}s)?|they|{_SIDE} and {_SIDE})"
    r" are (?:both |just |about |roughly )?(?:equally (?:good|bad)|equal|tied|(?:equal|of (?:equal|the same) "
    r"quality))\b"
    r"|\b(?:(?:it|this|the result|the verdict|the outcome) is|it's) an? (?:tie|draw)\b|^(?:tie|draw)\b"
    rf"|\bneither(?: {_THING})? is (?:clearly |significantly )?better than the other\b"
    r"|(?:平局|一样好|同样好)"
)
_AGAINST = re.compile(
    rf"(?<!\w)(?P<side>{_SIDE}) (?:(?:is|was)(?: not|n't| hardly| never| no)|(?:cannot|can not) be) "
    rf"{_SURELY}(?:{_BETTER})"
)
_DENIED = re.compile(
    r"\b(?:not|never|neither|nor|no|cannot|hardly|unlikely|doubt|false|wrong|untrue|disagree|incorrect)\b"
    r"|n't\b|不|没"
)
#: What is no denial, for all its words.
_SURE = re.compile(
    r"\b(?:no|without (?:a |any )?|beyond (?:a |any )?) ?doubt\b|\b(?:not only|no question)\b"
)
_CONDITION = re.compile(
    r"\b(?:if|whether|unless|otherwise|were|suppose|assuming|provided|(?<!i )would (?:say|argue)|might say|may say|"
    r"people say|some say|said that|(?:some|many|others|viewers|people|users)(?: \w+)? (?:say|think|"
    r"prefer|believe|argue|feel)|thought|instruct\w*|format|such as|"
    r"one of (?:the|these|those)|(?:output|answer|respond|reply) (?:exactly|only|with)|options? (?:is|are)|"
    r"choose between|asked (?:to|whether|if)|claims?)\b"
)
_DOUBT = re.compile(
    r"\b(?:perhaps|maybe|possibly|probably|potentially|presumably|arguably|likely|might|may|could|"
    r"not (?:\w+ )?(?:sure|certain|confident)|unsure|uncertain|undecided|either (?:one|way|is|of)|"
    rf"or (?=perhaps|maybe|possibly|it |both|neither|the other|[12ab]\b|{_SIDE}))"
)
_UNSURE = re.compile(
    rf"^or (?:(?:is|was|maybe|perhaps|rather|it)[:,]? ){{0,4}}{_SIDE}"
    r"|\b(?:(?:am|is|are|'m|it's)(?: not|n't)(?: \w+)? (?:sure|certain|confident)(?! (?:what|how|where|why))"
    r"|unsure|undecided|(?:cannot|can't|could not|couldn't|unable to|hard to|difficult to|impossible to) "
    r"(?:say|tell|decide|choose|determine|judge)"
    rf"(?: which (?:one|is|of|{_THING})| between (?:them|the two|both|{_SIDE})|[.!,;]*$)"
    rf"|or (?:maybe|perhaps|possibly) (?:it is )?{_SIDE}|could go either way|no clear (?:winner|verdict)"
    rf"|{_SIDE} (?:(?:might|may|could) be|seems|appears|looks|(?:is )?(?:probably|possibly|perhaps|maybe|"
    r"arguably|likely|potentially)(?: is)?) (?:the |slightly |a bit |much ){0,3}better"
    r"(?: than \w+(?: \w+){0,2})?[\s.!,;]*$)"
)
#: Words at the head of a sentence after which it is about one aspect, or about what seemed so once.
_ASPECT_HEAD = re.compile(
    r"^(?:and |but |while |although |though |whereas |yet |however,? |also,? |[-•–—] ?){0,4}"
    r"(?:(?:in terms of|in|on|at|for|from|with (?:respect|regard)|by|under|regarding|concerning|considering|as for|as to|as far|"
    r"when it comes to|initially|previously|here(?=,)|there(?=,)|where|only|purely|judging by)\b)"
)
_WHOLE_HEAD = re.compile(
    r"^(?:and |but |so |[-•–—] ?){0,4}(?:in (?:conclusion|summary|short|sum|brief|total|general|the end|my \w+|"
    r"(?:all|both|every) \w+|light of|view of)|on (?:balance|the whole|both|all)|at the end of the day|by a|by all|"
    r"for (?:this|these|that|those|the above|all (?:of )?(?:these|those)) ?(?:reasons?)?|by (?:any|every|total)|"
    r"(?:considering|judging by|from|with|given) (?:all|both|everything|the (?:above|analysis|"
    r"comparison|total|criteria)|this|these|that)|from this|with (?:that|this))\b"
)
_ALONE_ASPECT = re.compile(r"\b(?:alone|in terms of|at first (?:glance|sight)|at a glance)\b")
_WHOLE_LABEL = re.compile(
    r"\b(?:overall|conclusion|conclude|verdict|judge?ment|decision|answer|final|result|summary|winner|therefore|"
    r"thus|so|hence|preference|choice|better|best|outcome|assessment|evaluation|comparison|rank(?:ing|ed)?|order)\b"
)
_COMPLETE = re.compile(
    r"[\])}>]*\s*(?:$|[.,;:!?)(\]}\n。,—–-]|\[\[|(?:overall|because|since|as|due to|thanks to|given|"
    r"in (?:all|both|every|general|my|this comparison)|by (?:a|far)|for (?:this|these|those) (?:reasons?|caption|prompt|question))\b)"
)
_BARE_COMPLETE = re.compile(r"[\])}>]*\s*(?:[.!]*\s*$|[;(,—–-]* ?(?:because|since|as|due to)\b)")
_REASON = re.compile(r"\b(?:because|since|as|due to|thanks to|given|for)\b")
_LATER_ASPECT = re.compile(
    r"^[\s,;:(–—-]*(?:but |though |although |at least |albeit |if |unless |provided |assuming |only |just |"
    r"mainly )*(?:only|just|mainly|if|unless|provided|assuming|in terms of|regarding|when it comes|at least|"
    r"(?:in|on|for|at)(?! (?:all|both|every|general|my|conclusion|short|sum|this|these|total)\b))\b"
)
#: What comes before the statement of a sentence and is none of its own: it may deny and doubt.
_SUBORDINATE = re.compile(
    r"^(?:and |but |yet |[-•–—] ?){0,4}(?:although|though|even though|even if|while|whilst|whereas|despite|"
    r"because|since|as|given)\b[^,;:]*[,;] ?"
)
_CONSEQUENCE = re.compile(
    r"^.*[,;] ?(?:and |but )?(?:so|thus|hence|therefore|consequently|overall|which means)\b,? ?",
    re.S,
)
#: After which a label is one of the whole.
_LABEL_HEAD = re.compile(
    r"(?:^|[,;:(\[{—–-]|\b(?:so|thus|therefore|hence|that|and|overall|finally|then|say|is))\s*$"
)
_FIRST = {"1", "one", "a", "first", "1st", "一"}
_ORDINAL = re.compile(r"\b(?:first|second|1st|2nd)\b")
_NAMED = re.compile(rf"(?:1|2|one|two|a|b|一|二)(?=\W*$)")
_NAMES_SIDE = re.compile(rf"(?<!\w){_SIDE}")
_OPPOSITE: dict[Preference, Preference] = {"first": "second", "second": "first", "tie": "tie"}


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
    preference: Preference
    start: int
    end: int
    is_whole: bool


def said_in(
    text: str, start: int, end: int, own: Sequence[Span], *, is_alone: bool = False
) -> Said:
    """What the sentence at text[start:end] says.

    Args:
        text: plain (`Plain`).
        own: where the judge's own sentences stand in it, and what they stand for.
        is_alone: whether a side alone ("B") is a verdict, as in answer tags.
    """
    claims = list(_own(text, start, end, own))
    asked = [(claim.start, claim.end) for claim in claims]
    for claim in _claims(text, start, end, is_alone):
        # What a judge's own sentence stands for is its specification's to say.
        if not any(claim.start < stop and begin < claim.end for begin, stop in asked):
            claims.append(claim)
    against = [side_of(match["side"]) for match in _AGAINST.finditer(text, start, end)]
    whole = [claim for claim in claims if claim.is_whole]
    if not whole:
        if _UNSURE.search(text[start:end].strip()):
            return Said("doubt")
        return Said("against", against[-1]) if against else Said("nothing")
    sides = {claim.preference for claim in claims}
    if len(sides) > 1 or sides.intersection(against):
        return Said("both")
    begin = min(claim.start for claim in whole)
    stop = max(claim.end for claim in whole)
    lead, after = text[start:begin].lstrip(), text[stop:end]
    said = f"{_clause(lead)} {_REASON.split(after)[0]}"
    if _DOUBT.search(said) or _UNSURE.search(said):
        return Said("doubt")
    is_bare = not re.search(r"\w", lead + after)
    if len(re.findall(r"\w+", lead)) > 2 and not _WHOLE_LABEL.search(lead):
        start = begin  # a reason, which stands before its verdict
    return Said("verdict", whole[-1].preference, start, stop, is_bare)


def side_of(words: str) -> Preference:
    """Which side some words name."""
    named = _ORDINAL.search(words) or _NAMED.search(words)
    return "first" if named is not None and named[0] in _FIRST else "second"


def _own(text: str, start: int, end: int, own: Sequence[Span]) -> Iterator[_Claim]:
    for preference, begin, stop in own:
        if start <= begin and stop <= end and not _is_unsaid(text[start:begin]):
            is_whole = _is_whole(text[start:begin], text[stop:end], _COMPLETE)
            yield _Claim(preference, begin, stop, is_whole)


def _claims(text: str, start: int, end: int, is_alone: bool) -> Iterator[_Claim]:
    """What is claimed of a side, of the whole or of an aspect."""
    sentence = text[start:end]
    for preference, match, complete, is_label in _statements(sentence, is_alone):
        before, after = sentence[: match.start()], sentence[match.end() :]
        if _is_unsaid(before):
            continue
        is_whole = _is_whole(before, after, complete)
        if "label" in match.groupdict() and not _LABEL_HEAD.search(before):
            continue  # "The category winner: Image 1"
        if is_label and (not is_whole or _NAMES_SIDE.search(_REASON.split(after)[0])):
            continue  # "Answer: a cat", "Winner: Image 1, Image 2"
        yield _Claim(preference, start + match.start(), start + match.end(), is_whole)


def _statements(
    sentence: str, is_alone: bool
) -> Iterator[tuple[Preference, re.Match[str], re.Pattern[str], bool]]:
    """What looks like a statement, with what may follow it, and whether it is a label's value."""
    for pattern in (*_CLAIMS, _WORSE):
        for match in pattern.finditer(sentence):
            side, other = side_of(match["side"]), match["other"]
            if match["than"] and (other is None or _is_same(side, other)):
                continue  # "than" nothing, or than itself
            yield _OPPOSITE[side] if pattern is _WORSE else side, match, _COMPLETE, False
    for match in _TIE.finditer(sentence):
        yield "tie", match, _COMPLETE, False
    for match in _RANKED.finditer(sentence):
        preference = _ranked(match, sentence)
        if preference is not None:
            yield preference, match, _COMPLETE, False
    for pattern in (_LABEL, _BOXED, *((_ALONE,) if is_alone else ())):
        for match in pattern.finditer(sentence):
            named = match["side"]
            is_bare = pattern is _LABEL and named is not None and re.fullmatch(_BARE, named)
            side = side_of(named) if named else "tie"
            yield side, match, _BARE_COMPLETE if is_bare else _COMPLETE, True


def _is_same(side: Preference, other: str) -> bool:
    return not re.match(r"the (?:other|alternative)", other) and side_of(other) == side


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


def _clause(lead: str) -> str:
    """The words before a statement that belong to it."""
    return _CONSEQUENCE.sub("", _SUBORDINATE.sub("", lead))


def _is_unsaid(before: str) -> bool:
    """Whether the words before a statement take it back, or put it to somebody else."""
    clause = _SURE.sub("", re.split(r"[;:]", _clause(before.lstrip()))[-1])
    return _DENIED.search(clause) is not None or _CONDITION.search(clause) is not None


def _is_whole(before: str, after: str, complete: re.Pattern[str]) -> bool:
    """Whether a statement between these words is complete, and one of the whole."""
    if complete.match(after) is None or _LATER_ASPECT.match(after) or after.rstrip().endswith("?"):
        return False
    lead = _clause(before.lstrip()).strip()
    if _ALONE_ASPECT.search(lead) or (_ASPECT_HEAD.match(lead) and not _WHOLE_HEAD.match(lead)):
        return False
    label, colon, _ = lead.rpartition(":")
    return not colon or _WHOLE_LABEL.search(label) is not None
