"""From an order to pairs: the best candidate is chosen and the worst is rejected, then the second
best and the second worst, as far as the recipe asks; no candidate is used twice.

A group that has no pair leaves an invalid one in its place, so that every prompt is accounted for
and a resumed run does not try it again.
"""

from __future__ import annotations

import math

from factory.matchups import matchup
from factory.ranking import Order, is_scored
from schemas.rows import Candidate, Group, Pair, content_id


def best_against_worst(group: Group, order: Order, depth: int = 0) -> Pair | None:
    """A pair of the order's first and last candidates, for objections to look at.

    Args:
        group: the candidates with scores and duels.
        order: of that group.
        depth: how many candidates to leave out at either end.

    Returns:
        None where the order has no two candidates left; if there is no pair at all, `invalid_pair`
        records why.
    """
    if len(order.ranking) < 2 * (depth + 1):
        return None
    best, worst = order.ranking[depth], order.ranking[-1 - depth]
    chosen, rejected = group.candidates[best], group.candidates[worst]
    if (chosen.candidate_id, rejected.candidate_id) != (
        order.candidate_ids[best],
        order.candidate_ids[worst],
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
        margin=order.margin(best, worst),
        margin_sd=order.difference_sd(best, worst),
        score_margin=points.get(chosen.candidate_id, math.nan)
        - points.get(rejected.candidate_id, math.nan),
        p_chosen=met.p_better if met else math.nan,
        is_flipped=met.is_flipped if met else False,
        verdict="kept",
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
    num_scored = sum(is_scored(score) for score in group.scores)
    errors = [one.error for one in group.candidates if one.error is not None]
    errors += [one.error for one in group.scores if one.error is not None]
    first = f"; first error: {errors[0]}" if errors else ""
    return f"too few candidates: {num_scored} of {len(group.candidates)} could be judged{first}"


def _pair_id(group: Group, chosen: Candidate, rejected: Candidate) -> str:
    return content_id("pair", group.prompt.prompt_id, chosen.candidate_id, rejected.candidate_id)


def _judge(group: Group) -> str:
    """Who scored the group. Every candidate has a score, if only one with an error."""
    return group.scores[0].judge if group.scores else ""
