"""Slices between which a judge makes no difference: how often do they block a promotion?

A judge scores 8 candidates of 60 prompts, as well on all of them. Each prompt has three tags of
four values; candidates of one value of one tag are worse by one sd of quality, which people see as
the judge does. People gave points to one candidate of 60 other prompts with the same tags. Noise is
that of METHOD.md, in sds of quality. Figures and gates are the project's own.

- `blocked_without_difference`: share of profiles in which a gate on slices is not passed.
- `blocked_by_selection_ratio`: the same by the former gate (a ratio to the slice most selected,
  whose whole interval is below 0.8), with the harder slice.
- `blocked_by_selection_ratio_all_alike`: and without it.
"""

from __future__ import annotations

import numpy as np

from factory.bias.figure import Figure, Relevance
from factory.bias.observation import Observation, PointObservation
from factory.bias.slices import slice_figures
from factory.evaluation.gates import bias_gates
from schemas.recipe import Gates

_NUM, _CANDIDATES, _VALUES = 60, 8, 4
_SCORE_SD, _ITEM_SD = 0.8, 0.3
_RESAMPLES = 200
_UNIT = 4.0  # points of the whole scale, 1 to 5


def figures(replications: int, seed: int) -> dict[str, float]:
    """Simulate; see the module's docstring."""
    rng = np.random.default_rng(seed)
    blocked = by_ratio = alike = 0
    for _ in range(replications):
        found = _profile(rng, harder=1.0)
        gaps = [one for one in bias_gates(found, Gates(), _UNIT) if "slice" in one.gate]
        assert gaps, "no gate looked at any slice"
        blocked += not all(one.is_passed for one in gaps)
        by_ratio += _has_low_ratio(found)
        alike += _has_low_ratio(_profile(rng, harder=0.0))
    return {
        "blocked_without_difference": blocked / replications,
        "blocked_by_selection_ratio": by_ratio / replications,
        "blocked_by_selection_ratio_all_alike": alike / replications,
    }


def _has_low_ratio(found: list[Figure]) -> bool:
    return any(one.measure == "selection ratio" and one.estimate.high < 0.8 for one in found)


def _profile(rng: np.random.Generator, harder: float) -> list[Figure]:
    tags = rng.integers(0, _VALUES, (2 * _NUM, 3))
    named = [{f"tag{key}": f"v{value}" for key, value in enumerate(row)} for row in tags]
    true = rng.normal(size=(2 * _NUM, _CANDIDATES)) - harder * (tags[:, :1] == 0)
    error = np.hypot(_SCORE_SD, _ITEM_SD)
    scores = 3 + true + rng.normal(scale=error, size=true.shape)
    drawn = [
        Observation(
            f"p{at}",
            {f"{at} {c}": float(scores[at, c]) for c in range(_CANDIDATES)},
            (),
            0,
            {},
            named[at],
        )
        for at in range(_NUM)
    ]
    said = 3 + true[:, 0] + rng.normal(scale=0.5, size=2 * _NUM)
    points = [
        PointObservation(f"p{at}", float(said[at]), float(scores[at, 0]), named[at])
        for at in range(_NUM, 2 * _NUM)
    ]
    return slice_figures(drawn, points, Relevance(), _RESAMPLES, int(rng.integers(2**31)))
