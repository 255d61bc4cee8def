"""Groups to pairs: order, pair up, object, and write every pair with its verdict.

No model runs here, so thresholds can change and curation can run again in seconds. Rejected pairs
are written with their reasons; nothing is dropped.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from factory.bias.balance import to_reject
from factory.bias.observation import measure_candidate
from factory.curation import Curator
from factory.filters import objections_of
from factory.pairing import pairing_of
from factory.ranking import strategy_of
from jobs.pipelines import data_files, digest_dataset, read_table
from jobs.stage import Outcome, Plan
from jobs.stages.audit import correction_of, read_profile
from jobs.tracking import StageRun
from jobs.workspace import Round
from schemas.arrow import PAIRS, groups_from_table, pairs_from_table, pairs_to_table
from schemas.manifest import Parent
from schemas.rows import Pair

_PAIRS_AT_ONCE = 256


@dataclass(frozen=True)
class CurateTable:
    """Reads a table of groups; writes a table of their pairs, at least one for each group."""

    curator: Curator

    def __call__(self, table: pa.Table) -> pa.Table:
        return pairs_to_table(
            pair for group in groups_from_table(table) for pair in self.curator(group)
        )


class Curate:
    """Makes `pairs@N`."""

    kind = "pairs"
    resumes = False

    def plan(self, at: Round) -> Plan:
        return Plan("every group", "1 curator", 1.0)

    def settings(self, at: Round) -> dict[str, Any]:
        return at.recipe.curate.model_dump()

    def parents(self, at: Round) -> list[Parent]:
        return [at.parent("groups"), at.parent("profile")]

    def make(self, at: Round, directory: Path, run: StageRun) -> Outcome:
        import ray.data

        curate = at.recipe.curate
        curator = Curator(
            strategy_of(curate.rank),
            objections_of(curate.objections),
            pairing_of(curate),
            correction_of(at),
        )
        groups = at.directory("groups")
        rows = ray.data.read_parquet([str(path) for path in sorted(groups.glob("[!_]*.parquet"))])
        rows = rows.map_batches(CurateTable(curator), batch_format="pyarrow", batch_size=256)
        rows.write_parquet(str(directory))
        if curate.correct.max_lean is not None:
            balance(directory, read_profile(at).sds, curate.correct.max_lean)
        pairs = pairs_from_table(read_table(directory, PAIRS))
        return Outcome(count_pairs(pairs), count_reasons(pairs), digest=digest_dataset(directory))


def balance(directory: Path, sds: Mapping[str, float], limit: float) -> None:
    """Reject kept pairs until chosen sides lead by no more than `limit` in any attribute.

    Two passes over the files, one batch in memory at a time: the first only takes numbers along.

    Args:
        directory: of the pairs, written and without a manifest yet.
        sds: one standard deviation of each attribute.
        limit: of the mean lead, in standard deviations.
    """
    names = [name for name, sd in sds.items() if sd > 0]
    ids, leads = [], []
    for path in data_files(directory):
        for pair in _pairs_of(path):
            if pair.verdict == "kept":
                chosen, rejected = (measure_candidate(one) for one in (pair.chosen, pair.rejected))
                ids.append(pair.pair_id)
                leads.append(
                    [
                        (chosen.get(name, math.nan) - rejected.get(name, math.nan)) / sds[name]
                        for name in names
                    ]
                )
    lead_of = np.array(leads).reshape(len(ids), len(names))
    gone = {ids[at]: lead_of[at] for at in np.flatnonzero(to_reject(lead_of, limit))}
    for path in data_files(directory):
        pairs = [_unbalanced(pair, gone, names, limit) for pair in _pairs_of(path)]
        pq.write_table(pairs_to_table(pairs), path)


def _pairs_of(path: Path) -> Iterator[Pair]:
    for batch in pq.ParquetFile(path).iter_batches(batch_size=_PAIRS_AT_ONCE):
        yield from pairs_from_table(batch)


def _unbalanced(
    pair: Pair, gone: Mapping[str, Sequence[float]], names: Sequence[str], limit: float
) -> Pair:
    """The pair, rejected where the balance asks for it."""
    if pair.pair_id not in gone:
        return pair
    lead, name = max(zip(gone[pair.pair_id], names, strict=True), key=lambda one: abs(one[0]))
    reason = (
        f"imbalance: the chosen side leads by {lead:.2g} sd of {name}, and chosen sides as a "
        f"whole by more than {limit:g}"
    )
    return replace(pair, verdict="rejected", objections=(*pair.objections, reason))


def count_pairs(pairs: list[Pair]) -> dict[str, int]:
    """Pairs by verdict."""
    verdicts = Counter(pair.verdict for pair in pairs)
    return {"pairs": len(pairs), **{one: verdicts[one] for one in ("kept", "rejected", "invalid")}}


def count_reasons(pairs: list[Pair]) -> dict[str, float]:
    """How many pairs each objection was raised against; one pair may have several."""
    reasons = Counter(
        objection.partition(":")[0] for pair in pairs for objection in pair.objections
    )
    return {f"objection_{reason.replace(' ', '_')}": num for reason, num in reasons.items()}


STAGE = Curate()
