"""Taking a measured bias out of a judge's statements, before any pair is chosen by them.

A score loses, and the log-odds of a duel lose, what the judge gives for the attributes of the
media: the flagged slopes of the bias profile, which were fitted on edits of the same picture and
never on the pairs. Only flagged slopes are used, so a judge without a bias is left alone. Log-odds
are then multiplied by the temperature of the prompt's slice; those that were clipped, and say "at
least so much", go on saying so of what becomes of them. Position bias is not here: every
matchup averages both orders already.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from factory.bias.calibration import ALL, temperature_of
from factory.bias.estimate import SHARE, association_figures
from factory.bias.figure import Figure, Relevance
from factory.bias.observation import (
    Attributes,
    LabelObservation,
    Measure,
    Observation,
    measure_candidate,
)
from factory.bias.probes import Probe
from factory.bias.profile import BiasProfile
from factory.bias.response import DUELS, SCORES, corrected_slopes
from factory.bias.seen import Block, PromptSums, Seen, as_seen
from factory.bias.slices import calibration_figures
from factory.ranking import is_scored
from factory.ranking.matchups import MAX_LOGIT, Matchup, bound_of, is_readable, log_odds
from factory.statistics.intervals import Array, bootstrap_of_clusters, mean_of_sums
from schemas.rows import Duel, Group, Score

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
        for one in profile.figures if attributes else ():
            if one.kind == "edit" and one.measure in slopes and one.is_flagged:
                slopes[one.measure][one.name] = one.estimate.value / profile.sds[one.name]
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
        """The group with corrected scores and duels.

        A statement about a candidate that cannot be measured is left as it is: its media is broken
        and an objection says so.
        """
        if not self.is_needed:
            return group
        looks: dict[str, Attributes] = {}
        if self.points or self.logits:
            looks = {
                one.candidate_id: measure(one) for one in group.candidates if one.error is None
            }
        factor = temperature_of(group.prompt.tags, self.temperatures)
        return replace(
            group,
            scores=tuple(self._score(one, looks) for one in group.scores),
            duels=tuple(self._duel(one, looks, factor) for one in group.duels),
        )

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

    def _duel(self, duel: Duel, looks: Mapping[str, Attributes], factor: float) -> Duel:
        if not is_readable(duel):
            return duel
        advantage = self._advantage(looks.get(duel.first_id, {}), looks.get(duel.second_id, {}))
        if advantage == 0 and factor == 1:
            return duel  # as it is: its log-odds may be beyond those that are read
        told = tilt(duel, factor * (log_odds(duel) - advantage))
        return replace(told, bound=bound_of(duel))  # what was "at least" so much still is

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


def _tilted(p: Array, logits: Array) -> Array:
    """Probabilities of first, second and tie [m, 3] with other log-odds [m]."""
    wanted = np.exp(np.clip(logits, -MAX_LOGIT, MAX_LOGIT))
    first, second = np.maximum(p[:, :2], _MIN_P).T
    half = p[:, 2] / 2
    turn = half * (1 - wanted)
    x = (-turn + np.sqrt(turn * turn + 4 * first * wanted * second)) / (2 * first)
    weights = np.stack([first * x, second / x, p[:, 2]], axis=1)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def with_corrected(
    profile: BiasProfile,
    correction: Correction,
    observations: Seen | Iterable[Observation],
    labels: Sequence[LabelObservation],
    probes: Sequence[Probe],
    relevance: Relevance,
    num_resamples: int = 1000,
    seed: int = 0,
) -> BiasProfile:
    """The profile, each figure with what the correction leaves of it.

    The slopes of edits are fitted again on prompts that they were not fitted on. Leans and
    calibration are measured again on the corrected statements, and the lean to the first slot on
    verdicts of both orders together. What a correction does not change has nothing beside it.

    Args:
        profile: as measured.
        correction: made from it.
        observations: of the groups that the profile was measured on.
        labels: likewise.
        probes: likewise.
        relevance: as for the profile.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    often = (num_resamples, seed)
    seen = as_seen(observations)
    told = [correction.label(one) for one in labels]
    factor = profile.temperatures.get(ALL, 1.0)
    again = [averaged_lean(seen, *often)]
    if correction.is_needed:
        again += association_figures(
            seen, told, profile.sds, factor, relevance, *often, correction.of_blocks(seen)
        )
        again += calibration_figures(told, *often)
    after = {(one.kind, one.name, one.measure): one.estimate for one in again}
    people = "slope of people"  # nothing of theirs is corrected
    figures = [
        replace(one, corrected=after.get((one.kind, one.name, one.measure)))
        if one.measure != people
        else one
        for one in profile.figures
    ]
    slopes = {
        measure
        for measure, taken in ((SCORES, correction.points), (DUELS, correction.logits))
        if taken
    }
    return replace(
        profile,
        figures=corrected_slopes(figures, probes, profile.sds, slopes, *often),
    )


def averaged_lean(
    observations: Seen | Iterable[Observation], num_resamples: int, seed: int
) -> Figure:
    """The lean to the first slot of verdicts that are those of both orders together."""
    seen = as_seen(observations)
    leans = PromptSums(seen, 2)
    for block in seen.blocks():
        swapped = replace(block, p=block.p[:, [1, 0, 2]])
        lean = (SHARE[block.verdicts] + SHARE[swapped.verdicts]) / 2 - 0.5
        leans.add(block.prompts[block.met], lean, np.ones(len(lean)))
    mean = bootstrap_of_clusters(leans.all(), mean_of_sums, num_resamples, seed)
    return Figure(
        "position", "first slot", "share above one half", "share of verdicts", mean, leans.num
    )
