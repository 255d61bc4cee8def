"""Ranking: which duels to play, and what scores and duels together say about the order.

A strategy (`strategies`, `published`) plans matches until it has seen enough, then orders the
candidates; `fusion` makes the order of what was said, by `likelihood`; `noise` is how far a judge
can be trusted, and `fitting` finds it. `order` holds what they share.
"""

from factory.ranking.fitting import fit_noise
from factory.ranking.fusion import fuse, fuse_all, rankings
from factory.ranking.noise import FittedNoise, Noise, NoiseError, Scale, TaskNoise
from factory.ranking.order import Match, Order, Strategy, is_scored, scores_of
from factory.ranking.published import Pairwise, Paper
from factory.ranking.strategies import (
    ASKS,
    Bracket,
    ByTask,
    Duels,
    Pointwise,
    RandomPairs,
    Ring,
    RoundRobin,
    for_task,
    noise_of,
    order_all,
    plan_all,
    strategy_of,
)

__all__ = [
    "ASKS",
    "Bracket",
    "ByTask",
    "Duels",
    "FittedNoise",
    "Match",
    "Noise",
    "NoiseError",
    "Order",
    "Pairwise",
    "Paper",
    "Pointwise",
    "RandomPairs",
    "Ring",
    "RoundRobin",
    "Scale",
    "Strategy",
    "TaskNoise",
    "fit_noise",
    "for_task",
    "fuse",
    "fuse_all",
    "is_scored",
    "noise_of",
    "order_all",
    "plan_all",
    "rankings",
    "scores_of",
    "strategy_of",
]
