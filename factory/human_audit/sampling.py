"""Which kept pairs people look at: a probability sample, denser where the judge is in doubt.

Every pair has a known probability of being drawn, and none has zero, so a few hundred answers
estimate the precision of the whole data set (`estimate`). The probabilities follow the doubt that
the judge's own statements leave, which makes the estimate sharper where they mean something and
costs little where they mean nothing, since a part of the sample is spread evenly. Slices share the
sample by the square root of their sizes, so a small one is seen too.

The draw is systematic with unequal probabilities (Madow 1949): one random start on the cumulative
probabilities, pairs in a random order within their slice. The probabilities are then exact, the
size of the sample is fixed, and each slice gets its share up to one pair. Order and start are
functions of ids and seed, so the same data set gives the same sample.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from factory.intervals import Array

Codes = npt.NDArray[np.int64]
Ids = npt.NDArray[np.uint64]

_SHARE_POWER = 0.5  # of a slice's size: power allocation (Bankier 1988)


def doubts(
    margin: Array,
    margin_sd: Array,
    p_chosen: Array,
    score_margin: Array,
    is_flipped: npt.NDArray[np.bool_],
) -> Array:
    """How probable it is, by the judge's own statements, that a pair is the wrong way round: [N].

    The least sure statement counts: the margin with its spread, or the duel. Where two statements
    contradict each other (scores against order, one order of showing against the other), or where
    there is none, nothing is known and the doubt is one half.

    All arguments are the columns of pairs of that name, [N]; NaN is what was not measured.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        by_margin = ndtr(-margin / margin_sd)
    found = np.fmax(by_margin, 1 - p_chosen)  # fmax: the known one where one is NaN
    found = np.where(is_flipped | (score_margin < 0), np.fmax(found, 0.5), found)
    return np.asarray(np.where(np.isnan(found), 0.5, found), dtype=np.float64)


def inclusion(doubt: Array, slices: Codes, size: int, even_share: float) -> Array:
    """The probability with which each pair is drawn, [N]; they sum to `size`, or all are 1.

    Args:
        doubt: of each pair, [N].
        slices: code of its slice, [N], from 0.
        size: pairs to draw.
        even_share: share of a slice's part of the sample that ignores the doubt, above 0. No pair's
            probability is lower than this share of an even draw's.
    """
    if not 0 < even_share <= 1:
        raise ValueError(f"even_share {even_share}: above 0 and at most 1")
    if size >= len(doubt):
        return np.ones(len(doubt))
    # Of a yes-or-no answer with this probability: the best sizes for an estimate of a share.
    spread = np.sqrt(np.clip(doubt * (1 - doubt), 0, None))
    numbers = np.bincount(slices).astype(np.float64)
    spreads = np.bincount(slices, weights=spread)
    even = 1 / numbers[slices]
    own = np.divide(spread, spreads[slices], out=even.copy(), where=spreads[slices] > 0)
    share = numbers[numbers > 0] ** _SHARE_POWER
    part = np.zeros(len(numbers))
    part[numbers > 0] = share / share.sum()
    weights = part[slices] * (even_share * even + (1 - even_share) * own)
    return _capped(weights, size)


def _capped(weights: Array, size: int) -> Array:
    """Probabilities in proportion to the weights, none above 1, that sum to `size`."""
    p = np.zeros(len(weights))
    certain = np.zeros(len(weights), dtype=np.bool_)
    while True:
        free = ~certain
        p[free] = weights[free] * ((size - certain.sum()) / weights[free].sum())
        p[certain] = 1.0
        above = free & (p > 1)
        if not above.any():
            return p
        certain |= above


def draw(pair_ids: Ids, slices: Codes, p: Array, seed: int) -> Codes:
    """The positions of the drawn pairs, in ascending order.

    Args:
        pair_ids: as 64-bit numbers, [N], in any order.
        slices: code of each pair's slice, [N]; it must not depend on the order of the rows.
        p: inclusion probabilities, [N].
        seed: another seed gives another sample.
    """
    if not len(p):
        return np.empty(0, dtype=np.int64)
    order = np.lexsort((pair_ids, _mixed(pair_ids, seed), slices))
    start = float(np.random.default_rng(seed).random())
    # Rounded, so that the last bits of a long sum neither add a pair nor lose one.
    steps = np.floor(np.round(np.cumsum(p[order]), 9) + start)
    is_drawn = np.diff(steps, prepend=0.0) > 0  # floor(start) is 0
    return np.sort(order[is_drawn])


def _mixed(ids: Ids, seed: int) -> Ids:
    """A random order of ids for each seed: the finaliser of SplitMix64 (Steele et al. 2014)."""
    mixed = ids ^ np.uint64(seed % 2**64)
    with np.errstate(over="ignore"):
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)
