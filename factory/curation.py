"""From a judged group to pairs with verdicts. No model runs here.

group -> order -> pairs -> objections -> verdicts
"""

from __future__ import annotations

from dataclasses import dataclass

from factory.filters import Objection, judge_pair
from factory.pairing import best_against_worst, invalid_pair, why_no_pair
from factory.ranking import Strategy
from schemas.rows import Group, Pair


@dataclass(frozen=True)
class Curator:
    """Turns each group into pairs, at least one: kept, rejected with reasons, or invalid.

    pairs_per_prompt: best against worst, second best against second worst, …, as far as the
        candidates go.
    """

    strategy: Strategy
    objections: tuple[Objection, ...]
    pairs_per_prompt: int = 1

    def __call__(self, group: Group) -> list[Pair]:
        if group.error is not None:
            return [invalid_pair(group, why_no_pair(group))]
        order = self.strategy.order(group.scores, group.duels)
        found = [best_against_worst(group, order, depth) for depth in range(self.pairs_per_prompt)]
        pairs = [judge_pair(pair, self.objections) for pair in found if pair is not None]
        return pairs or [invalid_pair(group, why_no_pair(group))]
