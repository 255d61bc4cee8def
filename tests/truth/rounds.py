"""A loop of ten rounds over the same held-out prompts: how often does it promote for nothing?

Each round draws a challenger and compares it with the champion on the same 240 prompts: what one
output of each model is worth on a prompt is drawn at random, and the champion's stays as it is
until it is replaced. In the null loop every challenger is as good as the first champion. Levels,
bounds and the gate are the project's own.

- `false_promotions_ten_null_rounds`: share of null loops with at least one promotion;
  `…_before` is that at 2.5 % in every round, as it was.
- `true_gain_promoted`: a challenger wins 0.60 of prompts for the first time in round r, after r - 1
  rounds without a gain that were kept; share that is promoted, mean over r of 1 to 10.
  `true_gain_promoted_every_round`: in loops that gain so in each round, mean over rounds.
  `true_gain_promoted_before`: at 2.5 %.
- `prompts_used`: held-out prompts that a round is compared on; they are the same in all rounds.
- `prompts_for_todays_power`: prompts a round with which `true_gain_promoted` is that of before.
- `false_promotions_after_a_gain`: a true gain in round 1, then nine null challengers, each as good
  as the champion; share of loops with a false promotion, on the same prompts.

Other ways to hold the error, for comparison, each with power over rounds without a gain before:
`power_spent_by_1_over_n_n_plus_1` (levels 0.05 / (n (n + 1))), `power_by_e_values` (a bet of 0.2 on
each prompt, promoted at 1 / level of the same sum; Waudby-Smith & Ramdas 2024), and
`power_confirmed_afresh` with `prompts_confirmed_afresh` (a pass at 10 % on the held-out prompts is
tested on 240 new ones; the j-th test there spends 0.05 / (j (j + 1))).
"""

from __future__ import annotations

import math

import numpy as np

from factory.evaluation import contest, gates
from factory.evaluation.contest import Result
from factory.evaluation.spending import ROUND_LEVEL, Spent, level_of, power
from factory.statistics.intervals import Array
from schemas.recipe import Gates

_NUM = 240
_ROUNDS = 10
_TOTAL = 0.05
_WIN = 0.6
#: Of a win of 0.60 between two outputs that are worth N(0, 1) and N(gain, 1).
_GAIN = 0.2533 * math.sqrt(2)
_GATES = Gates()
#: Of a prompt: a loss and a win.
_TOLD = [
    (Result(f"prompt {at}", "second", 0.0), Result(f"prompt {at}", "first", 0.0))
    for at in range(_NUM)
]


def figures(replications: int, seed: int) -> dict[str, float]:
    """Simulate; see the module's docstring."""
    rng = np.random.default_rng(seed)
    null = [_loop(rng, [0.0] * _ROUNDS) for _ in range(replications)]
    old = [_loop(rng, [0.0] * _ROUNDS, is_spent=False) for _ in range(replications)]
    gains = [_loop(rng, [_GAIN] * _ROUNDS) for _ in range(replications)]
    after = [_loop(rng, [_GAIN] + [0.0] * (_ROUNDS - 1)) for _ in range(replications)]
    kept = _kept_levels()
    won = rng.random((replications, _ROUNDS, _NUM)) < _WIN
    first = [[_is_promoted(won[at, r], kept[r]) for r in range(_ROUNDS)] for at in range(len(won))]
    today = [_is_promoted(one[0], ROUND_LEVEL) for one in won]
    return {
        "false_promotions_ten_null_rounds": float(np.mean([any(one) for one in null])),
        "false_promotions_ten_null_rounds_before": float(np.mean([any(one) for one in old])),
        "true_gain_promoted": float(np.mean(first)),
        "true_gain_promoted_every_round": float(np.mean(gains)),
        "true_gain_promoted_before": float(np.mean(today)),
        "prompts_used": float(_NUM),
        "prompts_for_todays_power": float(_prompts_for(kept, power(_NUM, ROUND_LEVEL))),
        "false_promotions_after_a_gain": float(np.mean([any(one[1:]) for one in after])),
        **_others(won, rng),
    }


def _loop(rng: np.random.Generator, gains: list[float], *, is_spent: bool = True) -> list[bool]:
    """Which rounds promote; each challenger gains so much over the champion of its round."""
    champion, level_of_champion = rng.normal(size=_NUM), 0.0
    spent: list[Spent] = []
    promoted = []
    for number, gain in enumerate(gains, start=1):
        challenger = level_of_champion + gain + rng.normal(size=_NUM)
        level = level_of(number, _ROUNDS, spent, _TOTAL) if is_spent else ROUND_LEVEL
        is_promoted = _is_promoted(challenger > champion, level)
        promoted.append(is_promoted)
        spent.append(Spent(level, is_promoted))
        if is_promoted:
            champion, level_of_champion = challenger, level_of_champion + gain
    return promoted


def _is_promoted(won: Array, level: float) -> bool:
    told = [both[int(one)] for both, one in zip(_TOLD, won, strict=True)]
    found = gates.generator_gates(contest.win_bound(told, level), {}, _GATES, level=level)
    return gates.decide(found) == "promote"


def _kept_levels() -> list[float]:
    """Of rounds before which none has promoted."""
    levels: list[float] = []
    for number in range(1, _ROUNDS + 1):
        spent = [Spent(one, is_returned=False) for one in levels]
        levels.append(level_of(number, _ROUNDS, spent, _TOTAL))
    return levels


def _prompts_for(levels: list[float], wanted: float) -> int:
    num = _NUM
    while np.mean([power(num, one) for one in levels]) < wanted:
        num += 1
    return num


def _others(won: Array, rng: np.random.Generator) -> dict[str, float]:
    """The ways that were not taken, on the same draws."""
    series = [_TOTAL / (n * (n + 1)) for n in range(1, _ROUNDS + 1)]
    by_series = [[_is_promoted(one[r], series[r]) for r in range(_ROUNDS)] for one in won]
    bets = np.log1p(0.2 * (2 * won - 1.0)).cumsum(axis=-1).max(axis=-1)
    by_bets = bets >= -np.log(_kept_levels())
    is_screened, num_before = rng.random(won.shape[:2]) < 0.1, np.zeros(len(won), dtype=int)
    confirmed, num_asked = [], 0
    for r in range(_ROUNDS):
        for at, one in enumerate(won):
            if _is_promoted(one[r], 0.1):
                num_asked += 1
                j = num_before[at] + 1
                fresh = rng.random(_NUM) < _WIN
                confirmed.append(_is_promoted(fresh, _TOTAL / (j * (j + 1))))
            else:
                confirmed.append(False)
        num_before += is_screened[:, r]  # had this round gained nothing
    return {
        "power_spent_by_1_over_n_n_plus_1": float(np.mean(by_series)),
        "power_by_e_values": float(np.mean(by_bets)),
        "power_confirmed_afresh": float(np.mean(confirmed)),
        "prompts_confirmed_afresh": _NUM * (1 + num_asked / won[:, :, 0].size),
    }
