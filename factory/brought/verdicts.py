"""What a brought row says of its candidates: scores, and preferences as duels.

    score, breakdown     -> a Score of each candidate, in points of a named scale
    preference, rank     -> Duels of every two, told in both orders
    duels                -> Duels as they were judged, of candidates by their `id`

A table of preferences does not say which side was shown first, so a preference is told in both
orders and says nothing of a bias for the place. Rows of one prompt are put together: of several
scores of one candidate the mean is taken, and of several preferences between two the shares.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from factory.brought.candidates import PER_CANDIDATE, ReadMedia, RowReader, candidates_of
from factory.brought.cells import Cells, RowFault, ScaleError, items_of, number
from factory.ranking import is_scored
from factory.ranking.matchups import is_readable
from schemas.rows import OVERALL, Candidate, Duel, Group, Preference, Score

#: The fields of a duel, as our own export of groups names them.
_SIDES = ("first_id", "second_id")
_PROBABILITIES = ("p_first", "p_second", "p_tie")
#: What UltraFeedback calls the number within a dimension's annotation.
_RATING = "Rating"
_PREFERENCES: dict[Preference, tuple[float, float, float]] = {
    "first": (1.0, 0.0, 0.0),
    "second": (0.0, 1.0, 0.0),
    "tie": (0.0, 0.0, 1.0),
}


@dataclass(frozen=True)
class JudgedRowReader(RowReader):
    """Makes a judged group of a row.

    judge: who judged, as name@version.
    scale: the lowest and the highest score; None where there are to be none.
    values: what the words of `preference` mean.
    """

    judge: str = ""
    scale: tuple[float, float] | None = None
    values: Mapping[str, Preference] = field(default_factory=dict)

    def __call__(self, row: Mapping[str, Any], read: ReadMedia) -> Group:
        """The prompt and the candidates of a row, with scores and duels.

        Raises:
            RowFault: no prompt or candidate can be made of it, or it says nothing of them.
            ScaleError: it has scores, and there is no scale.
        """
        cells = Cells(row, self.columns)
        items = items_of(cells, (*PER_CANDIDATE, "score", "breakdown", "rank"))
        prompt = self.prompt(cells, read)
        candidates = candidates_of(items, prompt, read)
        scores = [self._score(*one) for one in zip(items, candidates, strict=True)]
        told = [*self._preferred(cells, candidates), *self._ranked(items, candidates)]
        duels = [both for one in told for both in (one, one.swap())]
        duels += self._as_judged(cells, items, candidates)
        given = tuple(one for one in scores if one is not None)
        if not given and not duels:
            names = " and ".join(map(cells.name, ("score", "preference", "rank", "duels")))
            raise RowFault(names, "are all empty: the row says nothing of its candidates")
        return Group(prompt, candidates, given, tuple(duels))

    def _score(self, cells: Cells, candidate: Candidate) -> Score | None:
        """None where the row gives none."""
        parts = _breakdown(cells)
        said = cells.value("score")
        if said is None or said == "":
            if not parts:
                return None
            value: float | None = float(np.mean(list(parts.values())))
        else:
            value = number(said)
        if self.scale is None:
            key = "score" if parts == {} or said not in (None, "") else "breakdown"
            raise ScaleError(
                f"{cells.name(key)!r} holds scores, and nothing says on which scale they are: "
                "scale: [LOW, HIGH]"
            )
        low, high = self.scale
        why = candidate.error
        if why is None and (value is None or not low <= value <= high):
            why = f"{cells.name('score')!r} is {said!r:.40}, not a number from {low:g} to {high:g}"
        if why is not None or value is None:
            return Score(candidate.candidate_id, self.judge, math.nan, math.nan, why)
        breakdown = {OVERALL: value, **parts} if parts else {}
        return Score(candidate.candidate_id, self.judge, value, math.nan, None, breakdown)

    def _preferred(self, cells: Cells, candidates: Sequence[Candidate]) -> list[Duel]:
        value = cells.value("preference")
        if value is None or value == "":
            return []
        if len(candidates) != 2:
            raise cells.fault("preference", f"is of two sides, and the row has {len(candidates)}")
        first, second = candidates
        return [self._duel(first, second, self._outcome(cells, value))]

    def _outcome(self, cells: Cells, value: Any) -> tuple[float, float, float]:
        """Probabilities of first, second and tie."""
        if isinstance(value, list | tuple):
            shares = [number(one) for one in value]
            first, second = shares if len(shares) == 2 else (None, None)
            if first is None or second is None or min(first, second) < 0 or first + second == 0:
                raise cells.fault("preference", f"is {value!r:.60}, not two shares")
            if first == second:
                return _PREFERENCES["tie"]
            return first / (first + second), second / (first + second), 0.0
        word = str(value).strip()
        meant: Any = self.values.get(word, word)
        if meant not in _PREFERENCES:
            known = ", ".join([*self.values, *_PREFERENCES])
            raise cells.fault("preference", f"is {word!r:.40}; known: {known} (see `values`)")
        return _PREFERENCES[meant]

    def _ranked(self, items: Sequence[Cells], candidates: Sequence[Candidate]) -> list[Duel]:
        """A duel of every two candidates that have a rank: the lower is the better."""
        ranks = []
        for cells in items:
            said = cells.value("rank")
            rank = None if said is None or said == "" else number(said)
            if rank is None and said not in (None, ""):
                raise cells.fault("rank", f"is {said!r:.40}, not a number")
            ranks.append(rank)
        duels = []
        for (first, one), (second, other) in itertools.combinations(
            zip(candidates, ranks, strict=True), 2
        ):
            if one is not None and other is not None:
                better: Preference = "tie" if one == other else "first" if one < other else "second"
                duels.append(self._duel(first, second, _PREFERENCES[better]))
        return duels

    def _as_judged(
        self, cells: Cells, items: Sequence[Cells], candidates: Sequence[Candidate]
    ) -> list[Duel]:
        """Duels in the order in which their sides were shown."""
        told = cells.value("duels") or []
        if not isinstance(told, list | tuple) or not all(isinstance(one, Mapping) for one in told):
            raise cells.fault("duels", "is no list of objects")
        names = [cell.value("id") for cell in items] if told else []
        duels = []
        for one in told:
            sides = [names.index(one.get(key)) if one.get(key) in names else -1 for key in _SIDES]
            if min(sides) < 0:
                raise cells.fault(
                    "duels",
                    f"is of {[one.get(key) for key in _SIDES]}, which the "
                    f"`id` of the candidates ({cells.name('id')!r}) are not",
                )
            outcome = [number(one.get(key)) for key in _PROBABILITIES]
            p_first, p_second, p_tie = (math.nan if p is None else p for p in outcome)
            why = one.get("error")
            if why is None and not math.isclose(p_first + p_second + p_tie, 1, abs_tol=0.01):
                why = f"{outcome} are no three probabilities"
            first, second = (candidates[at] for at in sides)
            duel = self._duel(first, second, (p_first, p_second, p_tie))
            duels.append(duel if why is None else replace(duel, error=duel.error or str(why)))
        return duels

    def _duel(
        self, first: Candidate, second: Candidate, outcome: tuple[float, float, float]
    ) -> Duel:
        return Duel(
            first.candidate_id,
            second.candidate_id,
            self.judge,
            *outcome,
            error=first.error or second.error,
        )


def _breakdown(cells: Cells) -> dict[str, float]:
    """Points by dimension; what is no number there ("N/A") is left out."""
    value = cells.value("breakdown")
    if value is None:
        return {}
    if isinstance(value, list | tuple) and all(isinstance(one, Mapping) for one in value):
        value = {str(one.get("criterion")): one.get("rating") for one in value}  # of our export
    if not isinstance(value, Mapping):
        raise cells.fault("breakdown", f"is {type(value).__name__}, not numbers by name")
    points = {}
    for name, one in value.items():
        found = number(one.get(_RATING) if isinstance(one, Mapping) else one)
        if found is not None:
            points[str(name)] = found
    return points


# ------------------------------------------------------------------------- rows of one prompt


def together(rows: Sequence[Group]) -> Group:
    """Rows of one prompt as one group: each candidate once, with one score where any candidate has
    one, and each two that were compared once in each order that was told.

    Args:
        rows: at least one; the prompt's tags are those of the first.
    """
    candidates: dict[str, Candidate] = {}
    scores: dict[str, list[Score]] = {}
    duels: dict[tuple[str, str], list[Duel]] = {}
    for group in rows:
        for candidate in group.candidates:
            candidates.setdefault(candidate.candidate_id, candidate)
        for score in group.scores:
            scores.setdefault(score.candidate_id, []).append(score)
        for duel in group.duels:
            if duel.first_id != duel.second_id:  # the same medium on both sides
                duels.setdefault((duel.first_id, duel.second_id), []).append(duel)
    every = [score for of_one in scores.values() for score in of_one]
    return replace(
        rows[0],
        candidates=tuple(candidates.values()),
        scores=tuple(_mean(one, scores, every[0].judge) for one in candidates.values())
        if every
        else (),
        duels=tuple(map(_shares, duels.values())),
    )


def _mean(candidate: Candidate, scores: Mapping[str, list[Score]], judge: str) -> Score:
    given = scores.get(candidate.candidate_id, [])
    readable = [one for one in given if is_scored(one)]
    if not readable:
        why = candidate.error or next((one.error for one in given), None)
        why = why or "has no score in the table"
        return Score(candidate.candidate_id, judge, math.nan, math.nan, why)
    if len(readable) == 1:
        return readable[0]
    values = [one.value for one in readable]
    names = dict.fromkeys(name for one in readable for name in one.breakdown)
    parts = {
        name: float(np.mean([one.breakdown[name] for one in readable if name in one.breakdown]))
        for name in names
    }
    mean, spread = float(np.mean(values)), float(np.std(values))
    return replace(readable[0], value=mean, spread=spread, breakdown=parts)


def _shares(duels: Sequence[Duel]) -> Duel:
    """What was said of two in one order, as shares of all that was said."""
    readable = [one for one in duels if is_readable(one)]
    if not readable:
        return duels[0]
    sums = np.mean([(one.p_first, one.p_second, one.p_tie) for one in readable], axis=0)
    p_first, p_second, p_tie = sums.tolist()
    return replace(readable[0], p_first=p_first, p_second=p_second, p_tie=p_tie)
