"""Groups to pairs: order, pair up, object, and write every pair with its verdict.

No model runs here, so thresholds can change and curation can run again in seconds. Rejected pairs
are written with their reasons; nothing is dropped.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from factory.curation import Curator
from factory.filters import objections_of
from factory.pairing import pairing_of
from factory.ranking import strategy_of
from jobs.pipelines import read_dataset, read_table, write_dataset
from jobs.stage import Outcome, Plan
from jobs.tracking import StageRun
from jobs.workspace import Round
from schemas.arrow import PAIRS, groups_from_table, pairs_from_table, pairs_to_table
from schemas.manifest import Parent
from schemas.places import Place
from schemas.rows import Pair


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

    def make(self, at: Round, directory: Place, run: StageRun) -> Outcome:
        curate = at.recipe.curate
        curator = Curator(
            strategy_of(curate.rank), objections_of(curate.objections), pairing_of(curate)
        )
        rows = read_dataset([at.directory("groups")])
        rows = rows.map_batches(CurateTable(curator), batch_format="pyarrow", batch_size=256)
        settled = write_dataset(rows, directory, PAIRS, "pair_id", at.recipe)
        pairs = pairs_from_table(read_table(directory, PAIRS, settled.files))
        return Outcome(
            count_pairs(pairs), count_reasons(pairs), digest=settled.digest, files=settled.files
        )


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
