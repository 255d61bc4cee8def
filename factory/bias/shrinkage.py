"""Slopes drawn towards zero by as much as all slopes of one judge say that chance has moved them.

A slope that is flagged was picked because it came out large, so its estimate is too large on
average, and a correction by it takes out more than the judge put in. With b_k the slopes of one way
of responding and s_k their standard errors,

    b_k ~ N(beta_k, s_k²),  beta_k ~ N(0, tau²),  E[beta_k | b_k] = b_k tau² / (tau² + s_k²)

with tau² where the b_k are most probable (empirical Bayes; Efron & Morris 1975, Morris 1983). The
mean is zero and not that of the slopes: a judge's liking of one attribute says nothing of the sign
of another. Where all slopes are no larger than their errors, tau² is zero and so are they.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar

from factory.statistics.intervals import Interval

_NORMAL_95 = 1.959964


def shrunk(slopes: Sequence[float], errors: Sequence[float]) -> list[Interval | None]:
    """Each slope as it is expected to be, with its 95 % interval given tau².

    Args:
        slopes: estimates, NaN where there is none.
        errors: their standard errors, NaN where unknown.

    Returns:
        None where an estimate or its error is unknown: nothing should be taken out by it.
    """
    b, s = np.asarray(slopes, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    known = np.isfinite(b) & np.isfinite(s)
    spread = _spread(b[known], s[known])
    found: list[Interval | None] = []
    for value, error, is_known in zip(b.tolist(), s.tolist(), known.tolist(), strict=True):
        if not is_known:
            found.append(None)
            continue
        share = spread / (spread + error * error) if spread > 0 else 0.0
        half = _NORMAL_95 * math.sqrt(share) * error  # the posterior's variance is share · s²
        found.append(Interval(share * value, share * value - half, share * value + half))
    return found


def _spread(b: np.ndarray, s: np.ndarray) -> float:
    """tau² of the largest marginal likelihood."""
    largest = float(np.max(b * b, initial=0.0))
    if largest == 0.0:
        return 0.0

    def loss(spread: float) -> float:
        variance = np.maximum(spread + s * s, np.finfo(float).tiny)
        return float((np.log(variance) + b * b / variance).sum())

    found = float(minimize_scalar(loss, bounds=(0.0, largest), method="bounded").x)
    return found if loss(found) < loss(0.0) else 0.0
