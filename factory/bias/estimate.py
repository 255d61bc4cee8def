"""From observations of groups and labels to the bias profile of a judge."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from factory.bias.association import Association, Comparisons, Source, associate
from factory.bias.observation import Attributes, LabelObservation, Observation
from factory.bias.profile import BiasProfile, Position
from factory.intervals import clustered_bootstrap
from factory.metrics import flip_rate
from schemas.rows import Preference

_LEAD: dict[Preference, float] = {"first": 1.0, "second": -1.0, "tie": 0.0}
_Row = tuple[str, float, Attributes, Attributes]  # prompt, lead, first side, second side


def bias_profile(
    observations: Iterable[Observation],
    labels: Iterable[LabelObservation] = (),
    names: Sequence[str] = ("brightness", "saturation", "contrast", "sharpness"),
    num_resamples: int = 1000,
    seed: int = 0,
) -> BiasProfile:
    """Measure a judge on the groups that it judged, and beside people where there are labels.

    Args:
        observations: of the groups.
        labels: of held-out labels; with the judge's matchup on the same sides they also give the
            `excess` of the judge over people.
        names: of the attributes.
        num_resamples: of the bootstrap, clustered by prompt.
        seed: of the bootstrap.
    """
    seen, labelled = list(observations), list(labels)
    looks = [look for one in seen for look in one.attributes.values()]
    sds = _sds(looks or [side for one in labelled for side in (one.first, one.second)], names)
    rows: dict[Source, Iterable[_Row]] = {
        "duels": (
            (one.prompt_id, met.logit, *_sides(one, met.first_id, met.second_id))
            for one in seen
            for met in one.matchups
        ),
        "scores": (
            (one.prompt_id, one.scores[i] - one.scores[j], *_sides(one, i, j))
            for one in seen
            for i, j in itertools.combinations(one.scores, 2)
        ),
        "people": (
            (one.prompt_id, _LEAD[one.preference], one.first, one.second) for one in labelled
        ),
        "excess": (
            (
                one.prompt_id,
                2 * one.matchup.p_better - 1 - _LEAD[one.preference],
                one.first,
                one.second,
            )
            for one in labelled
            if one.matchup is not None
        ),
    }
    associations: list[Association] = []
    for source, compared in rows.items():
        comparisons = _comparisons(source, compared, sds)
        if len(comparisons.leads):
            associations += associate(comparisons, names, num_resamples, seed)
    return BiasProfile(
        _position(seen, num_resamples, seed), tuple(associations), sds, len(seen), len(labelled)
    )


def _position(seen: Sequence[Observation], num_resamples: int, seed: int) -> Position:
    met = [(one.prompt_id, matchup) for one in seen for matchup in one.matchups]
    prompts = [prompt_id for prompt_id, _ in met]
    excess = [matchup.first_slot_rate - 0.5 for _, matchup in met]
    shifts = [matchup.logit_position for _, matchup in met]
    return Position(
        flip_rate([matchup.is_flipped for _, matchup in met], prompts, num_resamples, seed),
        clustered_bootstrap(excess, prompts, num_resamples, seed),
        clustered_bootstrap(shifts, prompts, num_resamples, seed),
        len(met),
        sum(one.num_unreadable for one in seen),
    )


def _sides(seen: Observation, first_id: str, second_id: str) -> tuple[Attributes, Attributes]:
    return seen.attributes.get(first_id, {}), seen.attributes.get(second_id, {})


def _comparisons(source: Source, rows: Iterable[_Row], sds: Mapping[str, float]) -> Comparisons:
    """Rows whose sides could both be measured, in standard deviations.

    An attribute that does not vary, or is unknown, differs by zero everywhere: its slope is NaN.
    """
    prompts, leads, differences = [], [], []
    for prompt_id, lead, first, second in rows:
        if not first or not second:
            continue
        prompts.append(prompt_id)
        leads.append(lead)
        differences.append(
            [(first[name] - second[name]) / sd if sd > 0 else 0.0 for name, sd in sds.items()]
        )
    return Comparisons(
        source, prompts, np.array(leads), np.array(differences).reshape(len(leads), len(sds))
    )


def _sds(looks: Sequence[Attributes], names: Sequence[str]) -> dict[str, float]:
    values = {name: [look[name] for look in looks if look] for name in names}
    return {name: float(np.std(column)) if column else 0.0 for name, column in values.items()}
