"""How far preferences go along with an attribute of the media, such as brightness.

Every source of preferences takes one form: rows of (how far the first side is preferred, how the
sides differ in each attribute). Nothing changes when the two sides of a row are swapped, so lines
are fitted through the origin and correlations are not centred.

An association is not yet a bias: people may like bright pictures for good reasons. Only the
`excess` accuses a judge: its expected preference minus the label on the very same two sides, which
is zero on average, whatever the attribute, for a judge whose probabilities are right. Calibrate
first: an over-confident judge has an excess of everything that people value. Note too that the
duels of a bracket are no random pairs: candidates of like score meet more often, so slopes of duels
are not those of random pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from factory.bias.figure import Figure
from factory.statistics.intervals import Array, bootstrap_of_sums, jackknife_of_sums, ratio

Source = Literal["duels", "scores", "people", "excess"]
#: What a slope of each source means.
UNITS: dict[Source, str] = {
    "duels": "log-odds per sd",
    "scores": "points per sd",
    "people": "preference (-1 to 1) per sd",
    "excess": "preference (-1 to 1) per sd",
}


@dataclass(frozen=True)
class Comparisons:
    """Compared sides of one source.

    prompts: the prompt of each row, length n.
    leads: how far the first side is preferred, in the source's unit, [n].
    differences: attributes of the first side minus those of the second, in standard deviations
        over the candidates of a prompt, [n, K].
    """

    source: Source
    prompts: Sequence[str]
    leads: Array
    differences: Array


def associate(
    rows: Comparisons,
    names: Sequence[str],
    margin: float = 0.0,
    num_resamples: int = 1000,
    seed: int = 0,
) -> list[Figure]:
    """The slope of preference over each attribute, clustered by prompt; its correlation in a note.

    Args:
        rows: of one source.
        names: of the attributes, length K.
        margin: slopes up to this are no bias; for the excess alone, which is tested.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    y = rows.leads
    found = []
    for name, x in zip(names, rows.differences.T, strict=True):
        terms = np.stack([x * y, x * x, y * y], axis=1)
        slope = bootstrap_of_sums(terms, rows.prompts, _slope, num_resamples, seed)
        correlation = float(_correlation(terms.sum(axis=0, keepdims=True))[0])
        p_value = math.nan
        if rows.source == "excess":
            p_value = jackknife_of_sums(terms, rows.prompts, _slope).p_beyond(margin)
        found.append(
            Figure(
                "association",
                name,
                f"slope of {rows.source}",
                UNITS[rows.source],
                slope,
                len(y),
                p_value=p_value,
                note=f"correlation {correlation:.2f}",
            )
        )
    return found


def _slope(sums: Array) -> Array:
    return ratio(sums[:, 0], sums[:, 1])


def _correlation(sums: Array) -> Array:
    return ratio(sums[:, 0], np.sqrt(sums[:, 1] * sums[:, 2]))
