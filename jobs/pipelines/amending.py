"""What is said of pairs once all of them are known, and how their rows come to say it.

Objections that were raised across the data set, and the balance of attributes. Both are decided
from a few numbers of each pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from factory.bias.balance import to_reject, to_weigh
from factory.bias.kept import lead
from factory.bias.observation import MEASURED, attributes_in
from factory.filters.across import Raised
from factory.ids import Ids, positions, to_numbers
from factory.scratch import Scratch
from factory.statistics.intervals import Array
from jobs.datasets.reading import stream
from schemas.columns import PAIRS
from schemas.places import Place
from schemas.rows import Measures

AMEND, BALANCE = "amend", "balance"  # the steps, as progress names them
_LEAST_WEIGHT = 1e-3  # a pair that counts for less teaches nothing


class Busy(Protocol):
    """Who is told of rows that are worked on: see `actors.tally.TallyHandle`."""

    def busy(self, step: str, rows: Sequence[str]) -> AbstractContextManager[Any]: ...


@dataclass(frozen=True, eq=False)
class Amend:
    """Reads a draft; writes pairs, with what was decided over all of them.

    raised: one more objection each to some pairs; a pair is objected to by one of them at most.
    weighed: ids of the pairs that do not count in full, ascending, [N].
    weights: of those, [N].
    """

    raised: Sequence[Raised] = ()
    weighed: Ids = field(default_factory=lambda: np.empty(0, np.uint64))
    weights: Array = field(default_factory=lambda: np.empty(0))

    def __call__(self, table: pa.Table) -> pa.Table:
        ids = to_numbers(table.column("pair_id"))
        table = table.select(PAIRS.names)
        at = positions(ids, self.weighed)
        more = [
            [one for one in found if one is not None]
            for found in zip(*(one.about(ids) for one in self.raised), strict=True)
        ] or [[] for _ in ids]
        if not any(more) and not (at >= 0).any():
            return table
        verdicts = [
            "rejected" if found else verdict
            for found, verdict in zip(more, table.column("verdict").to_pylist(), strict=True)
        ]
        objections = [
            [*(given or ()), *found]
            for found, given in zip(more, table.column("objections").to_pylist(), strict=True)
        ]
        weights = np.ones(len(ids))
        weights[at >= 0] = self.weights[at[at >= 0]]
        columns = {"verdict": verdicts, "objections": objections, "weight": weights}
        for name, values in columns.items():
            column = PAIRS.field(name)
            table = table.set_column(
                PAIRS.get_field_index(name), column, [pa.array(values, column.type)]
            )
        return table


@dataclass(frozen=True)
class Balance:
    """Sees to it that chosen sides lead by no more than a limit in any attribute, on average.

    sds: one standard deviation of each attribute.
    limit: of the mean lead, in standard deviations.
    is_weighting: whether pairs that lead much count for less; else they are objected to.
    """

    sds: Mapping[str, float]
    limit: float
    is_weighting: bool = False

    def __call__(
        self,
        directory: Place,
        raised: Raised,
        tally: Busy,
        files: Sequence[str] | None = None,
    ) -> Amend:
        """The objections raised and one more for each pair that is too much, or the weights of
        those that count for less; a pair that would not count at all is objected to.

        Args:
            directory: of pairs of measured candidates; only numbers of each are read.
            raised: objections that are raised already.
            tally: counts the pairs that were looked at.
            files: names of the pairs' files, where they are not the data set yet.

        Raises:
            ValueError: a candidate of a kept pair was not measured; names the pair.
        """
        names = [name for name, sd in self.sds.items() if sd > 0]
        found, leads = Scratch(np.uint64), Scratch(np.float64)
        looks = [f"{side}.measures.{name}" for side in ("chosen", "rejected") for name in MEASURED]
        columns = ["pair_id", "verdict", *looks]
        for batch in stream(directory, columns, files=files, media="none"):
            kept = batch.filter(pc.equal(batch.column("verdict"), "kept"))
            ids = to_numbers(kept.column("pair_id"))
            is_free = positions(ids, raised.ids) < 0
            with tally.busy(BALANCE, batch.column("pair_id").to_pylist()):
                found.add(ids[is_free])
                for row in kept.filter(pa.array(is_free)).to_pylist():
                    leads.add(np.array(self._leads(row, names)))
        ids = found.array()
        table = leads.array().reshape(len(ids), len(names))
        if self.is_weighting:
            weights = to_weigh(table, self.limit)
            gone = weights < _LEAST_WEIGHT
        else:
            gone = to_reject(table, self.limit)
            weights = np.ones(len(ids))
        reasons = (self._reason(names, table[at]) for at in np.flatnonzero(gone))
        light = np.flatnonzero(~gone & (weights < 1))
        light = light[np.argsort(ids[light])]
        return Amend((raised, Raised.of(ids[gone], reasons)), ids[light], weights[light])

    def _leads(self, pair: Mapping[str, Any], names: Sequence[str]) -> list[float]:
        measures = [pair[side]["measures"] for side in ("chosen", "rejected")]
        if None in measures:
            raise ValueError(f"pair {pair['pair_id']}: a side was not measured")
        chosen, rejected = (attributes_in(Measures(**one)) for one in measures)
        return lead(chosen, rejected, {name: self.sds[name] for name in names})

    def _reason(self, names: Sequence[str], leads: Sequence[float]) -> str:
        lead, name = max(zip(leads, names, strict=True), key=lambda one: abs(one[0]))
        return (
            f"imbalance: the chosen side leads by {lead:.2g} sd of {name}, and chosen sides as a "
            f"whole by more than {self.limit:g}"
        )
