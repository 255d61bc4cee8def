"""Spearman's correlation of what could be read, for the benchmarks."""

from collections.abc import Sequence

from scipy.stats import spearmanr


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Rank correlation without the rows in which either is NaN; NaN where one side is constant."""
    return float(spearmanr(x, y, nan_policy="omit").statistic)
