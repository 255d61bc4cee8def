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

Where the sides of few prompts differ in an attribute (words in a picture, say), the excess along it
would be told from these few, however many labels there are. Below `MIN_DIFFERING` it is not
measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from factory.bias.figure import Figure
from factory.bias.observation import RARE
from factory.statistics.intervals import (
    Array,
    Interval,
    bootstrap_of_clusters,
    jackknife_of_clusters,
    ratio,
    sums_of_clusters,
)

Source = Literal["duels", "scores", "people", "excess"]
#: What a slope of each source means.
UNITS: dict[Source, str] = {
    "duels": "log-odds per sd",
    "scores": "points per sd",
    "people": "preference (-1 to 1) per sd",
    "excess": "preference (-1 to 1) per sd",
}
#: The excess along an attribute is measured where the sides of so many prompts differ in it.
MIN_DIFFERING = 10


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Compared sides of one source, as sums by prompt.

    num: rows of (how far the first side is preferred, y; how the sides differ in an attribute in
        standard deviations over the candidates of a prompt, x).
    sums: of x y, x² and y² for each of K attributes, [P, K, 3].
    """

    source: Source
    num: int
    sums: Array

    @classmethod
    def of(
        cls, source: Source, prompts: Sequence[str], leads: Array, differences: Array
    ) -> Comparisons:
        """Comparisons of rows.

        Args:
            source: of the preferences.
            prompts: the prompt of each row, length n.
            leads: y, in the source's unit, [n].
            differences: x, [n, K].
        """
        x, y = differences, np.broadcast_to(leads[:, None], differences.shape)
        terms = np.stack([x * y, x * x, y * y], axis=2)
        sums = sums_of_clusters(terms.reshape(len(leads), 3 * x.shape[1]), prompts)
        return cls(source, len(leads), sums.reshape(len(sums), x.shape[1], 3))

    def num_differing(self, at: int) -> int:
        """Prompts of which two sides differ in the attribute at this place."""
        return int(np.count_nonzero(self.sums[:, at, 1]))

    def is_too_few(self, at: int) -> bool:
        """Whether the attribute at this place would accuse a judge by too few prompts."""
        return self.source == "excess" and self.num_differing(at) < MIN_DIFFERING


def too_few(name: str, num: int) -> str:
    """Why the excess along an attribute is not measured."""
    return (
        f"sides of {num} labelled prompt(s) differ in {name}, and {MIN_DIFFERING} are needed for "
        "the excess along it"
    )


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
        names: of the attributes, length K. What most media have none of is left out where too few
            differ in it: that nothing was measured speaks against no judge.
        margin: slopes up to this are no bias; for the excess alone, which is tested.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    found = []
    for at, name in enumerate(names):
        sums = np.ascontiguousarray(rows.sums[:, at])
        is_too_few = rows.is_too_few(at)
        if name == RARE and (is_too_few or not sums[:, 1].any()):
            continue
        slope, p_value, note = Interval(math.nan), math.nan, too_few(name, rows.num_differing(at))
        if not is_too_few:
            slope = bootstrap_of_clusters(sums, _slope, num_resamples, seed)
            note = f"correlation {float(_correlation(sums.sum(axis=0, keepdims=True))[0]):.2f}"
        if rows.source == "excess" and not is_too_few:
            # Prompts whose sides are alike say nothing, and are no degrees of freedom.
            p_value = jackknife_of_clusters(sums[sums[:, 1] > 0], _slope).p_beyond(margin)
        found.append(
            Figure(
                "association",
                name,
                f"slope of {rows.source}",
                UNITS[rows.source],
                slope,
                rows.num,
                p_value=p_value,
                note=note,
            )
        )
    return found


def _slope(sums: Array) -> Array:
    return ratio(sums[:, 0], sums[:, 1])


def _correlation(sums: Array) -> Array:
    return ratio(sums[:, 0], np.sqrt(sums[:, 1] * sums[:, 2]))
