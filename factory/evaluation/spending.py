"""The chance of a false promotion, held over a whole loop and not in each round.

Ten rounds in which nothing is gained, each tested at 2.5 %, promote something in one loop of five.
So a loop has one sum that all its rounds spend from (error spending; Lan & DeMets 1983, Biometrika
70, for looks; Foster & Stine 2008, J. R. Statist. Soc. B 70, for a stream of hypotheses). A round
gets an equal part of what is left for the rounds still planned, one part being kept back for a loop
that goes on longer. A level whose test promoted is not spent (the fallback procedure; Wiens &
Dmitrienko 2005), so gains are not paid for, only rounds that show none.

Before the first false promotion the levels of all rounds that gained nothing add up to no more than
the sum, so it bounds the chance of one by the union bound, which asks for no independence: the same
held-out prompts may be looked at in each round. That is exact for a loop that gains nothing, since
its champion never depends on what the prompts said. After a promotion the champion depends on them
by that one answer; see the decision record.

What a round spent stands in its decision, so a loop that is resumed or extended, or whose planned
rounds change, goes on from what earlier rounds left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import scipy

#: One-sided level of a 95 % interval: what a loop of one round spends of 5 %.
ROUND_LEVEL = 0.025
_WIN, _POWER = 0.6, 0.88  # a gain of which the plan tells the power, and a usual power


@dataclass(frozen=True)
class Spent:
    """What one earlier round did with its level.

    level: chance of error at which it tested.
    is_returned: whether it promoted, and nobody went back from that since.
    """

    level: float
    is_returned: bool


def level_of(number: int, num_rounds: int, earlier: Sequence[Spent], total: float) -> float:
    """The one-sided level at which a round tests its challenger.

    Args:
        number: of the round, from 1.
        num_rounds: that are planned.
        earlier: the rounds before it that were evaluated.
        total: chance of one false promotion over all rounds.
    """
    left = total - math.fsum(one.level for one in earlier if not one.is_returned)
    return max(left, 0.0) / (max(num_rounds - number, 0) + 2)


def power(num_prompts: int, level: float, win: float = _WIN) -> float:
    """Chance that a challenger is promoted that wins this share of prompts, without ties, with one
    output of each: by the normal approximation of the binomial.
    """
    if not level > 0 or num_prompts < 1:
        return 0.0
    spread = math.sqrt(win * (1 - win) / num_prompts)
    return float(scipy.special.ndtr((win - 0.5) / spread + scipy.special.ndtri(level)))


def told(num_prompts: int, level: float, num_rounds: int, total: float) -> str:
    """What a plan says of it."""
    if not level > 0:
        return "nothing can be promoted: earlier rounds have used up gates.max_false_promotions"
    spread = math.sqrt(_WIN * (1 - _WIN)) / (_WIN - 0.5)
    needed = math.ceil((spread * (scipy.special.ndtri(_POWER) - scipy.special.ndtri(level))) ** 2)
    return (
        f"a challenger that wins {_WIN:.2f} of {num_prompts} prompts is promoted in "
        f"{power(num_prompts, level):.0%} of such evaluations, and in {_POWER:.0%} with {needed}: "
        f"the chance of one false promotion in {num_rounds} round(s) or more is held at "
        f"{total:.0%}, of which this round may spend {level:.2%}"
    )
