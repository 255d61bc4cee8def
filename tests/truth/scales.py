"""The same judge on 1–5, on 1–10 and on 0–100: does it pick the same best of eight?

The same qualities and errors are told on three scales (`tests.truth.judged`), the default strategy
plays, and noise is fitted as in a run: a pilot by scale-free defaults, then all of the groups.

best_right_1_5, best_right_1_10, best_right_0_100: share of prompts whose first candidate in the
    order is truly the best of its eight, by scale.
best_right_known_noise: the same on 1–5, of a strategy that is told the true noise.
"""

from factory.ranking import Scale, strategy_of
from schemas.recipe import Rank
from tests.truth.judged import Ranked, World, best_right, draws, judged, ranked

SCALES = {"1_5": (1.0, 5.0), "1_10": (1.0, 10.0), "0_100": (0.0, 100.0)}


def figures(replications: int, seed: int) -> dict[str, float]:
    """A replication is a prompt."""
    found: dict[str, float] = {}
    for name, ends in SCALES.items():
        world = World(Scale.of(*ends))
        drawn = draws(world, replications, seed)
        fitted = ranked(world, drawn, lambda noise: strategy_of(Rank(), noise))
        found[f"best_right_{name}"] = best_right(fitted, drawn)
    world = World()
    known = strategy_of(Rank(), world.noise)
    drawn = draws(world, replications, seed)
    told = Ranked(judged(world, drawn, known), fitted.fitted, known)
    return {**found, "best_right_known_noise": best_right(told, drawn)}
