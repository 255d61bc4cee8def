"""The numbers of a text: one score, or one for each dimension.

A number counts after its label, or where it is all that its line at the head of a text says. What
it is out of must be the end of the scale, where the text says so. Two numbers, a range, a sum and a
guess are none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from factory.judging.grammar.answer import Answer, Plain, UnreadableError, reason_of
from factory.judging.grammar.json_answer import Fields, is_number, objects_in, reasons_in

#: The lowest and the highest number of points.
Scale = tuple[float, float]

_DIGITS = r"(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?![0-9]|[.,][0-9]|\w)"
_RANGE = (
    r"(?P<low>[0-9]+(?:\.[0-9]+)?) ?(?:-|–|—|to|and|through) ?"
    r"(?P<high>[0-9]+(?:\.[0-9]+)?)(?!\w)"
)
#: What a label says of its scale: "(1-5)", "(out of 10)".
_BRACKETS = re.compile(rf" ?\((?! ?{_DIGITS} ?\))(?P<said>[^()\n]*)\)")
_STATED = re.compile(rf"{_RANGE}|(?:out of|/|max(?:imum)?(?: of)?) ?(?P<of>[0-9]+)(?!\w)")
_NUMBER = re.compile(
    r"(?:\s|[:=→>\[({<\\]|\bboxed\b|\bis\b|\bof\b)*"
    rf"(?P<value>[+-]?{_DIGITS})[\])}}>]*"
    r"(?: ?\(?(?:/|out of|of|over) ?(?:an? |the )?(?:possible |maximum |max |total )?(?:of )?"
    rf"(?P<of>{_DIGITS})\)?|,? ?\(?(?:on|in) (?:a|the) (?:scale|range) (?:of|from) {_RANGE}\)?)?"
    r"(?P<more> ?[-–—~] ?[0-9.]| ?[%+*×^=?±/]| ?(?:per ?cent|and a (?:half|quarter|third))\b| [0-9]"
    r"|[\s,(;]*(?:but |though )?(?:(?:it )?(?:could|may|might)\b"
    r"|(?:or|to|maybe|perhaps|possibly|through)\b|and(?= [0-9])))?"
)
_USUAL = re.compile(
    r"(?:(?:^|(?<=[\n.!?]))[ •-]*(?:(?:the|my) )?|\b(?=final|overall))(?:(?:final|overall) )?"
    r"(?:score|rating)(?= ?[:=(\[]| (?:is|of)\b)"
)
_USUAL_FIELD = re.compile(r"(?:(?:final|overall) )?(?:score|rating|points)|overall")
_LINE = re.compile(
    r"^(?:[-•] ?|\(?[0-9]{1,2}[.)] ?)?"
    r"(?P<name>[a-z][a-z &/'-]{0,48}?)(?P<score> (?:score|rating))?"
    r"(?=(?: ?\((?P<said>[^()\n]*)\))? ?[:=])",
    re.MULTILINE,
)
_TOTAL = re.compile(r"(?:final|overall|total|sum|average|mean|score|rating)\b.*")
_SCALES = re.compile(
    rf"(?:\bfrom|\bbetween|\bscale (?:of|from)|\brange (?:of|from)|\brated?|\bscored?|\() ?{_RANGE}"
    r"|\bout of (?P<of>[0-9]+)(?!\w)"
)
_LISTED = re.compile(r"\[ ?(?P<low>[0-9]+)(?: ?, ?[0-9]+)* ?, ?(?P<high>[0-9]+) ?\]")


@dataclass(frozen=True)
class Number:
    """A number that a text gives.

    scale: as the text states it beside the number; None where it does not.
    of: what the number is said to be out of.
    reason: the rest of the text, as it was written.
    """

    value: float
    scale: Scale | None = None
    of: float | None = None
    reason: str = ""


def score_in(
    text: str, *, label: str | None = None, scale: Scale | None = None, is_cut: bool = False
) -> Number:
    """The score that a text gives.

    Args:
        text: what was written.
        label: that stands before it, as it was asked for; the usual ones count as well. Where it
            is empty, the text was to begin with the number.
        scale: from the lowest to the highest number; not looked at where it is None.
        is_cut: whether the text ends because its length limit was reached: a number at the very
            end could have gone on ("1" of "10", "3" of "3.75").

    Raises:
        UnreadableError: no number, different ones, one off the scale, or one cut short.
    """
    answer = Answer.of(text, "score")
    plain, is_cut = answer.plain, is_cut and answer.is_open
    is_usual, label = label is None, label if label is not None else "Score:"
    name = plain_label(label)
    raw = plain.written()
    if found := objects_in(raw):
        numbers = [number for fields, _, _ in found for number in _fields(fields, name, scale)]
        reasons = "\n".join(reason for fields, _, _ in found for reason in reasons_in(fields))
        rest = reason_of(answer.reasoning, raw[: found[0][1]], reasons)
        return replace(_only(numbers, label, scale), reason=rest)
    spans = _labelled(plain.text, name, scale, is_cut) if name and not is_usual else []
    if not spans:
        spans = _spans(plain.text, _USUAL.finditer(plain.text), scale, is_cut)
    if not spans and (span := _at_head(plain.text, scale, is_cut, is_line=bool(name))):
        spans = [span]
    number = _only([number for number, _, _ in spans], label, scale)
    _, start, end = spans[-1]
    rest = reason_of(answer.reasoning, plain.written(0, start), plain.written(end))
    return replace(number, reason=rest)


def dimension_in(
    text: str, label: str, scale: Scale | None = None, *, is_cut: bool = False
) -> Number:
    """What a text gives for one dimension, after its label.

    Raises:
        UnreadableError: as `score_in`.
    """
    answer = Answer.of(text, "score")
    name, is_cut = plain_label(label), is_cut and answer.is_open
    if found := objects_in(answer.plain.written()):
        fields = [number for one, _, _ in found for number in _fields(one, name, scale)]
        return _only(fields, label, scale)
    spans = _labelled(answer.plain.text, name, scale, is_cut, _DESCRIBED)
    return _only([number for number, _, _ in spans], label, scale)


def dimensions_in(
    text: str, is_known: Callable[[str], bool] = lambda _: False
) -> dict[str, Number]:
    """What a text gives for each dimension, by the lines "NAME Score (1-5): NUMBER".

    Args:
        text: what was written.
        is_known: whether a name is a dimension's; asked of lines that state no scale and do not
            call their number a score.

    Raises:
        UnreadableError: a line gives no single number, or a dimension has two.
    """
    plain = Answer.of(text, "score").plain
    found: dict[str, Number] = {}
    for line in _LINE.finditer(plain.text):
        name = line["name"]
        is_stated = re.search(_RANGE, line["said"] or "") is not None
        is_named = line["said"] is None and is_known(name)  # "cat (object): 1" is no dimension
        if _TOTAL.fullmatch(name) or not (line["score"] or is_stated or is_named):
            continue
        span = _number(plain.text, line.end(), line.start(), None, is_cut=False)
        if span is not None and found.setdefault(name, span[0]) != span[0]:
            raise UnreadableError(f"different numbers after {name!r}")
    return found


def scale_in(text: str) -> Scale | None:
    """The scale that an instruction states; None where it states none, or several without saying
    which is that of the final score.
    """
    lines = re.split(r"\n|(?<=[a-z)'\"])\. ", text.lower())
    stated = [(line, scale) for line in lines for scale in _scales(_SCALES.finditer(line))]
    scales = {scale for _, scale in stated}
    if len(scales) > 1:
        scales = {scale for line, scale in stated if re.search(r"\b(?:final|overall)\b", line)}
    return scales.pop() if len(scales) == 1 else None


def listed_scale_in(text: str) -> Scale | None:
    """The scale that an instruction lists for its dimensions, as "a number from [1,2,3,4]"."""
    scales = set(_scales(_LISTED.finditer(text)))
    return scales.pop() if len(scales) == 1 else None


def two_scores_in(text: str) -> tuple[float, float, str]:
    """Two numbers alone on the first line ("8 6"), and the rest, which is the reason.

    Raises:
        UnreadableError: it is no such line.
    """
    plain = Answer.of(text).plain
    line = re.match(rf"[\[(]?({_DIGITS})(?: ?, ?| )({_DIGITS})[\])]?(?=\n|$)", plain.text)
    if line is None:
        raise UnreadableError("no line of two numbers")
    return float(line[1]), float(line[2]), reason_of("", "", plain.written(line.end()))


def plain_label(label: str) -> str:
    """A label in plain text, without what it says of its scale."""
    return re.sub(r" ?\([^()]*\)$", "", Plain.of(label).text.rstrip(" :="))


_Span = tuple[Number, int, int]


#: What may stand between the name of a dimension and the colon before its points.
_DESCRIBED = r"(?: ?[-–—] [^:\n0-9]{1,80}(?=:))?"


def _labelled(
    text: str, name: str, scale: Scale | None, is_cut: bool, more: str = ""
) -> list[_Span]:
    pattern = rf"(?<!\w){re.escape(name)}(?: (?:score|rating)\b)?{more}"
    return _spans(text, re.finditer(pattern, text), scale, is_cut)


def _spans(
    text: str, labels: Iterable[re.Match[str]], scale: Scale | None, is_cut: bool
) -> list[_Span]:
    found = (_number(text, label.end(), label.start(), scale, is_cut) for label in labels)
    return [span for span in found if span is not None]


def _at_head(text: str, scale: Scale | None, is_cut: bool, *, is_line: bool) -> _Span | None:
    """The number with which a text begins; of one that has a label, alone on its line."""
    brackets = _BRACKETS.match(text)
    match = _NUMBER.match(text, brackets.end() if brackets else 0)
    if match is None or (is_line and not re.match(r"[ .!]*(?:\n|$)", text[match.end() :])):
        return None
    return _number(text, 0, 0, scale, is_cut)


def _number(text: str, start: int, begin: int, scale: Scale | None, is_cut: bool) -> _Span | None:
    """The number at `start`, after a label that begins at `begin`."""
    brackets = _BRACKETS.match(text, start)
    match = _NUMBER.match(text, brackets.end() if brackets else start)
    if match is None:
        return None
    said = _STATED.search(brackets["said"]) if brackets else None
    of = match["of"] or (said and said["of"])
    stated = _scale_of(said) or _scale_of(match)
    is_other = scale is not None and (
        (of is not None and float(of) != scale[1]) or (stated is not None and stated != scale)
    )
    if match["more"] or is_other:
        raise UnreadableError(f"not one number of the scale: {match['value']}")
    if is_cut and not text[match.end() :].strip(" ."):
        raise UnreadableError("cut short")
    return Number(float(match["value"]), stated, float(of) if of else None), begin, match.end()


def _fields(fields: Fields, name: str, scale: Scale | None) -> list[Number]:
    """What an object's fields give: that of the label, else the usual ones."""
    named = [value for key, value in fields.items() if name and key in (name, f"{name} score")]
    usual = [value for key, value in fields.items() if _USUAL_FIELD.fullmatch(key)]
    return [_value(value, scale) for value in named or usual]


def _value(value: object, scale: Scale | None) -> Number:
    if isinstance(value, int | float) and is_number(value):
        return Number(float(value))
    if isinstance(value, str):
        span = _at_head(Plain.of(value).text, scale, is_cut=False, is_line=True)
        if span is not None:
            return span[0]
    raise UnreadableError("a score that is no number")


def _only(numbers: list[Number], label: str, scale: Scale | None) -> Number:
    """The one number that all of these are.

    Raises:
        UnreadableError: there is none, there are several, or it is off the scale.
    """
    if len({number.value for number in numbers}) != 1:
        said = "no number" if not numbers else "different numbers"
        raise UnreadableError(f"{said} after {label.strip()!r}")
    value = numbers[-1].value
    if scale is not None and not scale[0] <= value <= scale[1]:
        raise UnreadableError(f"{value:g} is not on the scale from {scale[0]:g} to {scale[1]:g}")
    return numbers[-1]


def _scale_of(match: re.Match[str] | None) -> Scale | None:
    """The range that was stated."""
    if match is None or match["low"] is None:
        return None
    return float(match["low"]), float(match["high"])


def _scales(matches: Iterable[re.Match[str]]) -> list[Scale]:
    found = []
    for match in matches:
        said = match.groupdict()
        low, high = said["low"] or "0", said["high"] or said.get("of") or "0"
        if float(low) < float(high) <= 1000:
            found.append((float(low), float(high)))
    return found
