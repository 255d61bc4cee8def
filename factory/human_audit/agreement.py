"""How far people agree with the judge and with each other, beyond what chance gives.

Both figures are functions of sums over pairs, so their intervals come from the bootstrap that
everything else uses, clustered by prompt. An answer that is missing is left out.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np

from factory.statistics.intervals import Array, Interval, bootstrap_of_sums, ratio
from schemas.rows import Preference

ANSWERS: tuple[Preference, ...] = ("first", "second", "tie")
_K = len(ANSWERS)


def cohens_kappa(
    one: Sequence[Preference],
    other: Sequence[Preference],
    clusters: Sequence[str],
    weights: Sequence[float] | Array | None = None,
    num_resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Agreement of two raters on the same pairs: (observed - expected) / (1 - expected).

    Cohen 1960, unweighted categories. 1 is agreement throughout and 0 what chance gives; NaN where
    both always say the same one thing.

    Args:
        one: what one rater says of each pair, [n].
        other: what the other says.
        clusters: the prompt of each, [n].
        weights: how many pairs each stands for, [n]: one over its probability of being drawn.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    if not len(one) == len(other):
        raise ValueError(f"{len(one)} answers of one rater but {len(other)} of the other")
    terms = np.zeros((len(one), _K * _K))
    for row, (left, right) in enumerate(zip(one, other, strict=True)):
        terms[row, _K * ANSWERS.index(left) + ANSWERS.index(right)] = 1.0
    if weights is not None:
        terms *= np.asarray(weights, dtype=np.float64)[:, None]
    return bootstrap_of_sums(terms, clusters, _kappa, num_resamples, seed)


def _kappa(sums: Array) -> Array:
    counts = sums.reshape(-1, _K, _K)
    total = counts.sum(axis=(1, 2))
    observed = ratio(np.trace(counts, axis1=1, axis2=2), total)
    expected = ratio((counts.sum(axis=2) * counts.sum(axis=1)).sum(axis=1), total**2)
    return ratio(observed - expected, 1 - expected)


def krippendorffs_alpha(
    units: Sequence[Sequence[Preference]],
    clusters: Sequence[str],
    weights: Sequence[float] | Array | None = None,
    num_resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Agreement of any number of raters, some of whom may have left pairs out.

    Krippendorff 2011, nominal data: 1 - observed / expected disagreement, from the coincidences of
    answers within units. A unit with one answer says nothing about agreement and is left out. With
    weights the coincidences of a unit count so many times, as those of a kappa do; the correction
    for few answers (n - 1 where n would be) stays that of the answers that were given.

    Args:
        units: the answers about each pair, whoever gave them, [n].
        clusters: the prompt of each, [n].
        weights: how many pairs each stands for, [n]: one over its probability of being drawn.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    terms, kept = [], []
    counted = [1.0] * len(units) if weights is None else weights
    for answers, cluster, weight in zip(units, clusters, counted, strict=True):
        if len(answers) < 2:
            continue
        coincidences = np.zeros((_K, _K))
        counts = Counter(answers)
        for left, right in itertools.product(ANSWERS, repeat=2):
            num = counts[left] * (counts[right] - (left == right))
            coincidences[ANSWERS.index(left), ANSWERS.index(right)] = num / (len(answers) - 1)
        terms.append(np.append(weight * coincidences.ravel(), len(answers)))
        kept.append(cluster)
    return bootstrap_of_sums(
        np.array(terms).reshape(-1, _K * _K + 1), kept, _alpha, num_resamples, seed
    )


def _alpha(sums: Array) -> Array:
    counts, num = sums[:, :-1].reshape(-1, _K, _K), sums[:, -1]
    by_answer = counts.sum(axis=2)
    total = by_answer.sum(axis=1)
    observed = ratio(total - np.trace(counts, axis1=1, axis2=2), total)
    by_chance = 1 - ratio((by_answer**2).sum(axis=1), total**2)
    return 1 - ratio(observed * ratio(num - 1, num), by_chance)
