"""Two judges as one against the first of them alone, by the true margin of the pair.

Two judges of the same noise (`tests.truth.judged`), every error of which is correlated between them
by 0.5, or not at all, play the default strategy on the same eight candidates. The panel's weights
are fitted to 500 simulated labels of pairs of other prompts (`factory.judging.panel.fit`), and each
of the three is ranked by noise fitted to its own groups.

panel_gain_0_5, panel_gain_0: mean true margin of best over worst by the panel, divided by that of
    the first judge alone, less 1, at each correlation.
"""

from collections.abc import Sequence

import numpy as np

from factory.judging.panel import PanelWeights, Scale, fit, fused_duel, fused_score
from factory.ranking import Noise, Strategy, fit_noise, strategy_of
from schemas.recipe import Rank
from schemas.rows import Duel, Group, Opinion, Score
from tests.factory.simulated import candidates_of
from tests.truth.judged import (
    NUM_LABELS,
    NUM_PILOT,
    TASK,
    Array,
    Draw,
    Ranked,
    World,
    draws,
    labelled,
    said_of,
    true_margins,
)

NAMES = ("first", "second")
LABEL_SEED = 1_000_003


def figures(replications: int, seed: int) -> dict[str, float]:
    """A replication is a prompt."""
    world, found = World(), {}
    for correlation, name in ((0.5, "0_5"), (0.0, "0")):
        pairs = two(world, draws(world, replications, seed), correlation, seed + 1)
        weights = _weights(world, correlation, seed)
        alone, panel = (_margins(world, [one[:num] for one in pairs], weights) for num in (1, 2))
        found[f"panel_gain_{name}"] = float(panel.mean() / alone.mean() - 1)
    return found


def two(world: World, first: Sequence[Draw], correlation: float, seed: int) -> list[list[Draw]]:
    """Each group before a second judge as well, whose errors go with those of the first."""
    rng = np.random.default_rng(seed)

    def beside(errors: Array) -> Array:
        fresh = rng.standard_normal(errors.shape)
        return correlation * errors + np.sqrt(1 - correlation**2) * fresh

    pairs = []
    for one in first:
        own = beside((one.seen - one.quality) / world.item_sd)
        above = np.triu(beside(one.duel_noise), 1)
        second = Draw(
            one.number,
            one.quality,
            one.quality + world.item_sd * own,
            beside(one.score_noise),
            above - above.T,
        )
        pairs.append([one, second])
    return pairs


def _weights(world: World, correlation: float, seed: int) -> PanelWeights:
    pairs = two(world, draws(world, NUM_LABELS, seed + LABEL_SEED, size=2), correlation, seed + 2)
    members: dict[str, list[Opinion]] = {}
    for at, name in enumerate(NAMES):
        members[name] = labelled(world, [one[at] for one in pairs])
    return fit(members)


def _margins(world: World, pairs: list[list[Draw]], weights: PanelWeights) -> Array:
    """True margins of what one judge, or both as a panel, make of each group."""
    scales = {TASK: world.scale}

    def strategy(noise: Noise) -> Strategy:
        return strategy_of(Rank(), noise.on(world.scale))

    num = min(NUM_PILOT, max(len(pairs) // 4, 20))
    pilot = [_judged(world, one, strategy(Noise()), weights) for one in pairs[:num]]
    noise = fit_noise(pilot, scales=scales).task(TASK).noise
    rest = [_judged(world, one, strategy(noise), weights) for one in pairs[num:]]
    fitted = fit_noise([*pilot, *rest], scales=scales)
    ranked = Ranked([*pilot, *rest], fitted, strategy(fitted.task(TASK).noise))
    return true_margins(ranked, [one[0] for one in pairs])


def _judged(
    world: World, members: Sequence[Draw], strategy: Strategy, weights: PanelWeights
) -> Group:
    """A group as the strategy asks for it, of one judge or of a panel."""
    said = [said_of(world, one) for one in members]
    prompt = said[0][0]
    scale = Scale(world.scale.low, world.scale.high)

    def score_of(each: Sequence[Score]) -> Score:
        if len(each) == 1:
            return each[0]
        return fused_score(each, "panel@1", weights.task(TASK), [scale] * len(each), scale)

    def duel_of(each: Sequence[Duel]) -> Duel:
        return each[0] if len(each) == 1 else fused_duel(each, "panel@1", weights.task(TASK))

    scores = [score_of(each) for each in zip(*(one[1] for one in said), strict=True)]
    duels: list[Duel] = []
    while matches := strategy.plan(scores, duels):
        duels += [duel_of(each) for each in zip(*(one[2](matches) for one in said), strict=True)]
    candidates = candidates_of(prompt, len(scores))
    return Group(prompt, candidates, tuple(scores), tuple(duels))
