"""Taking a measured bias out of a judge's statements, before any pair is chosen by them.

A score loses, and the log-odds of a duel lose, what the judge gives for the attributes of the
media: the flagged slopes of the bias profile, which were fitted on edits of the same picture and
never on the pairs. Only slopes of attributes that are flagged, in scores or in duels, are used, so
a judge without a bias is left alone, and they are shrunk first, since a flag exaggerates
(`factory.bias.shrinkage`). Log-odds are then multiplied by the temperature of the prompt's slice;
those that were clipped, and say "at least so much", go on saying so of what becomes of them.
Position bias is not here: every matchup averages both orders already. What a correction leaves of
the figures of a profile is measured in `factory.bias.corrected`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from factory.bias.calibration import ALL, temperature_of
from factory.bias.figure import DUELS, SCORES, Figure
from factory.bias.observation import (
    Attributes,
    LabelObservation,
    Measure,
    measure_candidate,
)
from factory.ranking import is_scored
from factory.ranking.matchups import MAX_LOGIT, Matchup, bound_of, is_readable, log_odds
from factory.statistics.intervals import Array
from schemas.rows import Duel, Group, Score

if TYPE_CHECKING:  # profiles, and groups reduced to numbers, are those of whoever has them
    from factory.bias.profile import BiasProfile
    from factory.bias.seen import Block, Seen

_MIN_P = 1e-6


@dataclass(frozen=True)
class Correction:
    """What is taken out of a judge's statements.

    points, logits: attribute -> what one unit of it adds to a score, and to the log-odds of the
        side that has it.
    temperatures: slice -> factor of the log-odds, relative to that of all prompts.
    """

    points: Mapping[str, float] = field(default_factory=dict)
    logits: Mapping[str, float] = field(default_factory=dict)
    temperatures: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, profile: BiasProfile, *, attributes: bool = True, slices: bool = True
    ) -> Correction:
        """The correction that a profile asks for.

        Args:
            profile: of the judge.
            attributes: whether flagged slopes are taken out.
            slices: whether log-odds are made equally sure of themselves in every slice.
        """
        slopes: dict[str, dict[str, float]] = {SCORES: {}, DUELS: {}}
        edited = [one for one in profile.figures if one.kind == "edit" and one.measure in slopes]
        liked = {one.name for one in edited if one.is_flagged} if attributes else set()
        for one in edited:
            taken = one.shrunk or one.estimate  # profiles of before had no shrunk slopes
            if one.name in liked and (one.is_flagged or _accuses(one, taken.value)):
                slopes[one.measure][one.name] = taken.value / profile.sds[one.name]
        all_prompts = profile.temperatures.get(ALL, 1.0)
        factors = {
            name: factor / all_prompts
            for name, factor in profile.temperatures.items()
            if slices and name != ALL
        }
        return cls(slopes[SCORES], slopes[DUELS], factors)

    @property
    def is_needed(self) -> bool:
        """Whether it changes anything."""
        return bool(self.points or self.logits or self.temperatures)

    def __call__(self, group: Group, measure: Measure = measure_candidate) -> Group:
        """The group with corrected scores and duels, as `of_groups` many."""
        return self.of_groups([group], measure)[0]

    def of_groups(
        self, groups: Sequence[Group], measure: Measure = measure_candidate
    ) -> list[Group]:
        """The groups with corrected scores and duels.

        A statement about a candidate that cannot be measured is left as it is: its media is broken
        and an objection says so.
        """
        if not self.is_needed:
            return list(groups)
        looks = [self._looks(one, measure) for one in groups]
        wanted = [self._wanted(*one) for one in zip(groups, looks, strict=True)]
        told = iter(
            _tilted_all(
                [
                    (duel, logit)
                    for group, logits in zip(groups, wanted, strict=True)
                    for duel, logit in zip(group.duels, logits, strict=True)
                    if logit is not None
                ]
            )
        )
        return [
            replace(
                group,
                scores=tuple(self._score(one, look) for one in group.scores),
                duels=tuple(
                    duel if logit is None else next(told)
                    for duel, logit in zip(group.duels, logits, strict=True)
                ),
            )
            for group, look, logits in zip(groups, looks, wanted, strict=True)
        ]

    def _looks(self, group: Group, measure: Measure) -> dict[str, Attributes]:
        """Of the candidates that there are, by their ids; nothing where no slope asks for it."""
        if not self.points and not self.logits:
            return {}
        return {one.candidate_id: measure(one) for one in group.candidates if one.error is None}

    def of_blocks(self, seen: Seen) -> Callable[[Block], Block]:
        """The same for groups that were reduced to numbers.

        Args:
            seen: whose blocks are corrected.
        """
        logs = {
            (key, value): math.log(self.temperatures[f"{key}={value}"])
            for key, values in seen.values.items()
            for value in values
            if f"{key}={value}" in self.temperatures
        }

        def corrected(block: Block) -> Block:
            log, num = np.zeros(len(block.prompts)), np.zeros(len(block.prompts))
            for (key, value), of_slice in logs.items():
                is_in = block.tags[key] == seen.values[key].index(value)
                log += of_slice * is_in
                num += is_in
            factor = np.exp(log / np.maximum(num, 1))  # as `temperature_of`
            first, second = block.sides.T
            worth = _worths(block.looks, seen.names, self.logits)
            is_seen = block.is_seen[first] & block.is_seen[second]
            advantage = np.where(is_seen, worth[first] - worth[second], 0.0)
            logits = factor[block.met] * (block.logits - advantage)
            scores = block.scores - _worths(block.looks, seen.names, self.points)
            return replace(block, scores=scores, logits=logits, p=_tilted(block.p, logits))

        return corrected

    def label(self, seen: LabelObservation) -> LabelObservation:
        """The same for the judge's view of a label."""
        if seen.matchup is None:
            return seen
        factor = temperature_of(seen.tags, self.temperatures)
        met = self._matchup(seen.matchup, seen.first, seen.second, factor)
        return replace(seen, matchup=met)

    def _score(self, score: Score, looks: Mapping[str, Attributes]) -> Score:
        if not is_scored(score):
            return score
        look = looks.get(score.candidate_id, {})
        return replace(score, value=score.value - _worth(look, self.points))

    def _wanted(self, group: Group, looks: Mapping[str, Attributes]) -> list[float | None]:
        """The log-odds that the group's duels are to have; None for one that stays as it is."""
        factor = temperature_of(group.prompt.tags, self.temperatures)
        found: list[float | None] = []
        for duel in group.duels:
            logit = None
            if is_readable(duel):
                first, second = looks.get(duel.first_id, {}), looks.get(duel.second_id, {})
                advantage = self._advantage(first, second)
                if advantage != 0 or factor != 1:  # else they may be beyond those that are read
                    logit = factor * (log_odds(duel) - advantage)
            found.append(logit)
        return found

    def _matchup(
        self, met: Matchup, first: Attributes, second: Attributes, factor: float
    ) -> Matchup:
        logit = factor * (met.logit - self._advantage(first, second))
        duel = Duel(met.first_id, met.second_id, "", met.p_first, met.p_second, met.p_tie)
        told = tilt(duel, logit)
        return replace(
            met, logit=logit, p_first=told.p_first, p_second=told.p_second, p_tie=told.p_tie
        )

    def _advantage(self, first: Attributes, second: Attributes) -> float:
        """Log-odds that the first side owes to its attributes; 0 where a side is unmeasured."""
        if not first or not second:
            return 0.0
        return _worth(first, self.logits) - _worth(second, self.logits)


def _accuses(figure: Figure, value: float) -> bool:
    """Whether a slope is on the side on which it accuses: what a judge minds may be just."""
    return not (
        (figure.accuses == "above" and value < 0) or (figure.accuses == "below" and value > 0)
    )


def _worth(look: Attributes, slopes: Mapping[str, float]) -> float:
    return sum(slope * look[name] for name, slope in slopes.items() if name in look)


def _worths(looks: Array, names: Sequence[str], slopes: Mapping[str, float]) -> Array:
    """The same of many looks [c, K], [c]."""
    known, worth = np.nan_to_num(looks), np.zeros(len(looks))
    for name, slope in slopes.items():
        worth += slope * known[:, names.index(name)]
    return worth


def tilt(duel: Duel, logit: float) -> Duel:
    """The duel with other log-odds (a tie counting half), and as much of a tie as goes with them.

    First and second are multiplied by x and 1/x, then all three are normalised, as a change of
    strength does in Davidson's (1970) model of ties. With h half the tie and R the odds wanted,
    (p_first x + h) = R (p_second / x + h) is a quadratic in x.
    """
    told = _tilted(np.array([[duel.p_first, duel.p_second, duel.p_tie]]), np.array([logit]))
    p_first, p_second, p_tie = told[0].tolist()
    return replace(duel, p_first=p_first, p_second=p_second, p_tie=p_tie)


def _tilted_all(wanted: Sequence[tuple[Duel, float]]) -> list[Duel]:
    """Duels with other log-odds each; what was "at least" so much still is."""
    if not wanted:
        return []
    p = np.array([[one.p_first, one.p_second, one.p_tie] for one, _ in wanted])
    told = _tilted(p, np.array([logit for _, logit in wanted])).tolist()
    return [
        replace(duel, p_first=first, p_second=second, p_tie=tie, bound=bound_of(duel))
        for (duel, _), (first, second, tie) in zip(wanted, told, strict=True)
    ]


def _tilted(p: Array, logits: Array) -> Array:
    """Probabilities of first, second and tie [m, 3] with other log-odds [m]."""
    wanted = np.exp(np.clip(logits, -MAX_LOGIT, MAX_LOGIT))
    first, second = np.maximum(p[:, :2], _MIN_P).T
    half = p[:, 2] / 2
    turn = half * (1 - wanted)
    x = (-turn + np.sqrt(turn * turn + 4 * first * wanted * second)) / (2 * first)
    weights = np.stack([first * x, second / x, p[:, 2]], axis=1)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
