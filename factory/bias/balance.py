"""A balanced set of pairs: chosen sides lead rejected ones by no more, on average, than a limit in
every attribute.

The correction takes a bias out of each statement; what is left here is what the pairs as a set
would teach. There are two ways to the same target. `to_reject` leaves out few pairs, and the others
count as before. `to_weigh` leaves out next to none, and those that lead the most count for less.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy

from factory.statistics.intervals import Array


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


def to_weigh(leads: Array, limit: float) -> Array:
    """The weights from 0 to 1, nearest to 1, with every column's weighted mean within ± `limit`.

    Minimises sum (1 - w)^2 / 2 subject to sum w (x_k - limit) <= 0 and sum w (-x_k - limit) <= 0
    for each column k, 0 <= w <= 1. With a the coefficients of w and m >= 0 the multipliers, the
    best weights are w = clip(1 - a m, 0, 1), so that only as many numbers are searched for as there
    are limits, however many pairs (the dual is concave). Where all pairs lead one way there is no
    balance to be had and every weight is 0. NaN counts as no lead.

    Args:
        leads: as in `to_reject`, [n, K].
        limit: at least 0, in standard deviations.
    """
    x = np.nan_to_num(np.asarray(leads, dtype=np.float64), nan=0.0)
    num = len(x)
    if not x.size:
        return np.ones(num)
    a = np.concatenate([x - limit, -x - limit], axis=1)

    def negative_dual(m: Array) -> tuple[float, Array]:
        w = np.clip(1 - a @ m, 0, 1)
        value = ((1 - w) ** 2 / 2 + w * (a @ m)).sum()
        return float(-value / num), np.asarray(-(w @ a) / num)

    found = scipy.optimize.minimize(
        negative_dual,
        np.zeros(a.shape[1]),
        jac=True,
        bounds=[(0, None)] * a.shape[1],
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 1000},
    )
    return np.asarray(np.clip(1 - a @ found.x, 0, 1))
