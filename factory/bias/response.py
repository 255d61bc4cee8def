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
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from factory.bias.edits import EDITS
from factory.bias.figure import Figure, Relevance, Side
from factory.bias.probes import Probe
from factory.bias.shrinkage import shrunk
from factory.statistics.intervals import (
    Array,
    Interval,
    Jackknife,
    bootstrap_of_sums,
    bootstraps_of_clusters,
    clustered_bootstrap,
    jackknife_of_sums,
    jackknives_of_clusters,
    mean_of_sums,
    sums_of_clusters,
)
from schemas.rows import seed_of

SCORES, DUELS = "slope of scores", "slope of duels"
#: Attributes that are moved one way alone, and the side on which their slope accuses.
SIDES: Mapping[str, Side] = {
    edit.moves: "above" if edit.only > 0 else "below"
    for edit in EDITS.values()
    if edit.moves is not None and edit.only
}
_HALVES = "corrected: fitted on half of the prompts, measured on the others"
_ONE_SIDED = "accuses on one side alone: the judge may mind the edit for a good reason"


@dataclass(frozen=True)
class Response:
    """One way in which a judge responds: in points of its scores, or in log-odds of its duels."""

    measure: str
    unit: str
    margin: float
    of: Callable[[Probe], float]
    is_asked: Callable[[Probe], bool] = lambda probe: True


def responses(relevance: Relevance) -> tuple[Response, ...]:
    """Of scores, then of duels, with what is too small to matter of either."""
    return (
        Response(SCORES, "points per sd", relevance.points, lambda probe: probe.shift),
        Response(
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


@dataclass(frozen=True, eq=False)
class Rows:
    """Edits as rows of a regression.

    names: attributes, whose slopes come first.
    kinds: edits, whose costs come after.
    x: changes of the attributes in standard deviations, then the dose of each edit, [n, K].
    y: shifts, in points or log-odds, [n].
    prompts: of each row, length n.
    num_invalid: edits that could not be read.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    x: Array
    y: Array
    prompts: tuple[str, ...]
    num_invalid: int = 0

    @classmethod
    def of(cls, edits: Sequence[Probe], sds: Mapping[str, float], response: Response) -> Rows:
        """The rows of a response.

        Args:
            edits: probes of edits.
            sds: one standard deviation of each attribute over the candidates of a prompt.
            response: in points or in log-odds.
        """
        asked = [
            one
            for one in edits
            if response.is_asked(one) and any(name in one.changes for name in sds)
        ]
        read = [one for one in asked if math.isfinite(response.of(one))]
        moved = {EDITS[one.name].moves for one in read}
        names = tuple(name for name, sd in sds.items() if sd > 0 and name in moved)
        kinds = tuple(
            name for name in dict.fromkeys(one.name for one in read) if _has_cost(name, names)
        )
        changes = _changes(read, edits, response)
        x = np.array(
            [
                [change.get(name, 0.0) / sds[name] for name in names]
                + [abs(one.dose) * (one.name == kind) for kind in kinds]
                for one, change in zip(read, changes, strict=True)
            ]
        ).reshape(len(read), len(names) + len(kinds))
        y = np.array([response.of(one) for one in read])
        if response.measure == SCORES:
            _centre(x, y, read)
        prompts = tuple(one.prompt_id for one in read)
        return cls(names, kinds, x, y, prompts, len(asked) - len(read))

    def jackknives(self) -> list[Jackknife]:
        """Each coefficient with its standard error, clustered by prompt: slopes, then costs."""
        return jackknives_of_clusters(self._sums, self._solve, self.x.shape[1])

    def bootstraps(self, num_resamples: int, seed: int) -> list[Interval]:
        """Each coefficient with its interval, clustered by prompt: slopes, then costs."""
        num = self.x.shape[1]
        return bootstraps_of_clusters(self._sums, self._solve, num, num_resamples, seed)

    @property
    def _sums(self) -> Array:
        """Of each prompt, products of the columns with each other and with y, [P, K² + K]."""
        num, size = self.x.shape
        products = (self.x[:, :, None] * self.x[:, None, :]).reshape(num, size * size)
        terms = np.concatenate([products, self.x * self.y[:, None]], axis=1)
        return sums_of_clusters(terms, self.prompts)

    def _solve(self, sums: Array) -> Array:
        """The coefficients [R, K], from sums of terms [R, K² + K]."""
        size = self.x.shape[1]
        squares = sums[:, : size * size].reshape(-1, size, size)
        products = sums[:, size * size :, None]
        # A resample may lack an edit altogether: the pseudo-inverse leaves its cost at zero.
        return np.asarray((np.linalg.pinv(squares, hermitian=True) @ products)[:, :, 0])


def _has_cost(name: str, fitted: Collection[str]) -> bool:
    """Whether an edit has a cost of its own. One that moves its attribute one way alone has none
    beside the slope: its dose and what it moves are the same thing.
    """
    edit = EDITS[name]
    return not (edit.only and edit.moves in fitted)


def _changes(
    read: Sequence[Probe], edits: Sequence[Probe], response: Response
) -> list[Mapping[str, float]]:
    """What changed between the two that each row compares: in points the copy and the original, in
    a duel those that met.
    """
    if response.measure == SCORES:
        return [one.changes for one in read]
    smallest: dict[tuple[str, str, str], Probe] = {}
    for one in edits:
        if EDITS[one.name].is_among_edited:
            known = smallest.setdefault(_copies(one), one)
            if abs(one.dose) < abs(known.dose):
                smallest[_copies(one)] = one
    found: list[Mapping[str, float]] = []
    for one in read:
        base = smallest.get(_copies(one))
        if base is None or base is one:
            found.append(one.changes)
        else:
            found.append({k: v - base.changes.get(k, 0.0) for k, v in one.changes.items()})
    return found


def _centre(x: Array, y: Array, read: Sequence[Probe]) -> None:
    """Hold the copies of each candidate against each other where the original is not to count, in
    place: what belongs to the candidate, and to being edited at all, goes with the mean.
    """
    places: dict[tuple[str, str, str], list[int]] = {}
    for at, one in enumerate(read):
        if EDITS[one.name].is_among_edited:
            places.setdefault(_copies(one), []).append(at)
    for rows in places.values():
        x[rows] -= x[rows].mean(axis=0)
        y[rows] -= y[rows].mean()


def _copies(probe: Probe) -> tuple[str, str, str]:
    return probe.prompt_id, probe.candidate_id, probe.name


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
