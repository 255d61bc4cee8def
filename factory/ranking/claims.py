"""What P(right) is worth: how often the side that is claimed to be better is the one that people
prefer, on held-out labels.

The noise is fitted on one part of the labels and its claims are looked at on the other. Labelled
pairs are a spread of their own (candidates of a group are often nearer to each other), so it is
the noise of the labelled pairs that makes these claims: the same likelihood, and the same judge's
own error. Labels that are ties have no right side and are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from factory.ranking.fitting import fit_noise
from factory.ranking.fusion import fuse_all
from factory.ranking.noise import Scale
from factory.statistics.intervals import Interval, clustered_bootstrap
from factory.statistics.metrics import expected_calibration_error
from schemas.rows import Opinion, Score, Task

#: Claims from here on are called sure.
SURE = 0.9


@dataclass(frozen=True)
class Claims:
    """Of one task.

    ece: expected calibration error of P(right), 0 to 1; NaN where it is not known.
    right: share that is right of the claims of at least `SURE`, clustered by prompt; NaN likewise.
    num: labels with a winner that were looked at.
    num_sure: of those, with a claim of at least `SURE`.
    why: nothing is known; empty where something is.
    """

    ece: float = math.nan
    right: Interval = field(default_factory=lambda: Interval(math.nan))
    num: int = 0
    num_sure: int = 0
    why: str = ""


def claims_on_labels(
    task: Task,
    fit: Sequence[Opinion],
    report: Sequence[Opinion],
    scales: Mapping[Task, Scale],
    num_resamples: int = 1000,
    seed: int = 0,
) -> Claims:
    """How the claims of the noise that `fit` tells hold on `report`.

    Args:
        task: of which opinions are looked at.
        fit: opinions of some held-out labels.
        report: of others, of other prompts.
        scales: of the judge's scores.
        num_resamples: of the interval's bootstrap.
        seed: likewise.
    """
    known = fit_noise((), labels=[one for one in fit if one.task == task], scales=scales).task(task)
    if not known.is_by_labels:
        return Claims(why=known.why or "no held-out labels")
    told = [one for one in report if one.task == task and one.preference in ("first", "second")]
    orders = fuse_all([(_sides(one), one.duels) for one in told], known.noise)
    p, right, prompts = [], [], []
    for one, order in zip(told, orders, strict=True):
        ahead = order.p_right(0, 1)
        if not math.isnan(ahead):
            p.append(max(ahead, 1 - ahead))
            right.append(float((ahead > 0.5) == (one.preference == "first")))
            prompts.append(one.prompt_id)
    if not p:
        return Claims(why="no held-out label with a winner is left to look at")
    is_sure = np.array(p) >= SURE
    sure = Interval(math.nan)
    if is_sure.any():
        where = np.flatnonzero(is_sure)
        clusters = [prompts[at] for at in where]
        sure = clustered_bootstrap(np.array(right)[where], clusters, num_resamples, seed)
    return Claims(expected_calibration_error(p, right), sure, len(p), int(is_sure.sum()))


def _sides(opinion: Opinion) -> list[Score]:
    """A score of each side; one that says nothing where none was asked for."""
    known = {one.candidate_id: one for one in opinion.scores}
    return [
        known.get(side) or Score(side, opinion.judge, math.nan, math.nan) for side in ("0", "1")
    ]
