"""From a judged group to pairs with verdicts. No model runs here.

group -> correction of bias -> order -> pairs -> objections -> verdicts
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from factory.bias.correction import Correction
from factory.curation.pairing import Pairing, invalid_pair, why_no_pair
from factory.filters import Objection, judge_pair
from factory.filters.objection import Fetch
from factory.judging.criteria import weigh
from factory.ranking import ByTask, Order, Strategy, for_task, scores_of
from schemas.recipe import Criteria
from schemas.rows import Group, Pair


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
        """The pairs of a group.

        Args:
            group: whose candidates have their measures, or their media.
            fetch: brings in the media of a pair, for objections that need their pixels.
        """
        if group.error is not None:
            return [invalid_pair(group, why_no_pair(group))]
        judged = weigh(group, self.criteria)
        group = self.correction(judged)
        order = self._order(group)
        pairs = [
            judge_pair(self._with_margin_before(pair, judged), self.objections, fetch)
            for pair in self.pairing(group, order)
        ]
        return pairs or [invalid_pair(group, why_no_pair(group))]

    def _order(self, group: Group) -> Order:
        strategy = for_task(self.strategy, group.prompt.task)
        return strategy.order(scores_of(group), group.duels)

    def _with_margin_before(self, pair: Pair, judged: Group) -> Pair:
        """The pair with the margin that the uncorrected statements give its two sides."""
        if not self.correction.is_needed:
            return pair
        order = self._order(judged)
        sides = (pair.chosen.candidate_id, pair.rejected.candidate_id)
        chosen, rejected = (order.candidate_ids.index(one) for one in sides)
        return replace(pair, margin_before=order.margin(chosen, rejected))
