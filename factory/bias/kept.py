"""What a correction changes in kept pairs: by how much chosen sides lead rejected ones.

A correction is made on scores; what teaches a generator are pairs. So the lead of chosen over
rejected sides in each attribute that was corrected is told twice: of the pairs that would be kept
as the judge says it, and of those that are kept. What is left need not be the judge's: good
pictures may well be brighter than bad ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from factory.bias.observation import Attributes
from factory.statistics.intervals import (
    Array,
    Interval,
    bootstrap_of_clusters,
    mean_of_sums,
    sums_of_clusters,
)


@dataclass(frozen=True, eq=False)
class Leads:
    """Of some pairs.

    prompts: of each, length n.
    leads: attributes of the chosen side minus those of the rejected one, in standard deviations;
        NaN where a side lacks one, [n, K].
    weights: how much each counts, [n].
    """

    prompts: Sequence[str]
    leads: Array
    weights: Array

    @classmethod
    def of(cls, parts: Sequence[Leads], num: int) -> Leads:
        """All of some parts, of `num` attributes."""
        return cls(
            [prompt for part in parts for prompt in part.prompts],
            np.concatenate([np.empty((0, num)), *(part.leads for part in parts)]),
            np.concatenate([np.empty(0), *(part.weights for part in parts)]),
        )

    def means(self, num_resamples: int, seed: int) -> list[Interval]:
        """The mean lead in each attribute, by weight, clustered by prompt."""
        found = []
        for column in self.leads.T:
            w = np.where(np.isnan(column), 0.0, self.weights)
            terms = np.stack([w * np.nan_to_num(column), w], axis=1)
            sums = sums_of_clusters(terms, self.prompts)
            found.append(bootstrap_of_clusters(sums, mean_of_sums, num_resamples, seed))
        return found


def lead(chosen: Attributes, rejected: Attributes, sds: Mapping[str, float]) -> list[float]:
    """By how many standard deviations the chosen side leads in each attribute of `sds`; NaN where a
    side lacks it.
    """
    return [
        (chosen.get(name, math.nan) - rejected.get(name, math.nan)) / sd for name, sd in sds.items()
    ]
