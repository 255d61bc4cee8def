"""Champion against challenger: equal prompts, equal seeds, judged side by side.

A contest group holds the champion's candidates first and as many of the challenger's after them;
candidate i of one meets candidate i of the other, which was drawn from the same noise.

An output that failed (no picture, an answer without an end) is a loss where the other one is there,
and a tie where both failed. It is the model's failure, whatever the judge; only what a judge could
not read of two outputs that are there is in no share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy

from factory.ranking import Match, Noise, Order, fuse
from factory.ranking.matchups import matchup
from factory.statistics.intervals import (
    Array,
    Interval,
    bootstrap_of_sums,
    clustered_bootstrap,
    jackknife_of_sums,
    mean_of_sums,
    ratio,
    sums_of_clusters,
)
from schemas.rows import Candidate, Duel, Group, Preference, Score

_POINTS: Mapping[Preference | None, float] = {"first": 1.0, "second": 0.0, "tie": 0.5}


@dataclass(frozen=True)
class Versus:
    """The strategy that plays only twins: candidate i against candidate i + `num`, both orders."""

    num: int

    def plan(self, scores: Sequence[Score], duels: Sequence[Duel]) -> list[Match]:
        if duels:
            return []
        twins = [(i, i + self.num) for i in range(self.num)]
        return [match for i, j in twins for match in ((i, j), (j, i))]

    def order(self, scores: Sequence[Score], duels: Sequence[Duel]) -> Order:
        return fuse(scores, duels, Noise())


@dataclass(frozen=True)
class Result:
    """What one judge says of one pair of twins.

    outcome: "first" where the challenger wins; None where either could not be judged.
    score_gain: challenger's score minus champion's, in points; NaN likewise, and where either
        failed.
    tags: of the prompt.
    lead: log-odds of both orders that the challenger is better; NaN likewise.
    has_failed: whether the champion's and the challenger's output failed.
    """

    prompt_id: str
    outcome: Preference | None
    score_gain: float
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    lead: float = math.nan
    has_failed: tuple[bool, bool] = (False, False)


def sides(group: Group) -> tuple[tuple[Candidate, ...], tuple[Candidate, ...]]:
    """The champion's and the challenger's candidates of a contest group, twins at equal places."""
    num = len(group.candidates) // 2
    return group.candidates[:num], group.candidates[num:]


def results(group: Group, judge: str) -> list[Result]:
    """The results of all twins of a contest group by one judge."""
    duels = [duel for duel in group.duels if duel.judge == judge]
    scores = {score.candidate_id: score.value for score in group.scores if score.judge == judge}
    found = []
    for champion, challenger in zip(*sides(group), strict=True):
        met = matchup(duels, challenger.candidate_id, champion.candidate_id)
        failed = champion.error is not None, challenger.error is not None
        outcome = met.preference if met is not None else None
        if any(failed):
            outcome = "tie" if all(failed) else "first" if failed[0] else "second"
        gain = scores.get(challenger.candidate_id, math.nan) - scores.get(
            champion.candidate_id, math.nan
        )
        lead = met.logit if met is not None else math.nan
        found.append(Result(group.prompt.prompt_id, outcome, gain, group.prompt.tags, lead, failed))
    return found


def win_bound(told: Sequence[Result], level: float) -> Interval:
    """The challenger's win rate, a tie counting half, between its bounds at a one-sided level.

    By a jackknife over prompts and Student's t, since a bootstrap of 2,000 resamples cannot tell a
    level of a thousandth. Where all prompts agree there is no spread to go by: the lower bound is
    never above what the sign test can say of so few prompts (it is 0 where `2 ** -num > level`).
    Nor is it above one half where so few prompts are no ties, however many ties there are.

    Args:
        told: by one judge.
        level: chance that the truth is below the lower bound, and that it is above the upper one.
    """
    points = [(_POINTS[one.outcome], one.prompt_id) for one in told if one.outcome is not None]
    terms = np.array([(won, 1.0) for won, _ in points]).reshape(-1, 2)
    found = jackknife_of_sums(terms, [prompt for _, prompt in points], mean_of_sums)
    if not level > 0 or math.isnan(found.se):
        return Interval(found.value)
    reach = -float(scipy.special.stdtrit(found.num_clusters - 1, level)) * found.se
    low, high = max(found.value - reach, 0.0), min(found.value + reach, 1.0)
    won, num = sums_of_clusters(terms, [prompt for _, prompt in points]).T
    if 0.5 ** np.count_nonzero(won != num / 2) > level:
        low = min(low, 0.5)
    return Interval(found.value, low if 0.5**found.num_clusters <= level else 0.0, high)


@dataclass(frozen=True)
class Failures:
    """How often the outputs of either model failed.

    champion, challenger: shares of outputs.
    excess: the second less the first, twin by twin.
    num: twins.
    """

    champion: Interval
    challenger: Interval
    excess: Interval
    num: int


def failures(told: Sequence[Result], num_resamples: int = 1000, seed: int = 0) -> Failures:
    """Count outputs that failed; they are the same whoever judges."""
    prompts = [one.prompt_id for one in told]
    failed = np.array([one.has_failed for one in told], dtype=np.float64).reshape(-1, 2)
    champion, challenger, excess = (
        clustered_bootstrap(column, prompts, num_resamples, seed)
        for column in (failed[:, 0], failed[:, 1], failed[:, 1] - failed[:, 0])
    )
    return Failures(champion, challenger, excess, len(told))


@dataclass(frozen=True)
class Errors:
    """How often either model is wrong, by a judge that knows what is right.

    champion, challenger: shares of outputs that are wrong.
    reduction: by what share of the champion's errors the challenger has fewer.
    num: twins of which both were judged, or failed.
    num_invalid: of which either could not be read; they are in no share.
    """

    champion: Interval
    challenger: Interval
    reduction: Interval
    num: int
    num_invalid: int


def errors(
    groups: Sequence[Group], judge: str, full: float, num_resamples: int = 1000, seed: int = 0
) -> Errors:
    """Count an output as wrong where the judge gives it less than `full` marks, or it failed."""
    terms, prompts, num_invalid = [], [], 0
    for group in groups:
        scores = {one.candidate_id: one.value for one in group.scores if one.judge == judge}
        for twins in zip(*sides(group), strict=True):
            values = [
                scores.get(one.candidate_id, math.nan) if one.error is None else -math.inf
                for one in twins
            ]
            if any(math.isnan(one) for one in values):
                num_invalid += 1
                continue
            terms.append((*(float(one < full) for one in values), 1.0))
            prompts.append(group.prompt.prompt_id)
    table = np.array(terms).reshape(len(terms), 3)
    boot = {"num_resamples": num_resamples, "seed": seed}

    def fewer(sums: Array) -> Array:
        return 1.0 - ratio(sums[:, 1], sums[:, 0])

    champion, challenger = (
        bootstrap_of_sums(table[:, [column, 2]], prompts, mean_of_sums, **boot)
        for column in range(2)
    )
    reduction = bootstrap_of_sums(table, prompts, fewer, **boot)
    return Errors(champion, challenger, reduction, len(terms), num_invalid)
