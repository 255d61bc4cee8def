"""Opinions to a calibration, task by task, on one part of the held-out labels.

Figures are reported on the other part: `part` sends each prompt to one of the two, for good. A map
of pairs is kept only where it is clearly better than the judge's own claims on prompts left out of
its fit: a few labels make a map, but not a better one. From fewer than `MIN_PROMPTS` prompts there
is none at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, cast

import numpy as np

from factory.judging.abstention import Abstention, fit_abstention
from factory.judging.calibration import (
    Calibration,
    Isotonic,
    Method,
    TaskCalibration,
    Temperature,
    fit_pairs,
    fit_scores,
)
from factory.ranking.matchups import OUTCOME, Matchup, is_right, meeting, score_of, slices
from factory.statistics.intervals import Array, clustered_bootstrap
from schemas.rows import Opinion, Preference, Task, draw_of, seed_of

#: From fewer prompts no map of pairs is fitted. What a judge gets wrong is alike in all pairs of a
#: prompt, and a score of prompts can all be hard ones: 22 of them took a judge for overconfident
#: that was not.
MIN_PROMPTS = 50
_FOLDS = 5


def part(opinion: Opinion, share: float) -> Literal["fit", "report"]:
    """Which part of the held-out labels an opinion belongs to; a matter of its prompt alone."""
    return "fit" if draw_of("calibration", opinion.prompt_id) < share else "report"


def fit(opinions: Sequence[Opinion], method: Method, target_precision: float) -> Calibration:
    """Fit every map on the opinions given; report on others.

    Args:
        opinions: of all tasks.
        method: of the maps.
        target_precision: of the pairs on which the judge is heard.
    """
    return Calibration(
        {
            cast(Task, task): _fit_task(group, method, target_precision)
            for task, group in slices(opinions).items()
        },
        frozenset(one.prompt_id for one in opinions),
    )


def _fit_task(opinions: Sequence[Opinion], method: Method, target: float) -> TaskCalibration:
    pairs = [
        (found, one.preference, one.prompt_id)
        for one in opinions
        if one.preference is not None and (found := meeting(one)) is not None
    ]
    points = [one for one in opinions if one.preference is None and one.points is not None]
    scores = [score_of(one, 0) for one in points]
    return TaskCalibration(
        pairs=_fit_pairs(
            np.array([found.logit for found, _, _ in pairs]),
            np.array([OUTCOME[said] for _, said, _ in pairs]),
            [prompt for _, _, prompt in pairs],
            method,
        ),
        scores=fit_scores(
            [math.nan if one is None else one.value for one in scores],
            [math.nan if one is None else one.spread for one in scores],
            [float(one.points or 0) for one in points],
            method,
        ),
        abstention=_abstention(pairs, target),
        num_pairs=len(pairs),
        num_points=sum(one is not None for one in scores),
    )


def _fit_pairs(
    logits: Array, outcomes: Array, prompts: Sequence[str], method: Method
) -> Temperature | Isotonic | None:
    """The map of all pairs, or None where it does not pay on prompts that it has not seen, or where
    these are too few to tell.
    """
    if len(set(prompts)) < MIN_PROMPTS:
        return None
    fold = np.array([seed_of("fold", prompt) % _FOLDS for prompt in prompts], dtype=np.int64)
    saved = np.full(len(logits), math.nan)
    for left_out in range(_FOLDS):
        rows = fold == left_out
        fitted = fit_pairs(logits[~rows], outcomes[~rows], method)
        if fitted is None:
            return None
        claimed = _loss(Temperature(1.0)(logits[rows]), outcomes[rows])
        saved[rows] = claimed - _loss(fitted(logits[rows]), outcomes[rows])
    pays = clustered_bootstrap(saved, prompts).low > 0
    return fit_pairs(logits, outcomes, method) if pays else None


def _loss(p: Array, outcomes: Array) -> Array:
    """Negative log-likelihood of each outcome, a tie as half of each side."""
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.asarray(-(outcomes * np.log(p) + (1 - outcomes) * np.log1p(-p)))


def _abstention(pairs: Sequence[tuple[Matchup, Preference, str]], target: float) -> Abstention:
    return fit_abstention(
        [max(found.p_better, 1 - found.p_better) for found, _, _ in pairs],
        [is_right(found, said) for found, said, _ in pairs],
        [prompt for _, _, prompt in pairs],
        target,
    )
