"""What else changes from champion to challenger: what their outputs are like, and how varied.

A policy that has learned a judge's taste rather than the prompt gives itself away by its colours
and its sharpness, or by the length of its answers; and one that has learned a single trick by
drawing the same picture again and again. Nothing here asks a judge. Every figure has an interval
clustered by prompt.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from factory.bias.observation import RARE, measure_candidate
from factory.filters.pictures import hash_of
from factory.filters.text import similarity
from factory.media.pictures import MediaError
from factory.statistics.intervals import Array, Interval, bootstrap_of_sums, mean_of_sums, ratio
from factory.statistics.metrics import hash_share
from schemas.rows import Candidate

#: The outputs of one model by prompt.
Outputs = Mapping[str, Sequence[Candidate]]


@dataclass(frozen=True)
class Diversity:
    """How far apart two outputs for one prompt are, averaged over prompts.

    champion, challenger: mean distance, 0 to 1: share of differing bits of the perceptual hashes,
        or one minus the similarity of two answers.
    kept: the second as a share of the first.
    num: prompts with two outputs of each.
    """

    champion: Interval
    challenger: Interval
    kept: Interval
    num: int


def drift(
    base: Outputs, new: Outputs, num_resamples: int = 1000, seed: int = 0
) -> dict[str, Interval]:
    """Mean shift of each attribute from twin to twin, over the prompts of both, in standard
    deviations of what `base` draws for one prompt (Cohen's d, with the spread that is no matter of
    what was asked for). With one output a prompt that spread is not known, and the one of all its
    outputs takes its place, which is the larger: the shift then looks smaller.

    Brightness, saturation, contrast and sharpness of pictures; those and motion of clips; length of
    answers: as the bias profile has them, but for `RARE`. What cannot be read has none. It is
    infinite where the base does not vary and the mean has moved, and has no interval then.

    Args:
        base: outputs by prompt; those of one prompt in the order of their noise.
        new: likewise, from equal noise.
        num_resamples: of the bootstrap, clustered by prompt.
        seed: of the bootstrap.
    """
    found: dict[str, list[tuple[str, Array, Array]]] = {}
    for prompt in (one for one in base if one in new):
        before, after = ([measure_candidate(one) for one in side[prompt]] for side in (base, new))
        for name in dict.fromkeys(name for one in before for name in one if name != RARE):
            old, now = (
                np.array([one.get(name, math.nan) for one in side]) for side in (before, after)
            )
            num = min(len(old), len(now))
            found.setdefault(name, []).append((prompt, old, now[:num] - old[:num]))
    return {name: _drift(rows, num_resamples, seed) for name, rows in found.items()}


def _drift(rows: Sequence[tuple[str, Array, Array]], num_resamples: int, seed: int) -> Interval:
    """Of rows of (prompt, values of the base [N], differences of twins [N])."""
    every = np.concatenate([old for _, old, _ in rows])
    middle, prompts, terms = float(np.nanmean(every)), [], []
    is_within = any(np.isfinite(old).sum() > 1 for _, old, _ in rows)
    for prompt, old, gaps in rows:
        old, gaps = old[np.isfinite(old)] - middle, gaps[np.isfinite(gaps)]
        squares, free = float((old**2).sum()), float(len(old))
        if is_within:
            squares, free = float(((old - old.mean()) ** 2).sum()), len(old) - 1.0
        terms.append((gaps.sum(), len(gaps), squares, free, old.sum()))
        prompts.append(prompt)
    table = np.array(terms, dtype=np.float64)
    if not table[:, 1].sum():
        return Interval(math.nan)

    def shift_in_sds(sums: Array) -> Array:
        mean, variance = ratio(sums[:, 0], sums[:, 1]), ratio(sums[:, 2], sums[:, 3])
        if not is_within:  # around the mean, which differs from resample to resample
            around = sums[:, 2] - ratio(sums[:, 4] ** 2, sums[:, 3])
            variance = ratio(np.maximum(around, 0), np.maximum(sums[:, 3] - 1, 0))
        return ratio(mean, np.sqrt(variance))

    total = table.sum(axis=0)
    if not np.isfinite(shift_in_sds(total[None])[0]):
        shift = float(total[0] / total[1])
        return Interval(math.copysign(math.inf, shift) if shift else 0.0)
    return bootstrap_of_sums(table, prompts, shift_in_sds, num_resamples, seed)


def diversity(
    champion: Outputs, challenger: Outputs, num_resamples: int = 1000, seed: int = 0
) -> Diversity | None:
    """Compare how varied two models are on the prompts of both; None where no prompt has two
    readable outputs of each, as with one picture a prompt.
    """
    terms, prompts = [], []
    for prompt in champion:
        spreads = [_spread(side.get(prompt, ())) for side in (champion, challenger)]
        if all(math.isfinite(one) for one in spreads):
            terms.append((*spreads, 1.0))
            prompts.append(prompt)
    if not terms:
        return None
    table = np.array(terms)
    boot = {"num_resamples": num_resamples, "seed": seed}

    def kept(sums: Array) -> Array:
        return ratio(sums[:, 1], sums[:, 0])

    before, after = (
        bootstrap_of_sums(table[:, [column, 2]], prompts, mean_of_sums, **boot)
        for column in range(2)
    )
    return Diversity(before, after, bootstrap_of_sums(table, prompts, kept, **boot), len(prompts))


def _spread(candidates: Sequence[Candidate]) -> float:
    """Mean distance of two outputs for one prompt; NaN for fewer than two that can be read."""
    if candidates and candidates[0].answer is not None:
        answers = [one.answer for one in candidates if one.answer is not None]
        gaps = [1 - similarity(one, other) for one, other in itertools.combinations(answers, 2)]
        return fmean(gaps) if gaps else math.nan
    hashes = []
    for candidate in candidates:
        try:
            hashes.append(hash_of(candidate))
        except MediaError:
            continue
    gaps = [hash_share(one, other) for one, other in itertools.combinations(hashes, 2)]
    return fmean(gaps) if gaps else math.nan
