"""From rows to numbers: the scores and duels of many groups as arrays, in shares of the scale.

A candidate without a readable score is left out of everything; it is never a low-scored one. Where
nobody was asked for scores at all, those take part that met. A matchup needs a readable duel in
each order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from factory.ranking.likelihood import Array, Statements
from factory.ranking.matchups import Matchup, matchups, readable
from factory.ranking.noise import Noise, Scale
from factory.ranking.order import is_scored
from schemas.rows import Duel, Score

#: What was said of one group: a score of each candidate, and duels.
Said = tuple[Sequence[Score], Sequence[Duel]]
#: A score this near to an end of its scale, in shares, is at that end: the mean over a scale's
#: numbers comes as near as a judge is sure, and never there.
AT_END = 0.01


def statements(said: Sequence[Said], noise: Noise) -> Statements:
    """The statements of groups, candidates at their places.

    Args:
        said: by group.
        noise: whose `scale` scores are on, whose `fusion` says whether verdicts are words, and
            whose `position` is taken out where one order alone was not clipped.
    """
    met = [_met(*one) for one in said]
    num = max((len(scores) for scores, _ in said), default=0)
    most = max(map(len, met), default=0)
    shape, pairs = (len(said), num), (len(said), most)
    scores, end = np.zeros(shape), np.zeros(shape, dtype=np.int8)
    scored, there = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    centre = np.zeros(len(said))
    first, second = np.zeros(pairs, dtype=np.intp), np.zeros(pairs, dtype=np.intp)
    is_met = np.zeros(pairs, dtype=bool)
    low, high = np.zeros(pairs), np.zeros(pairs)
    alone = np.zeros(pairs, dtype=bool)
    votes = np.zeros((*pairs, 2, 3)) if noise.fusion == "davidson" else None
    for group, (given, duels) in enumerate(said):
        valid = taking_part(given, duels)
        there[group, valid] = True
        values = [(at, given[at].value) for at in valid if is_scored(given[at])]
        for at, value in values:
            scores[group, at] = _share(value, noise.scale)
            end[group, at] = _end(value, noise.scale)
            scored[group, at] = True
        if values:
            centre[group] = scores[group, scored[group]].mean()
        row = {given[at].candidate_id: at for at in valid}
        for place, one in enumerate(met[group]):
            if one.first_id not in row or one.second_id not in row:
                continue
            is_met[group, place] = True
            first[group, place], second[group, place] = row[one.first_id], row[one.second_id]
            low[group, place], high[group, place] = one.between(noise.position)
            alone[group, place] = one.is_half
            if votes is not None:
                votes[group, place] = _votes(duels, one)
    return Statements(
        scores, scored, there, end, centre, first, second, is_met, low, high, alone, votes
    )


def taking_part(scores: Sequence[Score], duels: Sequence[Duel]) -> list[int]:
    """Positions of those with a readable score; where there is none, of those of which no score
    was asked for and that met another.
    """
    valid = [index for index, score in enumerate(scores) if is_scored(score)]
    if valid:
        return valid
    met = {side for one in matchups(duels) for side in (one.first_id, one.second_id)}
    return [
        index
        for index, score in enumerate(scores)
        if score.error is None and score.candidate_id in met
    ]


def _met(scores: Sequence[Score], duels: Sequence[Duel]) -> list[Matchup]:
    known = {one.candidate_id for one in scores}
    return matchups([one for one in duels if one.first_id in known and one.second_id in known])


def _share(value: float, scale: Scale) -> float:
    """Shares above the lower end; above 0 where there is none."""
    return (value - (scale.low if math.isfinite(scale.low) else 0.0)) / scale.unit


def _end(value: float, scale: Scale) -> int:
    near = AT_END * scale.unit
    if value >= scale.high - near:
        return 1
    return -1 if value <= scale.low + near else 0


def _votes(duels: Sequence[Duel], met: Matchup) -> Array:
    """Both orders' probabilities of first, second and tie, told from the first side [2, 3]."""
    ahead = readable(duels, met.first_id, met.second_id)
    back = [one.swap() for one in readable(duels, met.second_id, met.first_id)]
    return np.array(
        [
            np.mean([(one.p_first, one.p_second, one.p_tie) for one in shown], axis=0)
            for shown in (ahead, back)
        ]
    )
