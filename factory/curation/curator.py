"""From a judged group to pairs with verdicts. No model runs here.

group -> correction of bias -> order -> pairs -> objections -> verdicts
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from factory.bias.correction import Correction
from factory.curation.pairing import Pairing, invalid_pair, why_no_pair
from factory.filters import Objection, judge_pair
from factory.filters.objection import Fetch
from factory.judging.criteria import weigh
from factory.ranking import ByTask, Order, Strategy, for_task, order_all, scores_of
from schemas.recipe import Criteria
from schemas.rows import Group, Pair, Task


@dataclass(frozen=True)
class Curator:
    """Turns each group into pairs, at least one: kept, rejected with reasons, or invalid.

    strategy: by which groups are ordered; one of each task, where they differ by it.
    correction: what is taken out of the judge's statements first.
    """

    strategy: Strategy | ByTask
    objections: tuple[Objection, ...]
    pairing: Pairing = field(default_factory=Pairing)
    criteria: Criteria = field(default_factory=Criteria)
    correction: Correction = field(default_factory=Correction)

    def __call__(self, group: Group, fetch: Fetch = lambda pair: pair) -> list[Pair]:
        """The pairs of a group, as `all_of` many."""
        return self.all_of([group], fetch)[0]

    def all_of(self, groups: Sequence[Group], fetch: Fetch = lambda pair: pair) -> list[list[Pair]]:
        """The pairs of groups, which are ordered together.

        Args:
            groups: whose candidates have their measures, or their media.
            fetch: brings in the media of a pair, for objections that need their pixels.
        """
        judged = [weigh(one, self.criteria) if one.error is None else one for one in groups]
        told = self._corrected(judged)
        orders = self._orders(told)
        before = self._orders(judged) if self.correction.is_needed else {}
        found = []
        for at, group in enumerate(told):
            pairs = self.pairing(group, orders[at]) if at in orders else []
            if at in before:
                pairs = [_with_margin_before(pair, before[at]) for pair in pairs]
            judged_pairs = [judge_pair(pair, self.objections, fetch) for pair in pairs]
            found.append(judged_pairs or [invalid_pair(group, why_no_pair(group))])
        return found

    def _corrected(self, groups: Sequence[Group]) -> list[Group]:
        """All but those that failed as a whole, which are as they are."""
        told = iter(self.correction.of_groups([one for one in groups if one.error is None]))
        return [next(told) if one.error is None else one for one in groups]

    def _orders(self, groups: Sequence[Group]) -> dict[int, Order]:
        """By the group's place; none of those that failed as a whole."""
        by_task: dict[Task, list[int]] = {}
        for at, group in enumerate(groups):
            if group.error is None:
                by_task.setdefault(group.prompt.task, []).append(at)
        orders: dict[int, Order] = {}
        for task, places in by_task.items():
            said = [(scores_of(groups[at]), groups[at].duels) for at in places]
            found = order_all(for_task(self.strategy, task), said)
            orders.update(zip(places, found, strict=True))
        return orders


def _with_margin_before(pair: Pair, order: Order) -> Pair:
    """The pair with the margin of its two sides in the order of the uncorrected statements."""
    sides = (pair.chosen.candidate_id, pair.rejected.candidate_id)
    chosen, rejected = (order.candidate_ids.index(one) for one in sides)
    return replace(pair, margin_before=order.margin(chosen, rejected))
