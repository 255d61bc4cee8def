"""Opinions to a calibration, task by task, on one part of the held-out labels.

Figures are reported on the other part: `part` sends each prompt to one of the two, for good.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, cast

from factory.agreement import OUTCOME, is_right, meeting, score_of, slices
from factory.judging.abstention import Abstention, fit_abstention
from factory.judging.calibration import (
    Calibration,
    Method,
    TaskCalibration,
    fit_pairs,
    fit_scores,
)
from factory.matchups import Matchup
from schemas.rows import Opinion, Preference, Task, seed_of


def part(opinion: Opinion, share: float) -> Literal["fit", "report"]:
    """Which part of the held-out labels an opinion belongs to; a matter of its prompt alone."""
    return "fit" if seed_of("calibration", opinion.prompt_id) / 2**63 < share else "report"


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
        pairs=fit_pairs(
            [found.logit for found, _, _ in pairs], [OUTCOME[said] for _, said, _ in pairs], method
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


def _abstention(pairs: Sequence[tuple[Matchup, Preference, str]], target: float) -> Abstention:
    return fit_abstention(
        [max(found.p_better, 1 - found.p_better) for found, _, _ in pairs],
        [is_right(found, said) for found, said, _ in pairs],
        [prompt for _, _, prompt in pairs],
        target,
    )
