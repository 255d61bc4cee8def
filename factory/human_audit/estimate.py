"""The precision of a whole data set, from the answers about a sample of it.

The target is this data set and no other: its pairs are fixed, and what is random is which of them
were looked at. So the interval comes from the design and not from a model of prompts; pairs of one
prompt need no clustering, since each was drawn by its own probability.
"""

from __future__ import annotations

import math

import numpy as np

from factory.statistics.intervals import Array, Interval

_Z = 1.959964


def weighted_share(hits: Array, p: Array) -> Interval:
    """A share of the whole set, with a 95 % interval, from a sample with known probabilities.

    The estimate is the ratio of Horvitz & Thompson's totals (Hájek 1971). Its variance is that of
    a draw with independent inclusions, sum of (1 - p) w^2 (y - estimate)^2 over the square of sum
    w, which for a systematic draw in random order errs to the safe side. The interval is Wilson's
    with the number of independent answers that this variance stands for (Korn & Graubard 1998); so
    it stays between 0 and 1, and has a width where all answers are the same.

    Args:
        hits: 1 where the answer is yes, 0 where no; the mean of several people's where there are
            several, [n]. NaN where there is no answer: those are left out, as if whether there is
            one had nothing to do with what it would be.
        p: with which each was drawn, above 0, [n].
    """
    hits, p = np.asarray(hits, dtype=np.float64), np.asarray(p, dtype=np.float64)
    if not (p > 0).all():
        raise ValueError("an inclusion probability is not above 0: its pairs stand for no others")
    known = np.isfinite(hits)
    hits, p = hits[known], p[known]
    if not len(hits):
        return Interval(math.nan)
    weights = 1 / p
    total = weights.sum()
    share = float((weights * hits).sum() / total)
    if len(hits) < 2:
        return Interval(share)
    if (p >= 1).all():
        return Interval(share, share, share)  # everything was looked at
    correction = len(hits) / (len(hits) - 1)
    deviations = (weights * (hits - share)) ** 2 * (1 - p)
    variance = float(correction * deviations.sum() / total**2)
    # Where all answers agree, the variance says nothing: the spread of the weights alone does
    # (Kish 1965), with the pairs that were drawn for certain.
    num = total**2 / float(((1 - p) * weights**2).sum())
    if variance > 0:
        num = min(num, share * (1 - share) / variance) if 0 < share < 1 else num
    return wilson(share, num)


def wilson(share: float, num: float) -> Interval:
    """A share of `num` independent answers with Wilson's (1927) 95 % interval."""
    centre = (share + _Z**2 / (2 * num)) / (1 + _Z**2 / num)
    half = _Z * math.sqrt(share * (1 - share) / num + _Z**2 / (4 * num**2)) / (1 + _Z**2 / num)
    # Rounding must not push the ends past the share itself, which is one of them at 0 and at 1.
    return Interval(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)))
