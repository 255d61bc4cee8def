"""Duels of the same two candidates in both orders, as one judgement.

This is the only place that averages over orders. A position bias adds the same number of logits to
whichever side is shown first, so the mean of the two orders' log-odds is free of it. One order
alone is not: a matchup needs a readable duel in each, and an unreadable one never stands for a tie.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from schemas.rows import Duel, Opinion, Preference, Score, preferred

#: What people's preference is as an outcome for the first side.
OUTCOME: Mapping[Preference, float] = {"first": 1.0, "second": 0.0, "tie": 0.5}
#: Log-odds of one duel are clipped here (odds of 400 to 1): what a judge claims beyond is
#: over-confidence, and one duel must not outvote all the others.
MAX_LOGIT = 6.0
_SHARE: dict[Preference, float] = {"first": 1.0, "second": 0.0, "tie": 0.5}
_MIN_P = 1e-6  # keeps the logarithm of a probability finite
Side = Literal["first", "second"]


@dataclass(frozen=True)
class Matchup:
    """What a judge makes of two candidates, whichever is shown first.

    first_id, second_id: the two sides; nothing is said about the order in which they were shown.
    p_first, p_second, p_tie: geometric mean of both orders, normalised.
    logit: log-odds that the first side is better, a tie counting half; mean of both orders.
    logit_position: the log-odds that being shown first adds; zero for an unbiased judge.
    is_flipped: whether the two orders give different verdicts (tie is a verdict too).
    first_slot_rate: share of the two orders' verdicts that pick whichever side is shown first, a
        tie counting half; one half where they are consistent.
    bounds: of the order as told and of the other, the side that is ahead by at least what its
        log-odds say, since they were clipped; None where they are measured.
    """

    first_id: str
    second_id: str
    p_first: float
    p_second: float
    p_tie: float
    logit: float
    logit_position: float
    is_flipped: bool
    first_slot_rate: float
    bounds: tuple[Side | None, Side | None] = (None, None)

    @property
    def preference(self) -> Preference:
        """The verdict of both orders together, by the rule of `Duel.preference`."""
        return preferred(self.p_first, self.p_second, self.p_tie)

    @property
    def is_half(self) -> bool:
        """Whether one order is clipped and the other is not."""
        return (self.bounds[0] is None) != (self.bounds[1] is None)

    def between(self, position: float = 0.0) -> tuple[float, float]:
        """Between which two numbers the log-odds are, free of the order shown; twice the same where
        they are measured.

        Where one order is clipped, the other is a measurement once its position bias is taken out.
        Where both are, what is sure is what either says; and nothing, where they contradict.

        Args:
            position: logits that the side shown first gains, of this judge.
        """
        told = self.logit + self.logit_position - position
        back = self.logit - self.logit_position + position
        ahead, behind = self.bounds
        if ahead is None and behind is None:
            return self.logit, self.logit
        if self.is_half:
            measured = told if ahead is None else back
            return measured, measured
        if ahead != behind:
            return -math.inf, math.inf
        if ahead == "first":
            return max(told, back), math.inf
        return -math.inf, min(told, back)

    @property
    def p_better(self) -> float:
        """Probability that the first side is better, a tie counting half."""
        return 1.0 / (1.0 + math.exp(-self.logit))

    def swap(self) -> Matchup:
        """The same matchup told from the other side."""
        return Matchup(
            self.second_id,
            self.first_id,
            self.p_second,
            self.p_first,
            self.p_tie,
            -self.logit,
            self.logit_position,
            self.is_flipped,
            self.first_slot_rate,
            (swapped(self.bounds[1]), swapped(self.bounds[0])),
        )


def is_readable(duel: Duel) -> bool:
    """Whether the judge gave a verdict: no error, and three finite probabilities."""
    if duel.error is not None:
        return False
    return math.isfinite(duel.p_first + duel.p_second + duel.p_tie)


def log_odds(duel: Duel) -> float:
    """Log-odds that the side shown first is better, a tie counting half; clipped."""
    return _logit(_shares(duel))


#: Probabilities of first, second and tie.
_Shares = tuple[float, float, float]


def _shares(duel: Duel) -> _Shares:
    return duel.p_first, duel.p_second, duel.p_tie


def _logit(shares: _Shares) -> float:
    p_first, p_second, p_tie = shares
    first, second = max(p_first + p_tie / 2, _MIN_P), max(p_second + p_tie / 2, _MIN_P)
    return min(max(math.log(first / second), -MAX_LOGIT), MAX_LOGIT)


def readable(duels: Sequence[Duel], first_id: str, second_id: str) -> list[Duel]:
    """The readable duels of two candidates in this order."""
    there = (first_id, second_id)
    return [one for one in duels if (one.first_id, one.second_id) == there and is_readable(one)]


def matchup(duels: Sequence[Duel], first_id: str, second_id: str) -> Matchup | None:
    """The matchup of two candidates, or None without a readable duel in each order.

    Several duels in the same order (of more than one judge, say) are averaged first.
    """
    ahead, back = readable(duels, first_id, second_id), readable(duels, second_id, first_id)
    if not ahead or not back:
        return None
    told = [_shares(one) for one in ahead]
    told_back = [(one.p_second, one.p_first, one.p_tie) for one in back]
    shown_first, shown_second = _blend(told), _blend(told_back)
    logit_first, logit_second = _logit(shown_first), _logit(shown_second)
    verdict, other = preferred(*shown_first), preferred(*shown_second)
    return Matchup(
        first_id,
        second_id,
        *_blend([shown_first, shown_second]),
        logit=(logit_first + logit_second) / 2,
        logit_position=(logit_first - logit_second) / 2,
        is_flipped=verdict != other,
        first_slot_rate=(_SHARE[verdict] + 1 - _SHARE[other]) / 2,
        bounds=(
            _together([one.bound for one in ahead], told),
            _together([swapped(one.bound) for one in back], told_back),
        ),
    )


def bound_of(duel: Duel) -> Side | None:
    """The side that is ahead by at least the duel's log-odds: by its mark, or since they are at
    their limit.
    """
    return duel.bound or _at_limit(log_odds(duel))


def _at_limit(logit: float) -> Side | None:
    if abs(logit) < MAX_LOGIT:
        return None
    return "first" if logit > 0 else "second"


def swapped(bound: Side | None) -> Side | None:
    """The same told from the other side."""
    return None if bound is None else "second" if bound == "first" else "first"


def _together(marks: Sequence[Side | None], shares: Sequence[_Shares]) -> Side | None:
    """Of log-odds that are averaged: one bound makes their mean one."""
    found = (mark or _at_limit(_logit(one)) for mark, one in zip(marks, shares, strict=True))
    return next((one for one in found if one is not None), None)


def matchups(duels: Sequence[Duel]) -> list[Matchup]:
    """Every matchup among the duels, each once, in the order of their first appearance."""
    met: dict[frozenset[str], list[Duel]] = {}
    for duel in duels:
        met.setdefault(frozenset((duel.first_id, duel.second_id)), []).append(duel)
    found = (matchup(both, both[0].first_id, both[0].second_id) for both in met.values())
    return [one for one in found if one is not None]


def _blend(told: Sequence[_Shares]) -> _Shares:
    """Geometric mean, normalised, of what is told from the same side; one alone is as it is."""
    if len(told) == 1:
        return told[0]
    weights = [
        math.exp(sum(math.log(max(p, _MIN_P)) for p in ps) / len(told))
        for ps in zip(*told, strict=True)
    ]
    total = sum(weights)
    p_first, p_second, p_tie = (weight / total for weight in weights)
    return p_first, p_second, p_tie


def meeting(opinion: Opinion) -> Matchup | None:
    """Both orders of a pairwise label as one; None where either could not be read."""
    return matchup(opinion.duels, "0", "1")


def is_right(found: Matchup, said: Preference) -> bool:
    """Whether the side that the judge prefers is the one that people prefer; a tie is neither."""
    return (found.logit > 0 and said == "first") or (found.logit < 0 and said == "second")


def slices(opinions: Sequence[Opinion], tag: str | None = None) -> dict[str, list[Opinion]]:
    """The opinions by task, or by the values of a tag; those without it are under ""."""
    found: dict[str, list[Opinion]] = {}
    for one in opinions:
        found.setdefault(one.task if tag is None else one.tags.get(tag, ""), []).append(one)
    return dict(sorted(found.items()))


def score_of(opinion: Opinion, side: int) -> Score | None:
    """The score of one side; None where it could not be read, or was not asked for."""
    for one in opinion.scores:
        if one.candidate_id == str(side) and one.error is None and math.isfinite(one.value):
            return one
    return None
