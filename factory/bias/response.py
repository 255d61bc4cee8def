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

Now and then an edit makes a judge misread what is depicted, and jump. Such a shift counts as it is:
what the judge gives on average is the bias, and an estimate that draws jumps in has an error that
is larger than it looks (docs/decisions/0007).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from factory.bias.edits import EDITS
from factory.bias.figure import Figure, Relevance
from factory.bias.probes import Probe
from factory.statistics.intervals import (
    Array,
    Interval,
    Statistic,
    bootstrap_of_sums,
    clustered_bootstrap,
    jackknife_of_sums,
    mean_of_sums,
)
from schemas.rows import seed_of

SCORES, DUELS = "slope of scores", "slope of duels"


@dataclass(frozen=True)
class _Response:
    """One way in which a judge responds: in points of its scores, or in log-odds of its duels."""

    measure: str
    unit: str
    margin: float
    of: Callable[[Probe], float]
    is_asked: Callable[[Probe], bool] = lambda probe: True


def _responses(relevance: Relevance) -> tuple[_Response, ...]:
    return (
        _Response(SCORES, "points per sd", relevance.points, lambda probe: probe.shift),
        _Response(
            DUELS, "log-odds per sd", relevance.logits, lambda probe: probe.logit, _is_largest
        ),
    )


def _is_largest(probe: Probe) -> bool:
    """Whether its dose is one of the largest of its edit: those meet the original in a duel."""
    return abs(probe.dose) == max(map(abs, EDITS[probe.name].doses))


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
    for response in _responses(relevance):
        rows = _Rows.of(edits, sds, response)
        for at, name in enumerate(rows.names):
            statistic = rows.slope(at)
            margin = jackknife_of_sums(rows.terms, rows.prompts, statistic)
            found.append(
                Figure(
                    "edit",
                    name,
                    response.measure,
                    response.unit,
                    bootstrap_of_sums(rows.terms, rows.prompts, statistic, num_resamples, seed),
                    len(rows.prompts),
                    rows.num_invalid,
                    p_value=margin.p_beyond(response.margin),
                )
            )
    for name in dict.fromkeys(probe.name for probe in edits):
        found += _shifts(
            name, [one for one in edits if one.name == name], relevance, num_resamples, seed
        )
    return found


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
    for response in _responses(relevance):
        rows = _Rows.of(edits, sds, response)
        for at, name in enumerate(rows.kinds):
            if not EDITS[name].is_damage:
                continue
            statistic = rows.slope(len(rows.names) + at)
            margin = jackknife_of_sums(rows.terms, rows.prompts, statistic)
            told = [one for one in edits if one.name == name and response.is_asked(one)]
            read = sum(math.isfinite(response.of(one)) for one in told)
            found.append(
                Figure(
                    "edit",
                    name,
                    response.measure.replace("slope", "reward"),
                    response.unit.removesuffix(" per sd"),
                    bootstrap_of_sums(rows.terms, rows.prompts, statistic, num_resamples, seed),
                    read,
                    len(told) - read,
                    p_value=margin.p_above(response.margin),
                )
            )
    return found


def corrected_slopes(
    figures: Sequence[Figure],
    probes: Iterable[Probe],
    sds: Mapping[str, float],
    measures: Collection[str],
    num_resamples: int = 1000,
    seed: int = 0,
) -> tuple[Figure, ...]:
    """The figures, each flagged slope with what is left of it on edits that it was not fitted on.

    Slopes are fitted on one half of the prompts, taken away from the other half, and fitted again:
    what is left there says how well they are known, which the fit on all cannot.

    Args:
        figures: with flags.
        probes: of all kinds.
        sds: of the attributes.
        measures: `SCORES`, `DUELS`, or both: what is corrected.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    edits = [probe for probe in probes if probe.kind == "edit"]
    halves: tuple[list[Probe], list[Probe]] = ([], [])
    for probe in edits:
        halves[seed_of("half", probe.prompt_id) % 2].append(probe)
    left: dict[tuple[str, str], Interval] = {}
    for response in _responses(Relevance()):
        if response.measure not in measures:
            continue
        fitted, tried = (_Rows.of(half, sds, response) for half in halves)
        for at, name in enumerate(tried.names):
            if name in fitted.names:
                slope = float(fitted.slope(fitted.names.index(name))(fitted.total)[0])
                rest = bootstrap_of_sums(
                    tried.terms, tried.prompts, tried.slope(at), num_resamples, seed
                )
                left[name, response.measure] = Interval(
                    rest.value - slope, rest.low - slope, rest.high - slope
                )
    return tuple(
        replace(
            one,
            corrected=left.get((one.name, one.measure)),
            note="corrected: fitted on half of the prompts, measured on the others",
        )
        if one.kind == "edit" and one.is_flagged and (one.name, one.measure) in left
        else one
        for one in figures
    )


@dataclass(frozen=True)
class _Rows:
    """Edits as rows of a regression.

    names: attributes, whose slopes come first.
    kinds: edits, whose costs come after.
    num_columns: with the costs of edits, K.
    terms: of each row the products of its columns with each other and with the shift, [n, K² + K].
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    num_columns: int
    terms: Array
    prompts: tuple[str, ...]
    num_invalid: int

    @classmethod
    def of(cls, edits: Sequence[Probe], sds: Mapping[str, float], response: _Response) -> _Rows:
        asked = [
            one
            for one in edits
            if response.is_asked(one) and any(name in one.changes for name in sds)
        ]
        read = [one for one in asked if math.isfinite(response.of(one))]
        names = tuple(
            name
            for name, sd in sds.items()
            if sd > 0 and name in EDITS and any(one.name == name for one in read)
        )
        kinds = tuple(dict.fromkeys(one.name for one in read))
        x = np.array(
            [
                [one.changes.get(name, 0.0) / sds[name] for name in names]
                + [abs(one.dose) * (one.name == kind) for kind in kinds]
                for one in read
            ]
        ).reshape(len(read), len(names) + len(kinds))
        y = np.array([response.of(one) for one in read])
        products = (x[:, :, None] * x[:, None, :]).reshape(len(read), x.shape[1] ** 2)
        terms = np.concatenate([products, x * y[:, None]], axis=1)
        prompts = tuple(one.prompt_id for one in read)
        return cls(names, kinds, x.shape[1], terms, prompts, len(asked) - len(read))

    @property
    def total(self) -> Array:
        return np.asarray(self.terms.sum(axis=0, keepdims=True))

    def slope(self, at: int) -> Statistic:
        """The coefficient of column `at`, from sums of terms [R, K² + K]."""
        size = self.num_columns

        def solve(sums: Array) -> Array:
            squares = sums[:, : size * size].reshape(-1, size, size)
            products = sums[:, size * size :, None]
            # A resample may lack an edit altogether: the pseudo-inverse leaves its cost at zero.
            return np.asarray((np.linalg.pinv(squares, hermitian=True) @ products)[:, at, 0])

        return solve


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
