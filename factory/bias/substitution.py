"""What probes without a dose say: blank media, media of another prompt, and twin prompts."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from factory.bias.figure import Figure, Relevance
from factory.bias.probes import Probe
from factory.statistics.intervals import Array, bootstrap_of_sums, jackknife_of_sums, mean_of_sums

#: Of a figure that does not accuse.
ONE_WORD = "media of one word only: holds their misfit too"


def unseen_figures(
    probes: Iterable[Probe], relevance: Relevance, num_resamples: int = 1000, seed: int = 0
) -> list[Figure]:
    """How far the score drops for blank media, and for those of another prompt.

    Here the bias is what does *not* happen: a judge that looks must drop by more than what matters.
    """
    found = []
    every = list(probes)
    for kind, name in (("blank", "blank media"), ("swapped", "media of another prompt")):
        asked = [one for one in every if one.kind == kind]
        read = [one for one in asked if math.isfinite(one.shift)]
        if not asked:
            continue
        prompts = [one.prompt_id for one in read]
        drops = np.array([[-one.shift, 1.0] for one in read]).reshape(len(read), 2)
        found.append(
            Figure(
                "neglect",
                name,
                "drop of scores",
                "points",
                bootstrap_of_sums(drops, prompts, mean_of_sums, num_resamples, seed),
                len(read),
                len(asked) - len(read),
                p_value=jackknife_of_sums(drops, prompts, mean_of_sums).p_below(relevance.points),
            )
        )
    return found


def twin_figures(
    probes: Iterable[Probe], relevance: Relevance, num_resamples: int = 1000, seed: int = 0
) -> list[Figure]:
    """What the second word of each twins adds to a score in the place of the first.

    Media made for the first word fits the second less, so its score falls for a good reason; for
    media made for the second word it rises by the same reason. The mean of the two is free of it.
    With media of one side alone it is not, and then the figure does not accuse.
    """
    found = []
    every = [one for one in probes if one.kind == "twin"]
    for name in dict.fromkeys(one.name for one in every):
        asked = [one for one in every if one.name == name]
        read = [one for one in asked if math.isfinite(one.shift)]
        prompts = [one.prompt_id for one in read]
        sides = sorted({one.dose for one in read})
        terms = np.array(
            [
                [value * (one.dose == side) for side in sides for value in (one.shift, 1.0)]
                for one in read
            ]
        ).reshape(len(read), 2 * len(sides))
        both = len(sides) == 2
        p_value = math.nan
        if both:
            p_value = jackknife_of_sums(terms, prompts, _mean_of_means).p_beyond(relevance.points)
        found.append(
            Figure(
                "twin",
                name,
                "second word for the first",
                "points",
                bootstrap_of_sums(terms, prompts, _mean_of_means, num_resamples, seed),
                len(read),
                len(asked) - len(read),
                p_value=p_value,
                note="" if both else ONE_WORD,
            )
        )
    return found


def _mean_of_means(sums: Array) -> Array:
    """The mean over sides of each side's mean, from sums of (value, 1) for each side."""
    means = [mean_of_sums(sums[:, at : at + 2]) for at in range(0, sums.shape[1], 2)]
    return np.asarray(sum(means) / len(means)) if means else np.full(len(sums), math.nan)
