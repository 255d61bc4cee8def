"""Slopes drawn towards zero by as much as all slopes of one judge say that chance has moved them.

A slope that is flagged was picked because it came out large, so its estimate is too large on
average, and a correction by it takes out more than the judge put in. With b_k the slopes of one way
of responding and s_k their standard errors,

    b_k ~ N(beta_k, s_k²)
    beta_k = 0 with probability 1 - w, else ~ N(0, tau²)
    E[beta_k | b_k] = P(beta_k is not 0 | b_k) b_k tau² / (tau² + s_k²)

with w and tau² where the b_k are most probable (empirical Bayes with a spike and a slab; Johnstone
& Silverman 2004, "Needles and straw in haystacks"). Most judges like next to nothing and one thing
much: a normal prior alone would take the many zeros for a reason to doubt the one. The mean is zero
and not that of the slopes: a liking of one attribute says nothing of the sign of another. Where all
slopes are no larger than their errors, they come out near zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy

from factory.statistics.intervals import NORMAL_95, Array, Interval

#: Where w and tau are looked for; tau as shares of the largest slope.
_WEIGHTS = np.linspace(0.02, 1.0, 50)
_SCALES = np.geomspace(0.02, 1.5, 80)


def shrunk(slopes: Sequence[float], errors: Sequence[float]) -> list[Interval | None]:
    """Each slope as it is expected to be, with 1.96 posterior standard deviations on either side.

    Args:
        slopes: estimates, NaN where there is none.
        errors: their standard errors, NaN where unknown.

    Returns:
        None where an estimate or its error is unknown: nothing should be taken out by it.
    """
    b, s = np.asarray(slopes, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    known = np.isfinite(b) & np.isfinite(s)
    found: list[Interval | None] = [None] * len(b)
    if known.any():
        means, sds = _posterior(b[known], np.maximum(s[known], np.finfo(float).tiny ** 0.25))
        for at, mean, sd in zip(np.flatnonzero(known), means.tolist(), sds.tolist(), strict=True):
            found[at] = Interval(mean, mean - NORMAL_95 * sd, mean + NORMAL_95 * sd)
    return found


def _posterior(b: Array, s: Array) -> tuple[Array, Array]:
    """Means and standard deviations of the betas, [K] each."""
    largest = float(np.abs(b).max())
    if largest == 0:
        return np.zeros_like(b), np.zeros_like(b)
    variances = (_SCALES * largest) ** 2
    none = _log_density(b, s * s)
    some = _log_density(b, s * s + variances[:, None])  # [T, K]
    odds = some - none
    # Of log(1 - w + w e^odds), sums over the slopes: [T, W].
    shares = _WEIGHTS[None, :, None]
    likely = np.logaddexp(
        np.log(shares) + odds[:, None, :],
        np.log1p(-shares, where=shares < 1, out=np.full_like(shares, -np.inf)),
    ).sum(axis=2)
    scale, weight = np.unravel_index(int(np.argmax(likely)), likely.shape)
    w, variance = float(_WEIGHTS[weight]), float(variances[scale])
    share = variance / (variance + s * s)
    prior = math.inf if w == 1 else math.log(w / (1 - w))
    p = scipy.special.expit(prior + odds[scale])
    mean, spread = share * b, share * s * s
    return p * mean, np.sqrt(p * (spread + mean**2) - (p * mean) ** 2)


def _log_density(b: Array, variance: Array) -> Array:
    """Of N(0, variance), but for what all have in common."""
    return np.asarray(-0.5 * (np.log(variance) + b * b / variance))
