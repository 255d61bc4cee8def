"""From which confidence a judge is heard whose duels are corrected before they are looked at.

A correction moves and stretches log-odds, so a threshold that was found on what the judge said
would keep another precision on what is left of it. It is found again: the labels that the judge's
calibration was fitted on are corrected as the duels are, and the same rule is fitted on them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from factory.bias.correction import Correction
from factory.bias.observation import LabelObservation
from factory.judging.abstention import fit_abstention
from factory.judging.calibration import Calibration
from factory.ranking.matchups import is_right
from jobs.pipelines.bias import observe_labels
from jobs.pipelines.opinions import heldout_opinions
from jobs.rounds.workspace import InputError, Round
from schemas.rows import Task


def corrected_confidence(
    at: Round, calibration: Calibration, correction: Correction
) -> dict[Task, float]:
    """The least confidence of a corrected duel by task; infinite where none is enough.

    Raises:
        InputError: what the judge made of the labels is not at hand.
    """
    opinions = [one for one in heldout_opinions(at) if one.prompt_id in calibration.fitted_on]
    if not opinions:
        raise InputError(
            "curate.objections.abstain: duels are corrected (curate.correct), and what the judge "
            f"made of the labels that its calibration was fitted on is not in {at.root}, so that "
            "no confidence is known for corrected duels; train the judge in this root, or turn "
            "one of the two off"
        )
    labels, _ = observe_labels(at, opinions)
    tasks = {one.prompt_id: one.task for one in opinions}
    return least_confidence(
        labels, tasks, calibration, correction, is_calibrated=at.recipe.produce.is_calibrated
    )


def least_confidence(
    labels: Sequence[LabelObservation],
    tasks: Mapping[str, Task],
    calibration: Calibration,
    correction: Correction,
    *,
    is_calibrated: bool,
) -> dict[Task, float]:
    """The same, of labels beside what the judge said of them.

    Args:
        labels: with the judge's matchups as it said them.
        tasks: of the labels' prompts.
        calibration: whose tasks have an abstention; the precision that they want is its own.
        correction: as the duels are corrected.
        is_calibrated: whether duels are mapped by the calibration before they are corrected.
    """
    found: dict[Task, float] = {}
    for task, fitted in calibration.tasks.items():
        if fitted.abstention is None:
            continue
        told = []
        for one in labels:
            if tasks.get(one.prompt_id) == task and one.matchup is not None:
                said = calibration.matchup(task, one.matchup) if is_calibrated else one.matchup
                told.append(correction.label(replace(one, matchup=said)))
        met = [(one.matchup, one) for one in told if one.matchup is not None]
        rule = fit_abstention(
            [max(said.p_better, 1 - said.p_better) for said, _ in met],
            [is_right(said, one.preference) for said, one in met],
            [one.prompt_id for _, one in met],
            fitted.abstention.target,
        )
        found[task] = math.inf if rule.confidence is None else rule.confidence
    return found
