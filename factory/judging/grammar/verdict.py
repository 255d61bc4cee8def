"""Which of two sides a text prefers: in words, in JSON, or by its points for each side.

The last sentence with a verdict counts. It is invalid where both sides stand in it, where it is
doubted, where a later sentence takes it back, and where the sentence right before it says nothing
but the opposite: an instruction that is repeated does. Points for each side decide where no
sentence does: a total where there is one, else the sum over the dimensions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from factory.judging.grammar.answer import Answer, Plain, UnreadableError, reason_of
from factory.judging.grammar.json_answer import Fields, objects_in, points_in, reasons_in
from factory.judging.grammar.sentence import Said, Span, said_in
from factory.judging.grammar.sides import side_of
from schemas.rows import Dimension, Preference

_POINTS = r"(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?![\w%]|\.[0-9]| ?[+*=%])"
_SIDE_POINTS = (
    r"(?:{thing}) ?(?P<side{n}>1|2|a|b)(?: score)? ?[:=(]+ ?"
    rf"(?P<points{{n}}>{_POINTS})(?: ?/ ?(?P<of{{n}}>[0-9]+(?:\.[0-9]+)?)(?![\w%]|\.[0-9]))?\)?"
)
_EACH = re.compile(
    _SIDE_POINTS.format(
        thing="(?P<thing>image|picture|video|answer|response|assistant|option|model)", n=1
    )
    + r"[\s/,;|&]*(?:and |vs\.? )?"
    + _SIDE_POINTS.format(thing="(?P=thing)", n=2)
    + r"(?! ?[+*=%])"
)
#: Names under which more is not better.
_NOT_POINTS = re.compile(
    r"\b(?:rank\w*|place|position|order|errors?|defects?|art[ie]facts?|mistakes?|issues?|flaws?|"
    r"hallucinat\w*|penalt\w*|deduct\w*|distort\w*|worse|noise)\b"
)
#: What tells points from counts: a word for them, what they are out of, or that they share one.
_ARE_POINTS = re.compile(r"\b(?:scores?|ratings?|rated|points|totals?)\b")
_TOTAL = re.compile(r"(?:(?:final|overall|total|sum|average|mean) ?)+")
#: What is no name in a heading: its number, and the word for points.
_HEADING = re.compile(
    r"^[-•\s]*(?:\(?[0-9]+[.)] ?)?|(?: scores?| ratings?)?(?: ?\([^()\n]*\))?[\s:]*$"
)
#: The keys of a verdict in JSON.
_VERDICTS = re.compile(
    r"(?:(?:final|overall|the) )?(?:winner|verdict|preference|preferred|better|best|answer|choice|"
    r"decision|judge?ment)(?: (?:image|picture|video|answer|response|assistant|option|side))?"
)


@dataclass(frozen=True)
class Verdict:
    """What a text prefers.

    reason: the rest of it, reasoning in tags included, as it was written.
    dimensions: what it gives each side in single aspects; points as it wrote them.
    """

    preference: Preference
    reason: str = ""
    dimensions: tuple[Dimension, ...] = ()


def verdict_in(
    text: str, answers: Mapping[Preference, str] | None = None, *, is_cut: bool = False
) -> Verdict:
    """The verdict that a text gives.

    Args:
        text: what was written.
        answers: the sentences that a judge was asked to write; they count beside the usual ones. If
            all of them share a lead ("Overall Judgment:"), only what follows its last occurrence
            counts.
        is_cut: whether the text ends because its length limit was reached: a verdict at the very
            end could have gone on.

    Raises:
        UnreadableError: says why there is none.
    """
    answer = Answer.of(text)
    found = objects_in(answer.plain.written())
    if found:
        return _in_json(answer, found)
    plain, own, size = _after_lead(answer.plain, answers or {})
    # Right after the lead that all answers share, a side alone says all.
    is_alone = answer.is_apart or size < len(answer.plain.text)
    said = _last(plain, own, is_alone=is_alone, is_cut=is_cut and answer.is_open)
    each = list(_EACH.finditer(plain.text))
    if said is not None and said.preference is not None:
        begin = min(size, len(answer.plain.text) - len(plain.text) + said.start)
        before, after = answer.plain.written(0, begin), plain.written(said.end)
        dimensions = tuple(one for one in _dimensions(plain.text, each) if _is_aspect(one))
        return Verdict(said.preference, reason_of(answer.reasoning, before, after), dimensions)
    if not each:
        raise UnreadableError("no verdict")
    if is_cut and answer.is_open and not plain.text[each[-1].end() :].strip(" ."):
        raise UnreadableError("cut short")
    return _by_points(plain.text, each, answer.reasoning)


def sides_in(plain: Plain) -> tuple[Dimension, ...]:
    """The points that a text gives each side in single aspects, as it wrote them.

    Raises:
        UnreadableError: points that cannot be compared, or different ones for one aspect.
    """
    each = list(_EACH.finditer(plain.text))
    return tuple(one for one in _dimensions(plain.text, each) if _is_aspect(one))


def lead_of(sentences: Sequence[str]) -> str:
    """What all sentences begin with, up to a colon."""
    common = sentences[0] if sentences else ""
    while not all(sentence.startswith(common) for sentence in sentences):
        common = common[:-1]
    return common[: common.rfind(":") + 1]


def _after_lead(plain: Plain, answers: Mapping[Preference, str]) -> tuple[Plain, list[Span], int]:
    """What follows the lead, where the judge's own sentences stand in it, and what came before."""
    sentences = {key: Plain.of(sentence).text.rstrip(" .") for key, sentence in answers.items()}
    lead, size = lead_of(list(sentences.values())), len(plain.text)
    if lead and (at := plain.text.rfind(lead)) >= 0:
        plain, size = plain.cut(at + len(lead), len(plain.text)), at
    own: list[Span] = []
    for key, sentence in sentences.items():
        if said := sentence.removeprefix(lead).strip():
            pattern = rf"(?<!\w){re.escape(said)}(?!\w)"
            own += [(key, *match.span()) for match in re.finditer(pattern, plain.text)]
    return plain, own, size


def _last(plain: Plain, own: list[Span], *, is_alone: bool, is_cut: bool) -> Said | None:
    """What the last sentence with a verdict says; None where none has one."""
    last: Said | None = None
    trouble, bare = "", None
    for start, end in plain.sentences([span[1:] for span in own]):
        said = said_in(plain.text, start, end, own, is_alone=is_alone)
        if said.kind == "verdict":
            # Two sentences of nothing but a verdict, one after the other, have no last word.
            is_clear = not said.is_bare or bare in (None, said.preference)
            last, trouble = said, "" if is_clear else "contradictory verdicts"
        elif said.kind == "both":
            trouble = "contradictory verdicts"
        elif said.kind == "doubt":
            trouble = "a verdict in doubt"
        elif said.kind == "against" and last is not None and said.preference == last.preference:
            trouble = "contradictory verdicts"
        if re.search(r"[^\W\d]", plain.text[start:end]):  # the number of a list is no sentence
            bare = said.preference if said.is_bare else None
    if trouble:
        raise UnreadableError(trouble)
    if is_cut and last is not None and last.end == len(plain.text):
        raise UnreadableError("cut short")
    return last


# ----------------------------------------------------------------------------------------- JSON


def _in_json(answer: Answer, found: list[tuple[Fields, int, int]]) -> Verdict:
    """The verdict of JSON's own keys; those of what lies within say something of an aspect."""
    raw = answer.plain.written()
    sides = {
        _side_in(value)
        for fields, _, _ in found
        for key, value in fields.items()
        if _VERDICTS.fullmatch(key)
    }
    if not sides:
        sides = {
            _more(first - second) for fields, _, _ in found for first, second in points_in(fields)
        }
    after = Plain.of(raw[found[-1][2] :])
    said = _last(after, [], is_alone=False, is_cut=False)
    if said is not None and said.preference is not None:
        sides.add(said.preference)
    if len(sides) != 1:
        raise UnreadableError("contradictory verdicts" if sides else "no verdict")
    reasons = "\n".join(reason for fields, _, _ in found for reason in reasons_in(fields))
    return Verdict(sides.pop(), reason_of(answer.reasoning, raw[: found[0][1]], reasons))


def _side_in(value: object) -> Preference:
    """The side that a value names."""
    if isinstance(value, int) and not isinstance(value, bool) and value in (1, 2):
        return "first" if value == 1 else "second"
    if not isinstance(value, str):
        raise UnreadableError("a verdict that names no side")
    plain = Plain.of(value)
    said = _last(plain, [], is_alone=True, is_cut=False)
    if said is None or said.preference is None:
        raise UnreadableError("a verdict that names no side")
    return said.preference


# --------------------------------------------------------------------------------------- points


def _by_points(text: str, each: list[re.Match[str]], reason: str) -> Verdict:
    """The side with more points: in total, or over all dimensions."""
    dimensions = _dimensions(text, each)
    totals = [one for one in dimensions if _TOTAL.fullmatch(one.name)]
    if len(dimensions) > 1 and not all(one.name for one in dimensions):
        raise UnreadableError("points without the name of what they are for")
    if any(_NOT_POINTS.search(one.name) for one in dimensions):
        raise UnreadableError("points of which more may be worse")
    are_shares = all(abs((one.first or 0.0) + (one.second or 0.0) - 1) < 0.02 for one in dimensions)
    if not (are_shares or all(match["of1"] for match in each) or _ARE_POINTS.search(text)):
        raise UnreadableError("numbers of each side that may be no points")
    lead = sum((one.first or 0.0) - (one.second or 0.0) for one in totals or dimensions)
    return Verdict(_more(lead), reason, tuple(one for one in dimensions if _is_aspect(one)))


def _dimensions(text: str, each: list[re.Match[str]]) -> tuple[Dimension, ...]:
    """What each pair of points is for, and what it says."""
    found: dict[str, Dimension] = {}
    nameless: list[Dimension] = []
    for match in each:
        dimension = _dimension(_name(text[: match.start()]), match)
        if not dimension.name:
            nameless.append(dimension)
        elif found.setdefault(dimension.name, dimension) != dimension:
            raise UnreadableError("different points for one dimension")
    return (*found.values(), *nameless)


def _is_aspect(dimension: Dimension) -> bool:
    return bool(dimension.name) and _TOTAL.fullmatch(dimension.name) is None


def _dimension(name: str, match: re.Match[str]) -> Dimension:
    is_swapped = side_of(match["side1"]) == "second"
    if is_swapped == (side_of(match["side2"]) == "second") or match["of1"] != match["of2"]:
        raise UnreadableError("points that cannot be compared")
    first, second = float(match["points1"]), float(match["points2"])
    if is_swapped:
        first, second = second, first
    return Dimension(name, _more(first - second), first, second)


def _name(before: str) -> str:
    """The name of what points are for: on their line, or on the one before."""
    line = before.rstrip().rpartition("\n")[2]
    name = _HEADING.sub("", line).strip(" :-–—(,;")
    return name if re.fullmatch(r"[^\W\d_][^\d:.!?]*", name) and len(name.split()) <= 5 else ""


def _more(difference: float) -> Preference:
    if abs(difference) < 1e-9:
        return "tie"
    return "first" if difference > 0 else "second"
