"""From an order to pairs: a mode says which two candidates make the best pair, then the next best,
and so on; pairs are taken from that list while no candidate is used too often.

Margins and their uncertainty travel with the pair. What makes a pair unfit is not decided here. A
group that has no pair leaves an invalid one in its place, so that every prompt is accounted for
and a resumed run does not try it again.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from factory.candidates import is_unfinished
from factory.filters.verdicts import of_task
from factory.judging.panel import dissent
from factory.ranking import Match, Order, is_scored
from factory.ranking.matchups import matchup
from schemas import recipe
from schemas.rows import Candidate, Group, Pair, Task, content_id

Mode = Literal["best_against_worst", "near_miss", "all_above_margin"]


@dataclass(frozen=True)
class Pairing:
    """Pairs of a group, as the recipe's `curate` asks for them.

    mode: `best_against_worst`: the farthest apart in the ranking first; with `max_uses` 1 that is
        best and worst, second best and second worst, and so on. `near_miss`: the best against the
        candidate that is just `min_margin` weaker or little more, for pairs that are hard to tell
        apart. `all_above_margin`: all that are `min_margin` apart, the largest margin first.
    min_margin: in points, by task, or of all; not used by `best_against_worst`.
    max_pairs: of one prompt; None for as many as there are.
    max_uses: of one candidate in the pairs of its prompt; None for no limit.
    reject_unfinished: whether the best is also paired with an answer that came to no end, beside
        the pairs of the order; no judge was asked, so such a pair has no margin.
    """

    mode: Mode = "best_against_worst"
    min_margin: float | Mapping[Task, float] = 0.0
    max_pairs: int | None = 1
    max_uses: int | None = 1
    reject_unfinished: bool = False

    def __call__(self, group: Group, order: Order) -> list[Pair]:
        """The pairs, for objections to look at; none where the order has no two candidates.

        Where no two are far enough apart, best and worst stand for the group, so that its thin
        margin is on record.
        """
        taken = self._take(self._proposals(order, of_task(self.min_margin, group.prompt.task)))
        if not taken and len(order.ranking) > 1:
            taken = [(order.ranking[0], order.ranking[-1])]
        taken += self._unfinished(group, order)
        return [pair_of(group, order, better, worse) for better, worse in taken]

    def _unfinished(self, group: Group, order: Order) -> list[Match]:
        """The best and the first answer without an end, where there are both."""
        cut = [at for at, one in enumerate(group.candidates) if is_unfinished(one)]
        is_wanted = self.reject_unfinished and cut and order.ranking
        return [(order.ranking[0], cut[0])] if is_wanted else []

    def _proposals(self, order: Order, min_margin: float) -> list[Match]:
        """(better, worse) by position in the group, in the order in which they are wanted."""
        ranking = order.ranking
        if self.mode == "best_against_worst":
            return [(ranking[i], ranking[j]) for i, j in _by_distance(len(ranking))]
        pairs = itertools.combinations(ranking, 2)
        apart = [pair for pair in pairs if order.margin(*pair) >= min_margin]
        if self.mode == "near_miss":
            rank_of = {index: rank for rank, index in enumerate(order.ranking)}
            return sorted(apart, key=lambda pair: (rank_of[pair[0]], order.margin(*pair)))
        return sorted(apart, key=lambda pair: -order.margin(*pair))

    def _take(self, proposals: Iterable[Match]) -> list[Match]:
        uses: Counter[int] = Counter()
        taken: list[Match] = []
        for pair in proposals:
            if self.max_pairs is not None and len(taken) == self.max_pairs:
                break
            if self.max_uses is None or all(uses[index] < self.max_uses for index in pair):
                taken.append(pair)
                for index in pair:
                    uses[index] += 1
        return taken


@lru_cache
def _by_distance(num: int) -> tuple[Match, ...]:
    """All pairs of `num` ranks, the better one first: the farthest apart, then the best."""
    ranks = itertools.combinations(range(num), 2)
    return tuple(sorted(ranks, key=lambda rank: (rank[0] - rank[1], rank[0])))


def pair_of(group: Group, order: Order, better: int, worse: int) -> Pair:
    """The pair of two candidates, with what scores, order and their own duel say of it.

    Args:
        group: the candidates with scores and duels.
        order: of that group.
        better: position in the group of the chosen candidate.
        worse: position in the group of the rejected candidate.

    Raises:
        ValueError: the order is of other candidates.
    """
    chosen, rejected = group.candidates[better], group.candidates[worse]
    if (chosen.candidate_id, rejected.candidate_id) != (
        order.candidate_ids[better],
        order.candidate_ids[worse],
    ):
        raise ValueError(f"the order is not of the candidates of prompt {group.prompt.prompt_id}")
    points = {score.candidate_id: score.value for score in group.scores if is_scored(score)}
    met = matchup(group.duels, chosen.candidate_id, rejected.candidate_id)
    return Pair(
        pair_id=_pair_id(group, chosen, rejected),
        prompt=group.prompt,
        chosen=chosen,
        rejected=rejected,
        judge=_judge(group),
        margin=order.margin(better, worse),
        margin_sd=order.difference_sd(better, worse),
        score_margin=points.get(chosen.candidate_id, math.nan)
        - points.get(rejected.candidate_id, math.nan),
        p_chosen=met.p_better if met else math.nan,
        is_flipped=met.is_flipped if met else False,
        verdict="kept",
        dissent=dissent(group, chosen.candidate_id, rejected.candidate_id),
    )


def invalid_pair(group: Group, reason: str) -> Pair:
    """The record of a group without a pair.

    Its sides are empty candidates and not two of the group: a reader who forgets the verdict finds
    nothing to train on, rather than a preference that nobody stated.

    Args:
        group: where the candidates and their errors stay to be looked up.
        reason: "reason: detail", like an objection.
    """
    chosen, rejected = (
        Candidate(content_id("no candidate", group.prompt.prompt_id, side), "", 0, error=reason)
        for side in ("chosen", "rejected")
    )
    return Pair(
        pair_id=_pair_id(group, chosen, rejected),
        prompt=group.prompt,
        chosen=chosen,
        rejected=rejected,
        judge=_judge(group),
        margin=math.nan,
        margin_sd=math.nan,
        score_margin=math.nan,
        p_chosen=math.nan,
        is_flipped=False,
        verdict="invalid",
        objections=(reason,),
    )


def why_no_pair(group: Group) -> str:
    """Why a group has fewer than two candidates to pair, as "reason: detail"."""
    if group.error is not None:
        return f"no group: {group.error}"
    if group.duels and not group.scores:
        return (
            f"too few candidates: {len(group.candidates)} were judged by duels alone, and the "
            "strategy places none of them by what could be read of those"
        )
    num_scored = sum(is_scored(score) for score in group.scores)
    if num_scored > 1:  # published strategies place nobody whose duel has no winner
        return f"no duel with a winner: {num_scored} of {len(group.candidates)} could be judged"
    errors = [one.error for one in group.candidates if one.error is not None]
    errors += [one.error for one in group.scores if one.error is not None]
    first = f"; first error: {errors[0]}" if errors else ""
    return f"too few candidates: {num_scored} of {len(group.candidates)} could be judged{first}"


def _pair_id(group: Group, chosen: Candidate, rejected: Candidate) -> str:
    return content_id("pair", group.prompt.prompt_id, chosen.candidate_id, rejected.candidate_id)


def _judge(group: Group) -> str:
    """Who judged the group: by scores, of which every candidate has one, or by duels alone."""
    verdicts = group.scores or group.duels
    return verdicts[0].judge if verdicts else ""


def pairing_of(curate: recipe.Curate, units: Mapping[Task, float] | None = None) -> Pairing:
    """The pairing that a recipe asks for.

    Args:
        curate: of the recipe.
        units: points of the judge's whole scale, by task; its points are shares where not given.
    """
    return Pairing(
        curate.pairing,
        curate.objections.least_margins(units),
        curate.pairs_per_prompt,
        curate.max_uses,
        curate.reject_unfinished,
    )
