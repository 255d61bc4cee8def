"""Reading verdicts and scores from text, for checkpoints and endpoints that only answer in text.

What cannot be read is an error with a reason, never a number and never a tie; two readings that
contradict each other are one such reason. A judge may say more than it was asked for, before or
after its answer. Left out: chains of thought that must be *understood* to know the verdict.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from factory.judging.specification import TaskSpecification
from schemas.rows import Preference

_THING = r"(?:image|picture|video|clip|answer|response|caption|option)"
_SIDE = (
    rf"(?:{_THING} (?P<{{0}}number>1|2|one|two|a|b)"
    rf"|(?:the )?(?P<{{0}}ordinal>first|second) (?:{_THING}|one))"
)
_BETTER = re.compile(
    rf"\b{_SIDE.format('')} is (?:(?:much|far|clearly|slightly|a bit) )?better"
    rf"(?P<than> than\b(?: {_SIDE.format('other_')})?)?"
)
_TIE = re.compile(rf"\bboth {_THING}s are equally (?:good|bad)|\bit is a tie\b|^tie\b")
_FIRST = {"1", "one", "a", "first"}
#: What may follow a verdict that is complete: the end, punctuation, or the beginning of a reason.
_COMPLETE = re.compile(r"\s*(?:$|[.,;!)\]\n]|(?:overall|because|since|as)\b)")
#: Words that turn the sentence in which a verdict stands into something else.
_NOT_SAID = re.compile(r"\b(?:not|never|neither|nor|cannot|if|whether|unless|hardly)\b|n't\b")
_SENTENCE = re.compile(r"[.!?:;\n]")
_NUMBER = re.compile(
    r"[\s:=]*(?P<value>[+-]?[0-9]+(?:\.[0-9]+)?)(?![0-9]|\.[0-9]|,[0-9])"
    r"(?: ?/ ?(?P<of>[0-9]+(?:\.[0-9]+)?))?(?P<more> ?[-–%] ?[0-9]*)?"
)


class UnreadableError(ValueError):
    """An answer from which no verdict or no score can be read; says why, without the judge's words.

    Errors travel to logs, reports and MLflow, and words stay in the reply that they are.
    """


def parse_verdict(
    text: str, answers: Mapping[Preference, str], *, is_cut: bool = False
) -> Preference:
    """The verdict that a text gives.

    The checkpoint's own sentences count first; where there is none, so do "Answer A is better",
    "the second response is better" and their like. If all own sentences share a lead ("Overall
    Judgment:"), only what follows its last occurrence counts.

    Args:
        text: what the judge wrote.
        answers: the sentence that stands for each verdict.
        is_cut: whether the text ends because its length limit was reached: a verdict at the very
            end could have gone on.

    Raises:
        UnreadableError: empty, no verdict, verdicts that contradict each other, or one cut short.
    """
    plain = _plain(text)
    if not plain:
        raise UnreadableError("empty answer")
    sentences = {key: _plain(sentence).rstrip(" .") for key, sentence in answers.items()}
    lead = _lead(list(sentences.values()))
    if lead:
        _, found_lead, after = plain.rpartition(lead)
        if found_lead:
            plain = after.strip()
        sentences = {key: sentence[len(lead) :].strip() for key, sentence in sentences.items()}
    found = set(_own(plain, sentences, is_cut)) or set(_usual(plain, is_cut))
    if len(found) != 1:
        said = "no verdict" if not found else "contradictory verdicts"
        raise UnreadableError(said)
    return found.pop()


def parse_score(text: str, task: TaskSpecification, *, is_cut: bool = False) -> float:
    """The score that a text gives, on the task's scale; decimals are kept.

    Args:
        text: what the judge wrote.
        task: its label format and scale.
        is_cut: whether the text ends because its length limit was reached: a number at the very
            end could have gone on ("1" of "10", "3" of "3.75").

    Raises:
        UnreadableError: empty, no number after the label, different ones, one off the scale, or one
            cut short.
    """
    low, high = task.scale[0], task.scale[-1]
    return _labelled(text, task.score.partition("{score}")[0], low, high, is_cut)


def parse_dimensions(
    text: str, task: TaskSpecification, *, is_cut: bool = False
) -> dict[str, float]:
    """What a text says of each dimension; those that cannot be read are left out."""
    found = {}
    for one in task.dimensions:
        try:
            found[one.label] = _labelled(text, one.label, one.low, one.high, is_cut)
        except UnreadableError:
            continue
    return found


def _plain(text: str) -> str:
    """Without markup, quotes and case; spaces are single, lines are kept."""
    bare = re.sub(r"[*_`\"“”#]", "", text).replace("’", "'").lower()
    bare = re.sub(r"[ \t\r\f\v\xa0]+", " ", bare)
    return re.sub(r" ?\n[ \n]*", "\n", bare).strip()


def _lead(sentences: list[str]) -> str:
    """What all sentences begin with, up to a colon."""
    common = sentences[0]
    while not all(sentence.startswith(common) for sentence in sentences):
        common = common[:-1]
    return common[: common.rfind(":") + 1]


def _own(text: str, sentences: Mapping[Preference, str], is_cut: bool) -> Iterator[Preference]:
    for key, sentence in sentences.items():
        for match in re.finditer(rf"(?<!\w){re.escape(sentence)}(?!\w)", text):
            if _is_said(text, match.start(), match.end(), is_cut):
                yield key


def _usual(text: str, is_cut: bool) -> Iterator[Preference]:
    for match in _BETTER.finditer(text):
        said = match.groupdict()
        is_first = (said["number"] or said["ordinal"]) in _FIRST
        other = said["other_number"] or said["other_ordinal"]
        if said["than"] and (other is None or (other in _FIRST) == is_first):
            continue  # "than" nothing, or than itself
        if _is_said(text, match.start(), match.end(), is_cut):
            yield "first" if is_first else "second"
    for match in _TIE.finditer(text):
        if _is_said(text, match.start(), match.end(), is_cut):
            yield "tie"


def _is_said(text: str, start: int, end: int, is_cut: bool) -> bool:
    """Whether the words from start to end stand as a statement of their own."""
    before = _SENTENCE.split(text[:start])[-1]
    if _NOT_SAID.search(before) or not _COMPLETE.match(text, end):
        return False
    return not (is_cut and end == len(text))


def _labelled(text: str, label: str, low: float, high: float, is_cut: bool) -> float:
    """The number after a label; without a label, the number with which the text begins."""
    plain = _plain(text)
    if not plain:
        raise UnreadableError("empty answer")
    name = _plain(label).rstrip(" :=")
    if name:
        pattern = rf"(?<!\w){re.escape(name)}(?: ?\([^()\n]*\))?"
        starts = [match.end() for match in re.finditer(pattern, plain)]
    else:
        starts = [0]
    found = set()
    for start in starts:
        match = _NUMBER.match(plain, start)
        if match is None:
            continue
        if match["more"] or (match["of"] is not None and float(match["of"]) != high):
            raise UnreadableError(f"not one number of the scale: {match[0].strip()!r}")
        if is_cut and len(plain[match.end() :].strip(" .")) == 0:
            raise UnreadableError("cut short")
        found.add(float(match["value"]))
    if len(found) != 1:
        said = "no number" if not found else "different numbers"
        raise UnreadableError(f"{said} after {label.strip()!r}")
    value = found.pop()
    if not low <= value <= high:
        raise UnreadableError(f"{value:g} is not on the scale from {low:g} to {high:g}")
    return value
