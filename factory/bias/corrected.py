"""What a correction leaves of a judge's biases: the figures of its profile, measured again.

The slopes of edits are fitted again on prompts that they were not fitted on, leans and calibration
measured again on corrected statements. The correction itself, which curation applies, is in
`factory.bias.correction`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from factory.bias.calibration import ALL, left_out
from factory.bias.correction import Correction
from factory.bias.estimate import SHARE, association_figures
from factory.bias.figure import DUELS, SCORES, Figure, Relevance
from factory.bias.observation import LabelObservation, Observation
from factory.bias.probes import Probe
from factory.bias.profile import BiasProfile
from factory.bias.response import corrected_slopes
from factory.bias.seen import PromptSums, Seen, as_seen
from factory.bias.slices import calibration_figures
from factory.statistics.intervals import bootstrap_of_clusters, mean_of_sums


def with_corrected(
    profile: BiasProfile,
    correction: Correction,
    observations: Seen | Iterable[Observation],
    labels: Sequence[LabelObservation],
    probes: Sequence[Probe],
    relevance: Relevance,
    num_resamples: int = 1000,
    seed: int = 0,
) -> BiasProfile:
    """The profile, each figure with what the correction leaves of it.

    The slopes of edits are fitted again on prompts that they were not fitted on. Leans and
    calibration are measured again on the corrected statements, of labels by temperatures that were
    fitted without them, and the lean to the first slot on verdicts of both orders together. What a
    correction does not change has nothing beside it.

    Args:
        profile: as measured.
        correction: made from it.
        observations: of the groups that the profile was measured on.
        labels: likewise.
        probes: likewise.
        relevance: as for the profile.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    often = (num_resamples, seed)
    seen = as_seen(observations)
    told = _told(correction, labels)
    factor = profile.temperatures.get(ALL, 1.0)
    again = [averaged_lean(seen, *often)]
    if correction.is_needed:
        again += association_figures(
            seen, told, profile.sds, factor, relevance, *often, correction.of_blocks(seen)
        )
        again += calibration_figures(told, *often)
    after = {(one.kind, one.name, one.measure): one.estimate for one in again}
    people = "slope of people"  # nothing of theirs is corrected
    figures = [
        replace(one, corrected=after.get((one.kind, one.name, one.measure)))
        if one.measure != people
        else one
        for one in profile.figures
    ]
    taken = {SCORES: correction.points, DUELS: correction.logits}
    return replace(
        profile,
        figures=corrected_slopes(figures, probes, profile.sds, taken, *often),
    )


def _told(correction: Correction, labels: Sequence[LabelObservation]) -> list[LabelObservation]:
    """The corrected labels, each by temperatures that it had no part in."""
    if not correction.temperatures:
        return [correction.label(one) for one in labels]
    told = list(labels)
    for heat, rows in left_out(labels):
        of_all = heat.get(ALL, 1.0)
        factors = {name: heat.get(name, of_all) / of_all for name in correction.temperatures}
        without = replace(correction, temperatures=factors)
        for row in rows:
            told[row] = without.label(labels[row])
    return told


def averaged_lean(
    observations: Seen | Iterable[Observation], num_resamples: int, seed: int
) -> Figure:
    """The lean to the first slot of verdicts that are those of both orders together."""
    seen = as_seen(observations)
    leans = PromptSums(seen, 2)
    for block in seen.blocks():
        swapped = replace(block, p=block.p[:, [1, 0, 2]])
        lean = (SHARE[block.verdicts] + SHARE[swapped.verdicts]) / 2 - 0.5
        leans.add(block.prompts[block.met], lean, np.ones(len(lean)))
    mean = bootstrap_of_clusters(leans.all(), mean_of_sums, num_resamples, seed)
    return Figure(
        "position", "first slot", "share above one half", "share of verdicts", mean, leans.num
    )
