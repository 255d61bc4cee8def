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

from factory.bias.observation import measure_candidate
from factory.filters.pictures import hash_of
from factory.filters.text import similarity
from factory.media.pictures import MediaError
from factory.statistics.intervals import Array, Interval, bootstrap_of_sums, mean_of_sums, ratio
from factory.statistics.metrics import attribute_drift, hash_share
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
    """Shift of each attribute's mean, in standard deviations of `base`, over the prompts of both.

    Brightness, saturation, contrast and sharpness of pictures; those and motion of clips; length of
    answers: as the bias profile has them. What cannot be read has none.
    """
    both = [prompt for prompt in base if prompt in new]
    before, after = (_measured({prompt: one[prompt] for prompt in both}) for one in (base, new))
    return attribute_drift(before, after, num_resamples, seed)


def _measured(outputs: Outputs) -> dict[str, list[tuple[str, float]]]:
    found: dict[str, list[tuple[str, float]]] = {}
    for prompt, candidates in outputs.items():
        for candidate in candidates:
            for name, value in measure_candidate(candidate).items():
                found.setdefault(name, []).append((prompt, value))
    return found


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
