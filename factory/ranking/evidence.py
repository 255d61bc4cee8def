"""From rows to numbers: the scores and duels of many groups as arrays, in shares of the scale.

A candidate without a readable score is left out of everything; it is never a low-scored one. Where
nobody was asked for scores at all, those take part that met. A matchup needs a readable duel in
each order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

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


def statements(
    said: Sequence[Said], noise: Noise, met: Sequence[Sequence[Matchup]] | None = None
) -> Statements:
    """The statements of groups, candidates at their places.

    Args:
        said: by group.
        noise: whose `scale` scores are on, whose `fusion` says whether verdicts are words, and
            whose `position` is taken out where one order alone was not clipped.
        met: the matchups that count, by group; all of them where not given.
    """
    met = [met_in(*one) for one in said] if met is None else met
    num = max((len(scores) for scores, _ in said), default=0)
    pairs = (len(said), max(map(len, met), default=0))
    values = np.full((len(said), num), np.nan)
    for group, (given, _) in enumerate(said):
        values[group, : len(given)] = [one.value if is_scored(one) else math.nan for one in given]
    scored = np.isfinite(values)
    scores = np.where(scored, _shares(values, noise.scale), 0.0)
    there = scored.copy()
    centre = np.zeros(len(said))
    is_full = scored.all(axis=1) & (num > 0)
    if is_full.any():
        centre[is_full] = scores[is_full].mean(axis=1)
    for group in np.flatnonzero(~is_full).tolist():
        if scored[group].any():
            centre[group] = scores[group, scored[group]].mean()
        else:
            there[group, taking_part(*said[group])] = True
    first, second = np.zeros(pairs, dtype=np.intp), np.zeros(pairs, dtype=np.intp)
    is_met = np.zeros(pairs, dtype=bool)
    low, high = np.zeros(pairs), np.zeros(pairs)
    alone = np.zeros(pairs, dtype=bool)
    votes = np.zeros((*pairs, 2, 3)) if noise.fusion == "davidson" else None
    for group, (given, duels) in enumerate(said):
        if not met[group]:
            continue
        is_in = there[group].tolist()
        row = {one.candidate_id: at for at, one in enumerate(given) if is_in[at]}
        for place, one in enumerate(met[group]):
            if one.first_id not in row or one.second_id not in row:
                continue
            is_met[group, place] = True
            first[group, place], second[group, place] = row[one.first_id], row[one.second_id]
            low[group, place], high[group, place] = one.between(noise.position)
            alone[group, place] = one.is_half
            if votes is not None:
                votes[group, place] = _votes(duels, one)
    end = _ends(values, noise.scale)
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


def met_in(scores: Sequence[Score], duels: Sequence[Duel]) -> list[Matchup]:
    """The matchups of a group's own candidates."""
    known = {one.candidate_id for one in scores}
    return matchups([one for one in duels if one.first_id in known and one.second_id in known])


def _shares(values: Array, scale: Scale) -> Array:
    """Shares above the lower end; above 0 where there is none."""
    low = scale.low if math.isfinite(scale.low) else 0.0
    return np.asarray((values - low) / scale.unit)


def _ends(values: Array, scale: Scale) -> npt.NDArray[np.int8]:
    """−1 and 1 for values at the lower and the upper end of their scale, else 0."""
    near = AT_END * scale.unit
    is_high = values >= scale.high - near
    is_low = ~is_high & (values <= scale.low + near)
    return is_high.astype(np.int8) - is_low.astype(np.int8)


def _votes(duels: Sequence[Duel], met: Matchup) -> list[Sequence[float]]:
    """Both orders' probabilities of first, second and tie, told from the first side [2, 3]."""
    ahead = readable(duels, met.first_id, met.second_id)
    back = readable(duels, met.second_id, met.first_id)
    told = [(one.p_first, one.p_second, one.p_tie) for one in ahead]
    told_back = [(one.p_second, one.p_first, one.p_tie) for one in back]
    return [
        shown[0] if len(shown) == 1 else np.mean(shown, axis=0).tolist()
        for shown in (told, told_back)
    ]
