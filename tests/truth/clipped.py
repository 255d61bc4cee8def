"""Verdicts at their limit, before and after a slice factor has touched them.

A judge that is very sure of itself (8 logits a standard deviation, so that most of its log-odds are
clipped at 6) plays the default strategy; then the same statements with the log-odds of the prompts'
slice multiplied by 0.9. "At least 6" becomes "at least 5.4" and no measurement of 5.4.

best_right_saturated: share of prompts whose first candidate is truly the best.
best_right_saturated_corrected: the same after the factor, noise fitted to the corrected statements.
ring_saturated, ring_saturated_corrected: the same of a ring of ten, which joins best and worst,
    before a judge that errs little (0.25 each) and gives 4 logits a standard deviation.
"""

from collections.abc import Callable
from dataclasses import replace

from factory.bias.correction import Correction
from factory.ranking import Noise, Scale, Strategy, fit_noise, strategy_of
from schemas.recipe import Rank
from schemas.rows import Group
from tests.truth.judged import NUM_CANDIDATES, TASK, Draw, Ranked, World, best_right, draws, ranked

SHARP = World(Scale.of(0.0, 16.0), score_sd=0.25, duel_sd=0.25, item_sd=0.0, logits=4.0)
FACTOR = Correction(temperatures={"slice=all": 0.9})


def figures(replications: int, seed: int) -> dict[str, float]:
    """A replication is a prompt."""
    told: dict[str, float] = {}
    for name, rank, world, num in (
        ("best_right", Rank(), World(logits=8.0), NUM_CANDIDATES),
        ("ring", Rank(strategy="ring"), SHARP, 10),
    ):
        drawn = draws(world, replications, seed, num)

        def strategy(noise: Noise, rank: Rank = rank) -> Strategy:
            return strategy_of(rank, noise)

        found = ranked(world, drawn, strategy)
        told[f"{name}_saturated"] = best_right(found, drawn)
        told[f"{name}_saturated_corrected"] = _corrected(world, found.groups, drawn, strategy)
    return told


def _corrected(
    world: World,
    groups: list[Group],
    drawn: list[Draw],
    strategy: Callable[[Noise], Strategy],
) -> float:
    tagged = [
        FACTOR(replace(one, prompt=replace(one.prompt, tags={"slice": "all"}))) for one in groups
    ]
    fitted = fit_noise(tagged, scales={TASK: world.scale})
    noise = fitted.task(TASK).noise.on(world.scale)
    return best_right(Ranked(tagged, fitted, strategy(noise)), drawn)
