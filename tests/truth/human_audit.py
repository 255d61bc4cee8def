"""The human audit: how often its interval holds the truth, and what the judge's doubt saves.

A data set of 5,000 kept pairs in three slices. The judge's doubt of each follows from a simulated
margin in units of its sd. People prefer the chosen side of a pair with a probability that is a
sigmoid of that margin; its slope and place are found so that 0.8 of the pairs are right, and the
variance of the probabilities is the wanted share (0, 0.3, 0.7) of the answers' variance: the R² of
people's answers on doubt. The answers are drawn once for a data set; every audit draws 300 pairs by
the project's own probabilities and estimates the precision by its own functions.

coverage_low, coverage_moderate, coverage_high: share of audits whose 95 % interval holds the
    precision of all kept pairs, where doubt knows 0, 0.3 and 0.7 of the answers.
width_ratio_low, width_ratio_moderate, width_ratio_high: mean width of the interval over that of
    the estimate without predictions that was used until this one, from the same answers.
coverage_slices: the lowest of the three coverages of the smallest slice's precision.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, ndtr

from factory.human_audit.estimate import (
    NUM_CELLS,
    Known,
    cells_of,
    predict,
    weighted_share,
    wilson,
)
from factory.human_audit.sampling import draw, inclusion
from factory.statistics.intervals import Array, Interval

_NUM, _SIZE, _PRECISION = 5000, 300, 0.8
_KNOWS = {"low": 0.0, "moderate": 0.3, "high": 0.7}
_PER_SET = 10  # audits of one data set


def figures(replications: int, seed: int) -> dict[str, float]:
    """As the module says, from so many audits of each kind."""
    found: dict[str, float] = {}
    in_slices = []
    for name, share in _KNOWS.items():
        rng = np.random.default_rng([seed, round(10 * share)])
        covered, in_slice, widths, before = [], [], [], []
        for number in range(replications):
            if number % _PER_SET == 0:
                ids = rng.integers(0, 2**64, _NUM, dtype=np.uint64)
                slices = rng.choice([0, 0, 0, 0, 1, 1, 1, 2], _NUM)
                sure = np.abs(rng.normal(0.0, 1.5, _NUM))
                doubt = ndtr(-sure)
                truth = (rng.random(_NUM) < p_right(sure, share)).astype(np.float64)
                p = inclusion(doubt, slices, _SIZE, even_share=0.5)
                cells = cells_of(doubt)
                counts = np.bincount(cells, minlength=NUM_CELLS).astype(np.float64)
            looked = draw(ids, slices, p, int(rng.integers(2**32)))
            looked = looked[np.argsort(ids[looked])]
            one = weighted_share(truth[looked], p[looked], Known(cells[looked], counts))
            old = until_now(truth[looked], p[looked])
            covered.append(one.low <= truth.mean() <= one.high)
            widths.append(one.high - one.low)
            before.append(old.high - old.low)
            small = slices[looked] == 2
            there = np.bincount(cells[slices == 2], minlength=NUM_CELLS).astype(np.float64)
            learnt = predict(truth[looked], p[looked], cells[looked])
            part = weighted_share(
                truth[looked][small],
                p[looked][small],
                Known(cells[looked][small], there),
                None if learnt is None else learnt.take(small),
            )
            in_slice.append(part.low <= truth[slices == 2].mean() <= part.high)
        found[f"coverage_{name}"] = float(np.mean(covered))
        found[f"width_ratio_{name}"] = float(np.mean(widths) / np.mean(before))
        in_slices.append(float(np.mean(in_slice)))
    return found | {"coverage_slices": min(in_slices)}


def p_right(sure: Array, knows: float) -> Array:
    """The probability that people prefer the chosen side, [N], from its margin in sds, [N]."""
    if not knows:
        return np.full(len(sure), _PRECISION)

    def at(slope: float) -> Array:
        place = brentq(lambda x: expit(slope * (sure - x)).mean() - _PRECISION, -50, 50)
        return np.asarray(expit(slope * (sure - place)))

    wanted = knows * _PRECISION * (1 - _PRECISION)
    return at(brentq(lambda slope: at(slope).var() - wanted, 0.1, 60))


def until_now(hits: Array, p: Array) -> Interval:
    """The estimate that this one is measured by: never more answers than the weights leave."""
    weights = 1 / p
    total = weights.sum()
    share = float((weights * hits).sum() / total)
    parts = (weights * (hits - share)) ** 2 * (1 - p)
    variance = len(hits) / (len(hits) - 1) * float(parts.sum()) / total**2
    num = total**2 / float(((1 - p) * weights**2).sum())
    if variance > 0 and 0 < share < 1:
        num = min(num, share * (1 - share) / variance)
    return wilson(share, num) if len(hits) > 1 else Interval(math.nan)
