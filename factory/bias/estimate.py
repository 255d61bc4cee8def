"""From observations of groups and labels, and from probes, to the bias profile of a judge."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from factory.bias.association import Comparisons, Source, associate
from factory.bias.calibration import ALL, temperatures
from factory.bias.figure import Figure, Relevance, flag
from factory.bias.observation import (
    Attributes,
    LabelObservation,
    Observation,
    PointObservation,
)
from factory.bias.probes import Probe
from factory.bias.profile import BiasProfile
from factory.bias.response import edit_figures
from factory.bias.slices import calibration_figures, self_preference_figures, slice_figures
from factory.bias.substitution import twin_figures, unseen_figures
from factory.media.pictures import ATTRIBUTES
from factory.statistics.intervals import clustered_bootstrap, jackknife_of_sums, mean_of_sums
from factory.statistics.metrics import flip_rate
from schemas.rows import Preference

LEAD: Mapping[Preference, float] = {"first": 1.0, "second": -1.0, "tie": 0.0}
_Row = tuple[str, float, Attributes, Attributes]  # prompt, lead, first side, second side


def bias_profile(
    observations: Iterable[Observation],
    labels: Iterable[LabelObservation] = (),
    points: Iterable[PointObservation] = (),
    probes: Iterable[Probe] = (),
    names: Sequence[str] = ATTRIBUTES,
    relevance: Relevance = Relevance(),  # noqa: B008 - frozen
    false_discovery_rate: float = 0.05,
    num_resamples: int = 1000,
    seed: int = 0,
) -> BiasProfile:
    """Measure a judge on the groups that it judged, beside people, and by its answers to probes.

    Args:
        observations: of the groups.
        labels: of held-out pairwise labels; with the judge's matchup on the same sides they also
            give the `excess` of the judge over people.
        points: of held-out pointwise labels.
        probes: what the judge said of edited, blank and swapped media and of twin prompts.
        names: of the attributes.
        relevance: effects that are too small to matter.
        false_discovery_rate: share of false alarms among the flagged figures.
        num_resamples: of the bootstrap, clustered by prompt.
        seed: of the bootstrap.
    """
    seen, labelled, asked = list(observations), list(labels), list(probes)
    often = (num_resamples, seed)
    sds = attribute_sds(seen, labelled, names)
    heat = temperatures(labelled)
    figures = [
        *position_figures(seen, relevance, *often),
        *edit_figures(asked, sds, relevance, *often),
        *unseen_figures(asked, relevance, *often),
        *twin_figures(asked, relevance, *often),
        *association_figures(seen, labelled, sds, heat.get(ALL, 1.0), relevance, *often),
        *slice_figures(seen, list(points), relevance, *often),
        *self_preference_figures(seen, *often),
        *calibration_figures(labelled, *often),
    ]
    return BiasProfile(
        flag(figures, false_discovery_rate),
        sds,
        heat,
        len(seen),
        len(labelled),
        len(asked),
    )


def position_figures(
    seen: Sequence[Observation], relevance: Relevance, num_resamples: int, seed: int
) -> list[Figure]:
    """What changes with the order in which two candidates are shown.

    Every matchup is seen in both orders, so the share of verdicts for the side shown first is one
    half for an unbiased judge. The log-odds are a little too small where duels are so one-sided
    that they are clipped.
    """
    met = [(one.prompt_id, matchup) for one in seen for matchup in one.matchups]
    prompts = [prompt_id for prompt_id, _ in met]
    num_invalid = sum(one.num_unreadable for one in seen)
    excess = np.array([matchup.first_slot_rate - 0.5 for _, matchup in met])
    terms = np.stack([excess, np.ones(len(met))], axis=1)
    shifts = [matchup.logit_position for _, matchup in met]
    flips = flip_rate([matchup.is_flipped for _, matchup in met], prompts, num_resamples, seed)
    first = clustered_bootstrap(excess, prompts, num_resamples, seed)
    shift = clustered_bootstrap(shifts, prompts, num_resamples, seed)
    p_value = jackknife_of_sums(terms, prompts, mean_of_sums).p_beyond(relevance.share)
    num = len(met)
    return [
        Figure(
            "position", "order shown", "flip rate", "share of matchups", flips, num, num_invalid,
            neutral=None,
        ),
        Figure(
            "position", "first slot", "share above one half", "share of verdicts", first, num,
            num_invalid, p_value=p_value, note="both orders are averaged in every pair",
        ),
        Figure("position", "first slot", "log-odds", "log-odds", shift, num, num_invalid),
    ]  # fmt: skip


def association_figures(
    seen: Sequence[Observation],
    labelled: Sequence[LabelObservation],
    sds: Mapping[str, float],
    factor: float,
    relevance: Relevance,
    num_resamples: int,
    seed: int,
) -> list[Figure]:
    """The lean of each source of preferences, and the judge's excess over people.

    Args:
        seen: groups.
        labelled: pairwise labels.
        sds: of the attributes.
        factor: temperature that makes the judge's log-odds right on the labels.
        relevance: an excess up to its share is too small to matter.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
    """
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
            (one.prompt_id, LEAD[one.preference], one.first, one.second) for one in labelled
        ),
        "excess": (
            (
                one.prompt_id,
                math.tanh(factor * one.matchup.logit / 2) - LEAD[one.preference],
                one.first,
                one.second,
            )
            for one in labelled
            if one.matchup is not None
        ),
    }
    found = []
    for source, compared in rows.items():
        comparisons = _comparisons(source, compared, sds)
        if len(comparisons.leads):
            found += associate(comparisons, list(sds), relevance.share, num_resamples, seed)
    return found + longer_wins(seen, num_resamples, seed)


def longer_wins(seen: Sequence[Observation], num_resamples: int, seed: int) -> list[Figure]:
    """How often the longer of two answers wins, a tie counting half; none without answers."""
    wins, prompts = [], []
    for one in seen:
        for met in one.matchups:
            first, second = (
                side.get("length") for side in _sides(one, met.first_id, met.second_id)
            )
            if first is not None and second is not None and first != second:
                share = (1 + LEAD[met.preference]) / 2
                wins.append(share if first > second else 1 - share)
                prompts.append(one.prompt_id)
    if not wins:
        return []
    won = clustered_bootstrap(wins, prompts, num_resamples, seed)
    return [
        Figure(
            "association", "length", "longer answer wins", "share of duels", won, len(wins),
            neutral=0.5,
        )
    ]  # fmt: skip


def attribute_sds(
    seen: Sequence[Observation], labelled: Sequence[LabelObservation], names: Sequence[str]
) -> dict[str, float]:
    """One standard deviation of each attribute over the candidates of one prompt.

    Pairs are made within a prompt, so what differs from prompt to prompt (the background that it
    asks for) must not set the unit. Without groups, the two sides of each label take their place.
    Attributes that nothing shows, such as the length of a picture, are left out.
    """
    groups = [list(one.attributes.values()) for one in seen]
    groups = groups if any(groups) else [[one.first, one.second] for one in labelled]
    found = {}
    for name in names:
        columns = [[look[name] for look in looks if name in look] for looks in groups]
        columns = [column for column in columns if len(column) > 1]
        if columns:
            squares = sum(float(np.var(column)) * len(column) for column in columns)
            found[name] = math.sqrt(squares / sum(len(column) - 1 for column in columns))
    return found


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
            [
                (first.get(name, 0.0) - second.get(name, 0.0)) / sd if sd > 0 else 0.0
                for name, sd in sds.items()
            ]
        )
    return Comparisons(
        source, prompts, np.array(leads), np.array(differences).reshape(len(leads), len(sds))
    )
