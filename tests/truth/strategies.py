"""`bracket` against the other strategies at equal forward passes of the judge, paired by prompt.

Every strategy ranks the same eight candidates before the same judge (`tests.truth.judged`), whose
errors are the same numbers, with noise fitted to its own groups. For eight, `pointwise` costs 8
forward passes, `paper` 12, `bracket` 14 and `ring` 24. Two ways to make them equal, both told:

    looks       the cheaper of the two spends what is left on further looks at each candidate's
                score, with fresh noise (asked in other words, say). No judge offers better looks,
                and one that is asked the same again gives the same answer, so this favours the
                cheaper strategy.
    candidates  the cheaper of the two scores more candidates: those of the same prompt and, after
                them, new ones. Drawing them costs nothing here, which also favours the cheaper.

A win is the mean true margin of best over worst, divided by that of the other strategy, less 1.
Intervals are of 95 %, by a bootstrap over prompts of both margins together.

bracket_over_X_looks, …_low, …_high: the win where X (pointwise, paper, ring) and bracket cost the
    same by looks.
bracket_over_X_candidates, …_low, …_high: the same by candidates.
bracket_over_X_as_it_is, …: each at its own price, without any equalising.
"""

from collections.abc import Callable

import numpy as np

from factory.ranking import Noise, Strategy, strategy_of
from factory.statistics.intervals import Interval, bootstrap_of_sums, ratio
from schemas.recipe import Rank
from tests.truth.judged import NUM_CANDIDATES, Array, Draw, World, draws, ranked, true_margins

OTHERS = ("pointwise", "paper", "ring")


def forwards(strategy: str, num: int) -> int:
    """What a strategy costs for `num` candidates."""
    duels = {"pointwise": 0, "paper": num // 2, "bracket": 6, "ring": 2 * num}
    return num + duels[strategy]


def most_candidates(strategy: str, budget: int) -> int:
    """How many candidates a strategy can rank for so many forward passes."""
    return max(num for num in range(2, budget + 1) if forwards(strategy, num) <= budget)


def figures(replications: int, seed: int, world: World | None = None) -> dict[str, float]:
    """A replication is a prompt."""
    world = world or World()
    wide = draws(world, replications, seed, size=24)
    cache: dict[tuple[str, int, float], Array] = {}

    def margins(name: str, num: int, looks: float = 1.0) -> Array:
        key = (name, num, looks)
        if key not in cache:
            drawn = [_first(one, num) for one in wide]
            cache[key] = true_margins(ranked(world, drawn, _made(name), looks=looks), drawn)
        return cache[key]

    told: dict[str, float] = {}
    for other in OTHERS:
        budget = max(forwards(one, NUM_CANDIDATES) for one in ("bracket", other))
        by_looks, by_candidates = (
            [
                margins(one, NUM_CANDIDATES, 1 + (budget - forwards(one, NUM_CANDIDATES)) / 8)
                for one in ("bracket", other)
            ],
            [margins(one, most_candidates(one, budget)) for one in ("bracket", other)],
        )
        as_it_is = [margins(one, NUM_CANDIDATES) for one in ("bracket", other)]
        for how, pair in (
            ("looks", by_looks),
            ("candidates", by_candidates),
            ("as_it_is", as_it_is),
        ):
            won = win(*pair)
            told |= {
                f"bracket_over_{other}_{how}": won.value,
                f"bracket_over_{other}_{how}_low": won.low,
                f"bracket_over_{other}_{how}_high": won.high,
            }
    return told


def win(one: Array, other: Array) -> Interval:
    """One mean margin over another less 1, paired by prompt."""
    prompts = [str(at) for at in range(len(one))]

    def statistic(sums: Array) -> Array:
        return ratio(sums[:, 0], sums[:, 1]) - 1.0

    return bootstrap_of_sums(np.stack([one, other], axis=1), prompts, statistic)


def _made(name: str) -> Callable[[Noise], Strategy]:
    rank = Rank(strategy=name)
    return lambda noise: strategy_of(rank, noise)


def _first(one: Draw, num: int) -> Draw:
    """The first candidates of a group."""
    return Draw(
        one.number,
        one.quality[:num],
        one.seen[:num],
        one.score_noise[:num],
        one.duel_noise[:num, :num],
    )
