"""Probes of edits as rows of a regression: what each changed, and how far the judge moved.

What is fitted to them, and what it means, is told in `response`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from factory.bias.edits import EDITS
from factory.bias.figure import DUELS, SCORES, Relevance
from factory.bias.probes import Probe
from factory.statistics.intervals import (
    Array,
    Interval,
    Jackknife,
    bootstraps_of_clusters,
    jackknives_of_clusters,
    sums_of_clusters,
)


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
