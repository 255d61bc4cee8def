"""From a judged group to a pair with a verdict. No model runs here.

group -> order -> pair -> objections -> verdict
"""

from __future__ import annotations

from dataclasses import dataclass

from factory.filters import Objection, judge_pair
from factory.pairing import best_against_worst, invalid_pair, why_no_pair
from factory.ranking import Strategy
from schemas.rows import Group, Pair


@dataclass(frozen=True)
class Curator:
    """Turns each group into exactly one pair: kept, rejected with its reasons, or invalid."""

    strategy: Strategy
    objections: tuple[Objection, ...]

    def __call__(self, group: Group) -> Pair:
        if group.error is not None:
            return invalid_pair(group, why_no_pair(group))
        order = self.strategy.order(group.scores, group.duels)
        pair = best_against_worst(group, order)
        if pair is None:
            return invalid_pair(group, why_no_pair(group))
        return judge_pair(pair, self.objections)
