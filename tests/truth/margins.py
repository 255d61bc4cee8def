"""Margins and P(right) that the order claims, beside true quality.

The default strategy on groups of eight (`tests.truth.judged`), noise fitted to them, and the
judge's own error to 500 labels of pairs of other prompts. Everything is counted over all prompts.

margin_coverage_95: share of best-and-worst pairs whose true margin lies within 1.96 of the claimed
    standard deviations of the claimed margin.
sure_gap: over neighbours in the order that are claimed with 0.9 or more, the mean claim less the
    share that is right.
ece: over all pairs, told from the side that is ahead, the expected calibration error of P(right) in
    ten bins of equal width from 0.5 to 1.
"""

import itertools

import numpy as np

from factory.ranking import strategy_of
from schemas.recipe import Rank
from tests.truth.judged import NUM_LABELS, World, draws, labelled, ranked

LABEL_SEED = 1_000_003


def figures(replications: int, seed: int) -> dict[str, float]:
    """A replication is a prompt."""
    world = World()
    drawn = draws(world, replications, seed)
    labels = labelled(world, draws(world, NUM_LABELS, seed + LABEL_SEED, size=2))
    found = ranked(world, drawn, lambda noise: strategy_of(Rank(), noise), labels)
    covered, sure, claims = [], [], []
    points = world.share * world.scale.unit
    for order, one in zip(found.orders, drawn, strict=True):
        ranking = order.ranking
        best, worst = ranking[0], ranking[-1]
        error = order.margin(best, worst) - points * (one.quality[best] - one.quality[worst])
        covered.append(abs(error) <= 1.96 * order.difference_sd(best, worst))
        sure += [
            (order.p_right(i, j), one.quality[i] > one.quality[j])
            for i, j in itertools.pairwise(ranking)
            if order.p_right(i, j) >= 0.9
        ]
        for i, j in itertools.combinations(range(len(ranking)), 2):
            ahead, behind = (i, j) if order.margin(i, j) >= 0 else (j, i)
            claims.append((order.p_right(ahead, behind), one.quality[ahead] > one.quality[behind]))
    claimed, right = np.array(claims, dtype=float).T
    bins = np.minimum(((claimed - 0.5) * 20).astype(int), 9)
    gaps = [abs(float((claimed - right)[bins == each].sum())) for each in range(10)]
    sure_claimed, sure_right = np.array(sure, dtype=float).T
    return {
        "margin_coverage_95": float(np.mean(covered)),
        "sure_gap": float((sure_claimed - sure_right).mean()),
        "ece": sum(gaps) / len(claimed),
    }
