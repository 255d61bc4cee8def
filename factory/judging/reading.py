"""What a judge's reply says by a specification: numbers, or why there are none.

The same function reads what was answered just now and what is taken over from an earlier run, so
the two cannot differ. What was asked, and how, is not looked at here (`factory.keys`).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from factory.judging.specification import TaskSpecification
from factory.judging.text import UnreadableError, parse_score, parse_verdict
from factory.judging.verdicts import PREFERENCES, expected_score
from schemas.rows import Duel, Reply, Score

#: How the error of a reply begins from which no numbers could be read.
UNREADABLE = "unreadable: "


def read(reply: Reply, task: TaskSpecification) -> Reply:
    """The reply with the numbers that a specification reads in it, or the reason why in none.

    Words are parsed again, and numbers are made of log-probabilities again. A reply that has
    neither (nobody answered, or what was asked gives nothing but numbers) stays as it is.
    """
    if reply.text is not None:
        return _with_numbers(reply, *_in_words(reply, task))
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


def answer_name(number: float) -> str:
    """The name of a number of the scale among a reply's log-probabilities."""
    return f"{number:g}"


def _with_numbers(reply: Reply, numbers: tuple[float, ...], error: str | None) -> Reply:
    if error is None and not all(math.isfinite(number) for number in numbers):
        error = "the judge's answer is not a finite number"
    return replace(reply, numbers=() if error else numbers, error=error)


def _in_words(reply: Reply, task: TaskSpecification) -> tuple[tuple[float, ...], str | None]:
    """A score without spread, or a verdict that is certain: a text tells no probability."""
    text = reply.text or ""
    try:
        if reply.second_id is None:
            return (parse_score(text, task, is_cut=reply.is_cut), 0.0), None
        verdict = parse_verdict(text, task.answers, is_cut=reply.is_cut)
    except UnreadableError as error:
        return (), f"{UNREADABLE}{error}"
    return tuple(float(verdict == one) for one in PREFERENCES), None


def _in_logprobs(reply: Reply, task: TaskSpecification) -> tuple[tuple[float, ...], str | None]:
    """The expected value over the scale and its spread, or the probabilities of the verdicts."""
    is_score = reply.second_id is None
    names = [answer_name(one) for one in task.scale] if is_score else list(PREFERENCES)
    missing = [name for name in names if name not in reply.logprobs]
    if missing:
        return (), f"{UNREADABLE}no probability of {missing[0]!r}"
    p = np.exp([reply.logprobs[name] for name in names])
    if not is_score:
        return tuple(p.tolist()), None
    (mean,), (spread,) = expected_score(p[None], task.scale)
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
    return Duel(*sides, reply.judge, p_first, p_second, p_tie, reply.error, reply=reply)


def reply_of(verdict: Score | Duel) -> Reply:
    """What a score or duel was read from; of a judge that does not say so, its numbers alone."""
    if verdict.reply is not None:
        return verdict.reply
    if isinstance(verdict, Duel):
        reply = Reply(None, verdict.judge, verdict.first_id, verdict.second_id)
        numbers: tuple[float, ...] = (verdict.p_first, verdict.p_second, verdict.p_tie)
    else:
        reply = Reply(None, verdict.judge, verdict.candidate_id, breakdown=verdict.breakdown)
        numbers = (verdict.value, verdict.spread)
    if verdict.error is not None:
        return replace(reply, error=verdict.error)
    return replace(reply, numbers=numbers)
