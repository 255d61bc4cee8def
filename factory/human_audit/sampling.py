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

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import scipy

from factory.ids import Ids
from factory.statistics.intervals import Array

Codes = npt.NDArray[np.integer]

_SHARE_POWER = 0.5  # of a slice's size: power allocation (Bankier 1988)
_AT_ONCE = 2**16  # pairs
_PORTION = 2**17  # pairs that are put in order together, unless there are very many
_MAX_PORTIONS = 64  # each is one look at all ids


def doubts(
    margin: Array,
    margin_sd: Array,
    p_chosen: Array,
    score_margin: Array,
    is_flipped: npt.NDArray[np.bool_],
    margin_before: Array | None = None,
) -> Array:
    """How probable it is, by the judge's own statements, that a pair is the wrong way round: [N].

    The least sure statement counts: the margin with its spread, or the duel. Where two statements
    contradict each other (scores against order, one order of showing against the other, the margin
    before a bias was taken out against the one after), or where there is none, nothing is known and
    the doubt is one half.

    All arguments are the columns of pairs of that name, [N]; NaN is what was not measured.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        by_margin = scipy.special.ndtr(-margin / margin_sd)
    found = np.fmax(by_margin, 1 - p_chosen)  # fmax: the known one where one is NaN
    is_contradicted = is_flipped | (score_margin < 0)
    if margin_before is not None:
        is_contradicted = is_contradicted | (margin_before * margin < 0)
    found = np.where(is_contradicted, np.fmax(found, 0.5), found)
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
    num = int(slices.max()) + 1
    numbers, spreads = np.zeros(num), np.zeros(num)
    for at in _blocks(len(doubt)):
        numbers += np.bincount(slices[at], minlength=num)
        spreads += np.bincount(slices[at], weights=_spread(doubt[at]), minlength=num)
    share = np.where(numbers > 0, numbers**_SHARE_POWER, 0.0)
    part = share / share.sum()
    weights = np.empty(len(doubt))
    for at in _blocks(len(doubt)):
        slice_of = slices[at]
        even = 1 / numbers[slice_of]
        all_of = spreads[slice_of]
        own = np.divide(_spread(doubt[at]), all_of, out=even.copy(), where=all_of > 0)
        weights[at] = part[slice_of] * (even_share * even + (1 - even_share) * own)
    return _capped(weights, size)


def _spread(doubt: Array) -> Array:
    """Of a yes-or-no answer with this probability: the best sizes for an estimate of a share."""
    return np.sqrt(np.clip(doubt * (1 - doubt), 0, None))


def _capped(weights: Array, size: int) -> Array:
    """Probabilities in proportion to the weights, none above 1, that sum to `size`; written over
    the weights.
    """
    certain = np.zeros(len(weights), dtype=np.bool_)
    while True:
        scale = (size - certain.sum()) / weights.sum(where=~certain)
        above = (weights > 1 / scale) & ~certain
        if not above.any():
            weights *= scale
            weights[certain] = 1.0
            return weights
        certain |= above


def draw(pair_ids: Ids, slices: Codes, p: Array, seed: int) -> Codes:
    """The positions of the drawn pairs, in ascending order.

    The random order is gone through in portions, all slices side by side: where the probabilities
    of a slice begin is known from the sums of those before it. So few numbers are held at a time,
    however many pairs there are.

    Args:
        pair_ids: as 64-bit numbers, [N], in any order.
        slices: code of each pair's slice, [N]; it must not depend on the order of the rows.
        p: inclusion probabilities, [N].
        seed: another seed gives another sample.
    """
    if not len(p):
        return np.empty(0, dtype=np.int64)
    num = int(slices.max()) + 1
    sums = np.zeros(num)
    for at in _blocks(len(p)):
        sums += np.bincount(slices[at], weights=p[at], minlength=num)
    reached = np.concatenate([[0.0], np.cumsum(sums)[:-1]])
    start = float(np.random.default_rng(seed).random())
    drawn = []
    for portion in _portions(pair_ids, seed):
        order = portion[np.lexsort((_mixed(pair_ids[portion], seed), slices[portion]))]
        if not len(order):
            continue
        slice_of, steps = slices[order], p[order]
        ends = np.append(np.flatnonzero(np.diff(slice_of)), len(order) - 1)
        begins = np.append(0, ends[:-1] + 1)
        total = np.cumsum(steps)
        here = reached[slice_of[begins]] - (total[begins] - steps[begins])
        reached_by = total + np.repeat(here, ends - begins + 1)
        before = np.append(0.0, reached_by[:-1])
        before[begins] = reached[slice_of[begins]]
        reached[slice_of[ends]] = reached_by[ends]
        # Rounded, so that the last bits of a long sum neither add a pair nor lose one.
        is_drawn = np.floor(np.round(reached_by, 9) + start) > np.floor(np.round(before, 9) + start)
        drawn.append(order[is_drawn])
    return np.sort(np.concatenate(drawn))


def _portions(ids: Ids, seed: int) -> Iterator[Codes]:
    """The places of ids in portions that follow each other in the random order."""
    num = min(max(1, len(ids) // _PORTION), _MAX_PORTIONS)
    for number in range(num):
        found = []
        for at in _blocks(len(ids)):
            high = _mixed(ids[at], seed) >> np.uint64(32)
            mine = np.flatnonzero((high * np.uint64(num)) >> np.uint64(32) == number)
            found.append(mine + at.start)
        yield np.concatenate(found)


def _blocks(num: int) -> Iterator[slice]:
    return (slice(at, min(at + _AT_ONCE, num)) for at in range(0, num, _AT_ONCE))


def _mixed(ids: Ids, seed: int) -> Ids:
    """A random order of ids for each seed: the finaliser of SplitMix64 (Steele et al. 2014)."""
    mixed = ids ^ np.uint64(seed % 2**64)
    with np.errstate(over="ignore"):
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)
