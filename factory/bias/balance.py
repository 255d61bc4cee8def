"""A balanced set of pairs with few rejections: chosen sides lead rejected ones by no more, on
average, than a limit in every attribute.

The correction takes a bias out of each statement; what is left here is what the pairs as a set
would teach. Rejecting is all that is done: nothing is re-weighted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from factory.intervals import Array


def to_reject(leads: Array, limit: float) -> npt.NDArray[np.bool_]:
    """Which pairs to reject so that every column's mean over the others is within ± `limit`.

    The worst column is put right first, by rejecting its largest values: no other choice brings
    one column's mean down to the limit with fewer. With several columns, or so few pairs that a
    single one carries the mean from one side of the limits to the other, more may be rejected than
    must be. NaN counts as no lead.

    Args:
        leads: attributes of the chosen side minus those of the rejected one, in standard
            deviations, [n, K].
        limit: at least 0, in standard deviations.
    """
    x = np.nan_to_num(np.asarray(leads, dtype=np.float64), nan=0.0)
    is_kept = np.ones(len(x), dtype=np.bool_)
    while is_kept.any() and x.shape[1]:
        means = x[is_kept].mean(axis=0)
        worst = int(np.argmax(np.abs(means)))
        if abs(means[worst]) <= limit:
            break
        kept = np.flatnonzero(is_kept)
        beyond = x[kept, worst] * np.sign(means[worst]) - limit
        largest_first = np.argsort(-beyond, kind="stable")
        # What is left to reject when the i largest are gone; not above zero once enough are.
        left = beyond.sum() - np.cumsum(beyond[largest_first])
        num = int(np.argmax(left <= 1e-12)) + 1
        is_kept[kept[largest_first[:num]]] = False
    return ~is_kept
