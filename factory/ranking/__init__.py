"""Ranking: which duels to play, and what scores and duels together say about the order.

A strategy (`strategies`, `published`) plans matches until it has seen enough, then orders the
candidates; `fusion` is the statistics behind the order; `order` holds what they share.
"""

from factory.ranking.fusion import davidson, fuse, least_squares
from factory.ranking.order import Match, Noise, Order, Strategy, is_scored, scores_of
from factory.ranking.published import Pairwise, Paper
from factory.ranking.strategies import (
    ASKS,
    Bracket,
    Duels,
    Pointwise,
    RandomPairs,
    Ring,
    RoundRobin,
    strategy_of,
)

__all__ = [
    "ASKS",
    "Bracket",
    "Duels",
    "Match",
    "Noise",
    "Order",
    "Pairwise",
    "Paper",
    "Pointwise",
    "RandomPairs",
    "Ring",
    "RoundRobin",
    "Strategy",
    "davidson",
    "fuse",
    "is_scored",
    "least_squares",
    "scores_of",
    "strategy_of",
]
