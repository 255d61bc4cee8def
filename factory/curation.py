"""From a judged group to pairs with verdicts. No model runs here.

group -> order -> pairs -> objections -> verdicts
"""

from __future__ import annotations

from dataclasses import dataclass, field

from factory.filters import Objection, judge_pair
from factory.pairing import Pairing, invalid_pair, why_no_pair
from factory.ranking import Strategy
from schemas.rows import Group, Pair


@dataclass(frozen=True)
class Curator:
    """Turns each group into pairs, at least one: kept, rejected with reasons, or invalid."""

    strategy: Strategy
    objections: tuple[Objection, ...]
    pairing: Pairing = field(default_factory=Pairing)

    def __call__(self, group: Group) -> list[Pair]:
        if group.error is not None:
            return [invalid_pair(group, why_no_pair(group))]
        order = self.strategy.order(group.scores, group.duels)
        pairs = [judge_pair(pair, self.objections) for pair in self.pairing(group, order)]
        return pairs or [invalid_pair(group, why_no_pair(group))]
