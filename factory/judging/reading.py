"""What a judge's reply says by a specification: numbers, or why there are none.

The same function reads what was answered just now and what is taken over from an earlier run, so
the two cannot differ. What was asked, and how, is not looked at here (`factory.keys`).

Where several answers were drawn to one request, they vote (`factory.judging.votes`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from factory.judging.dimensions import more
from factory.judging.specification import TaskSpecification
from factory.judging.text import UnreadableError, parse_duel, parse_scored
from factory.judging.verdicts import PREFERENCES, expected_score
from factory.judging.votes import scores_together, verdicts_together
from schemas.rows import OVERALL, Dimension, Duel, Reply, Sample, Score

#: How the error of a reply begins from which no numbers could be read.
UNREADABLE = "unreadable: "


@dataclass(frozen=True)
class Words:
    """What one answer in words says.

    numbers: a score without spread, or a verdict that is certain: a text tells no probability.
    points, dimensions: of single aspects.
    reason: what was said for it.
    error: why there are no numbers.
    """

    numbers: tuple[float, ...] = ()
    points: Mapping[str, float] = field(default_factory=dict)
    dimensions: tuple[Dimension, ...] = ()
    reason: str = ""
    error: str | None = None


def read(reply: Reply, task: TaskSpecification) -> Reply:
    """The reply with the numbers that a specification reads in it, or the reason why in none.

    Words are parsed again, and numbers are made of log-probabilities again. A reply that has
    neither (nobody answered, or what was asked gives nothing but numbers) stays as it is.
    """
    if reply.text is not None:
        return _in_words(reply, task)
    if reply.logprobs:
        return _with_numbers(reply, *_in_logprobs(reply, task))
    return reply


def lacks_words(reply: Reply, task: TaskSpecification) -> bool:
    """Whether the words that a specification would read were dropped: nobody can tell what another
    reading would have made of them. Where nobody answered, none are missing.
    """
    if task.reading != "text" or reply.text is not None:
        return False
    return reply.error is None or reply.error.startswith(UNREADABLE)


def reason_in(reply: Reply, task: TaskSpecification) -> str:
    """What a judge that answers in words said for what counts of its answer; of several answers
    that which agrees with what they came to.
    """
    if reply.text is None or reply.error is not None:
        return ""
    is_duel = reply.second_id is not None
    read_ones = [_words(one, task, is_duel=is_duel) for one in written(reply)]
    agreeing = [one for one in read_ones if one.error is None]
    if reply.second_id is not None:
        agreeing.sort(
            key=lambda one: -sum(map(math.prod, zip(one.numbers, reply.numbers, strict=True)))
        )
    else:
        agreeing.sort(key=lambda one: abs(one.numbers[0] - reply.numbers[0]))
    return agreeing[0].reason if agreeing else ""


def written(reply: Reply) -> tuple[Sample, ...]:
    """All answers in words of a reply."""
    if reply.samples:
        return reply.samples
    return () if reply.text is None else (Sample(reply.text, reply.is_cut),)


def answer_name(number: float) -> str:
    """The name of a number of the scale among a reply's log-probabilities."""
    return f"{number:g}"


def _with_numbers(reply: Reply, numbers: tuple[float, ...], error: str | None) -> Reply:
    if error is None and not all(math.isfinite(number) for number in numbers):
        error = "the judge's answer is not a finite number"
    return replace(reply, numbers=() if error else numbers, error=error)


def _in_words(reply: Reply, task: TaskSpecification) -> Reply:
    """One answer as it is; several by their votes."""
    is_duel = reply.second_id is not None
    every = [_words(one, task, is_duel=is_duel) for one in written(reply)]
    readable = [one for one in every if one.error is None]
    if 2 * len(readable) <= len(every):  # of one: none; of several: no majority can be read
        unread = next(one.error for one in every if one.error is not None)
        few = f"{len(readable)} of {len(every)} answers can be read; " if len(every) > 1 else ""
        return replace(
            reply, numbers=(), error=f"{UNREADABLE}{few}{unread}", breakdown={}, dimensions=()
        )
    told = [one.numbers for one in readable]
    if is_duel:
        shares = verdicts_together(told)
        dimensions = readable[0].dimensions if len(readable) == 1 else _together(readable)
        return replace(_with_numbers(reply, shares, None), dimensions=dimensions)
    numbers = scores_together([one[0] for one in told], task.vote)
    points = {
        name: scores_together([one.points[name] for one in readable if name in one.points])[0]
        for name in dict.fromkeys(name for one in readable for name in one.points)
    }
    breakdown = {OVERALL: numbers[0], **points} if points else {}
    return replace(_with_numbers(reply, numbers, None), breakdown=breakdown)


def _together(every: Sequence[Words]) -> tuple[Dimension, ...]:
    """Dimensions of several answers: the means of their points."""
    said: dict[str, list[Dimension]] = {}
    for one in every:
        for dimension in one.dimensions:
            if dimension.first is not None and dimension.second is not None:
                said.setdefault(dimension.name, []).append(dimension)
    found = []
    for name, those in said.items():
        first = float(np.mean([one.first for one in those if one.first is not None]))
        second = float(np.mean([one.second for one in those if one.second is not None]))
        found.append(Dimension(name, more(first - second), first, second))
    return tuple(found)


def _words(sample: Sample, task: TaskSpecification, *, is_duel: bool) -> Words:
    try:
        if not is_duel:
            score, points = parse_scored(sample.text, task, is_cut=sample.is_cut)
            return Words((score.value, 0.0), points, (), score.reason)
        verdict = parse_duel(sample.text, task, is_cut=sample.is_cut)
    except UnreadableError as error:
        return Words(error=str(error))
    numbers = tuple(float(verdict.preference == one) for one in PREFERENCES)
    return Words(numbers, {}, verdict.dimensions, verdict.reason)


def _in_logprobs(reply: Reply, task: TaskSpecification) -> tuple[tuple[float, ...], str | None]:
    """The expected value over the scale and its spread, or the probabilities of the verdicts."""
    is_score = reply.second_id is None
    numbers = list(task.written) if is_score else []
    names = [answer_name(one) for one in numbers] if is_score else list(PREFERENCES)
    missing = [name for name in names if name not in reply.logprobs]
    if missing:
        return (), f"{UNREADABLE}no probability of {missing[0]!r}"
    p = np.exp([reply.logprobs[name] for name in names])
    if not is_score:
        return tuple(p.tolist()), None
    (mean,), (spread,) = expected_score(p[None], numbers)
    return (float(mean), float(spread)), None


def score_of(reply: Reply) -> Score:
    """The score of a reply to a pointwise request; NaN where it has no numbers."""
    value, spread = reply.numbers or (math.nan, math.nan)
    parts = dict(reply.breakdown)
    return Score(reply.first_id, reply.judge, value, spread, reply.error, parts, reply)


def duel_of(reply: Reply) -> Duel:
    """The duel of a reply to a pairwise request; NaN likewise."""
    p_first, p_second, p_tie = reply.numbers or (math.nan,) * 3
    sides = (reply.first_id, reply.second_id or "")
    p = (p_first, p_second, p_tie)
    return Duel(*sides, reply.judge, *p, reply.error, reply=reply, dimensions=reply.dimensions)


def reply_of(verdict: Score | Duel) -> Reply:
    """What a score or duel was read from; of a judge that does not say so, its numbers alone."""
    if verdict.reply is not None:
        return verdict.reply
    if isinstance(verdict, Duel):
        sides = (verdict.first_id, verdict.second_id)
        reply = Reply(None, verdict.judge, *sides, dimensions=verdict.dimensions)
        numbers: tuple[float, ...] = (verdict.p_first, verdict.p_second, verdict.p_tie)
    else:
        reply = Reply(None, verdict.judge, verdict.candidate_id, breakdown=verdict.breakdown)
        numbers = (verdict.value, verdict.spread)
    if verdict.error is not None:
        return replace(reply, error=verdict.error)
    return replace(reply, numbers=numbers)
