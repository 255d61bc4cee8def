"""Champion against challenger: equal prompts, equal seeds, judged side by side.

A contest group holds the champion's candidates first and as many of the challenger's after them;
candidate i of one meets candidate i of the other, which was drawn from the same noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from factory.ranking import Match, Noise, Order, fuse
from factory.ranking.matchups import matchup
from factory.statistics.intervals import Array, Interval, bootstrap_of_sums, mean_of_sums, ratio
from schemas.rows import Candidate, Duel, Group, Preference, Score


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
    score_gain: challenger's score minus champion's, in points; NaN likewise.
    tags: of the prompt.
    lead: log-odds of both orders that the challenger is better; NaN likewise.
    """

    prompt_id: str
    outcome: Preference | None
    score_gain: float
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    lead: float = math.nan


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
        outcome = met.preference if met is not None else None
        gain = scores.get(challenger.candidate_id, math.nan) - scores.get(
            champion.candidate_id, math.nan
        )
        lead = met.logit if met is not None else math.nan
        found.append(Result(group.prompt.prompt_id, outcome, gain, group.prompt.tags, lead))
    return found


@dataclass(frozen=True)
class Errors:
    """How often either model is wrong, by a judge that knows what is right.

    champion, challenger: shares of outputs that are wrong.
    reduction: by what share of the champion's errors the challenger has fewer.
    num: twins of which both were judged.
    num_invalid: of which either was not; they are in no share.
    """

    champion: Interval
    challenger: Interval
    reduction: Interval
    num: int
    num_invalid: int


def errors(
    groups: Sequence[Group], judge: str, full: float, num_resamples: int = 1000, seed: int = 0
) -> Errors:
    """Count an output as wrong where the judge gives it less than `full` marks."""
    terms, prompts, num_invalid = [], [], 0
    for group in groups:
        scores = {one.candidate_id: one.value for one in group.scores if one.judge == judge}
        for twins in zip(*sides(group), strict=True):
            values = [scores.get(one.candidate_id, math.nan) for one in twins]
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
