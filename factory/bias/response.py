"""How a judge responds to edits: slopes, mean shifts, and flipped verdicts.

The response to edits is fitted by least squares over all edits at once. With d the change of each
attribute in standard deviations over the candidates of a prompt, the judge's shift is

    shift = sum_k slope_k d_k + sum_edits cost_e |dose| + error

The slopes are the bias: what the judge gives for one standard deviation of an attribute when
nothing else of it changes. The costs take up what an edit does to a picture in either direction,
so that a judge that rightly finds an edited picture a little worse is not accused. Edits move
several attributes at once (a brighter picture is often less saturated), which the joint fit takes
apart. Fitting on edits and never on the pairs themselves is what keeps true quality out of the
slopes: good pictures may well be brighter than bad ones.

Some attributes can be moved one way alone without harm: an answer can be given more words that say
nothing, and no fewer; a picture can be written upon, a clip be stilled (`Edit.only`). No cost can
be told from the slope there, and what a judge takes off may be just. What it *gives* for such an
edit is not, so these slopes accuse on that side alone. Longer answers are held against shorter ones
of which each was lengthened (`Edit.is_among_edited`), so that what it costs to be edited at all is
on both sides (Reber et al. 2024, "RATE", whose rewrites of rewrites do the same with a language
model at hand).

Now and then an edit makes a judge misread what is depicted, and jump. Such a shift counts as it is:
what the judge gives on average is the bias, and an estimate that draws jumps in has an error that
is larger than it looks (docs/decisions/0007).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from factory.bias.edit_rows import Response, Rows, responses
from factory.bias.edits import EDITS
from factory.bias.figure import DUELS, SCORES, Figure, Relevance, Side
from factory.bias.probes import Probe
from factory.bias.shrinkage import shrunk
from factory.statistics.intervals import (
    Interval,
    Jackknife,
    bootstrap_of_sums,
    clustered_bootstrap,
    jackknife_of_sums,
    mean_of_sums,
)
from schemas.rows import seed_of

__all__ = ["DUELS", "SCORES", "SIDES", "corrected_slopes", "damage_figures", "edit_figures"]

#: Attributes that are moved one way alone, and the side on which their slope accuses.
SIDES: Mapping[str, Side] = {
    edit.moves: "above" if edit.only > 0 else "below"
    for edit in EDITS.values()
    if edit.moves is not None and edit.only
}
_HALVES = "corrected: fitted on half of the prompts, measured on the others"
_ONE_SIDED = "accuses on one side alone: the judge may mind the edit for a good reason"


def edit_figures(
    probes: Iterable[Probe],
    sds: Mapping[str, float],
    relevance: Relevance,
    num_resamples: int = 1000,
    seed: int = 0,
) -> list[Figure]:
    """The judge's response to every edit: slopes, mean shifts, and flipped verdicts.

    Args:
        probes: of all kinds; edits are picked out.
        sds: one standard deviation of each attribute over the candidates of a prompt.
        relevance: what is too small to matter.
        num_resamples: of the bootstrap, clustered by prompt.
        seed: of the bootstrap.
    """
    edits = [probe for probe in probes if probe.kind == "edit"]
    found = []
    for response in responses(relevance):
        rows = Rows.of(edits, sds, response)
        found += slope_figures(rows, response, num_resamples, seed)
    for name in dict.fromkeys(probe.name for probe in edits):
        found += _shifts(
            name, [one for one in edits if one.name == name], relevance, num_resamples, seed
        )
    return found


def slope_figures(
    rows: Rows, response: Response, num_resamples: int = 1000, seed: int = 0
) -> list[Figure]:
    """The slope of each attribute, with its test, and as it is to be taken out.

    Args:
        rows: the edits, as a regression.
        response: what they are rows of.
        num_resamples: of the bootstrap, clustered by prompt.
        seed: of the bootstrap.
    """
    tests = rows.jackknives()[: len(rows.names)]
    intervals = rows.bootstraps(num_resamples, seed)[: len(rows.names)]
    taken = shrunk([one.value for one in tests], [one.se for one in tests])
    found = []
    for name, test, interval, to_take in zip(rows.names, tests, intervals, taken, strict=True):
        side = SIDES.get(name, "both")
        found.append(
            Figure(
                "edit",
                name,
                response.measure,
                response.unit,
                interval,
                len(rows.y),
                rows.num_invalid,
                p_value=_p_value(test, side, response.margin),
                accuses=side,
                shrunk=to_take,
                note=_ONE_SIDED if side != "both" else "",
            )
        )
    return found


def _p_value(test: Jackknife, side: Side, margin: float) -> float:
    if side == "above":
        return test.p_above(margin)
    return test.p_below(-margin) if side == "below" else test.p_beyond(margin)


def damage_figures(
    probes: Iterable[Probe],
    sds: Mapping[str, float],
    relevance: Relevance,
    num_resamples: int = 1000,
    seed: int = 0,
) -> list[Figure]:
    """What the judge gives for each damage itself, at its dose of 1: the costs of the same fit.

    Text across a picture also makes it brighter or darker, and a judge that likes bright pictures
    likes the text for that alone. Here that is taken away. A damage that is rewarded accuses.

    Args:
        probes: of all kinds; edits are picked out.
        sds: one standard deviation of each attribute over the candidates of a prompt.
        relevance: what is too small to matter.
        num_resamples: of the bootstrap, clustered by prompt.
        seed: of the bootstrap.
    """
    edits = [probe for probe in probes if probe.kind == "edit"]
    found = []
    for response in responses(relevance):
        rows = Rows.of(edits, sds, response)
        begin = len(rows.names)
        tests = rows.jackknives()[begin:]
        intervals = rows.bootstraps(num_resamples, seed)[begin:]
        for name, test, interval in zip(rows.kinds, tests, intervals, strict=True):
            if not EDITS[name].is_damage:
                continue
            told = [one for one in edits if one.name == name and response.is_asked(one)]
            read = sum(math.isfinite(response.of(one)) for one in told)
            found.append(
                Figure(
                    "edit",
                    name,
                    response.measure.replace("slope", "reward"),
                    response.unit.removesuffix(" per sd"),
                    interval,
                    read,
                    len(told) - read,
                    p_value=test.p_above(response.margin),
                )
            )
    return found


def corrected_slopes(
    figures: Sequence[Figure],
    probes: Iterable[Probe],
    sds: Mapping[str, float],
    taken: Mapping[str, Collection[str]],
    num_resamples: int = 1000,
    seed: int = 0,
) -> tuple[Figure, ...]:
    """The figures, each slope that is taken out with what is left of it on edits that it was not
    fitted on.

    Slopes are fitted on one half of the prompts, taken away from the other half, and fitted again:
    what is left there says how well they are known, which the fit on all cannot.

    Args:
        figures: with flags.
        probes: of all kinds.
        sds: of the attributes.
        taken: of `SCORES` and of `DUELS`, the attributes that are corrected.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    edits = [probe for probe in probes if probe.kind == "edit"]
    halves: tuple[list[Probe], list[Probe]] = ([], [])
    for probe in edits:
        halves[seed_of("half", probe.prompt_id) % 2].append(probe)
    left: dict[tuple[str, str], Interval] = {}
    for response in responses(Relevance()):
        if not taken.get(response.measure):
            continue
        fitted, tried = (Rows.of(half, sds, response) for half in halves)
        tests = fitted.jackknives()[: len(fitted.names)]
        slopes = dict(
            zip(
                fitted.names,
                shrunk([one.value for one in tests], [one.se for one in tests]),
                strict=True,
            )
        )
        rests = tried.bootstraps(num_resamples, seed)
        for name, rest in zip(tried.names, rests, strict=False):
            slope = slopes.get(name)
            if slope is not None:
                left[name, response.measure] = Interval(
                    rest.value - slope.value, rest.low - slope.value, rest.high - slope.value
                )
    return tuple(
        replace(
            one,
            corrected=left.get((one.name, one.measure)),
            note="; ".join(filter(None, (one.note, _HALVES))),
        )
        if one.kind == "edit"
        and one.name in taken.get(one.measure, ())
        and (one.name, one.measure) in left
        else one
        for one in figures
    )


def _shifts(
    name: str, probes: Sequence[Probe], relevance: Relevance, num_resamples: int, seed: int
) -> list[Figure]:
    """Mean shift of the score at the largest doses, and how often a verdict flips there.

    A damage that the judge rewards accuses it; one that it punishes does not. Of a damage each dose
    is told, since no slope says how the judge responds to it; the largest accuses.
    """
    found = []
    doses = {one.dose for one in probes}
    for dose in sorted(doses if EDITS[name].is_damage else {min(doses), max(doses)}):
        asked = [one for one in probes if one.dose == dose]
        read = [one for one in asked if math.isfinite(one.shift)]
        prompts = [one.prompt_id for one in read]
        shifts = np.array([[one.shift, 1.0] for one in read]).reshape(len(read), 2)
        p_value = math.nan
        if EDITS[name].is_damage and dose == EDITS[name].doses[-1]:
            p_value = jackknife_of_sums(shifts, prompts, mean_of_sums).p_above(relevance.points)
        found.append(
            Figure(
                "edit",
                name,
                f"mean shift of scores at dose {dose:g}",
                "points",
                bootstrap_of_sums(shifts, prompts, mean_of_sums, num_resamples, seed),
                len(read),
                len(asked) - len(read),
                p_value=p_value,
            )
        )
    largest = max(abs(one.dose) for one in probes)
    met = [one for one in probes if abs(one.dose) == largest and one.is_flipped is not None]
    if met:
        flips = clustered_bootstrap(
            [float(bool(one.is_flipped)) for one in met],
            [one.prompt_id for one in met],
            num_resamples,
            seed,
        )
        found.append(
            Figure("edit", name, "verdicts that flip", "share", flips, len(met), neutral=None)
        )
    return found
