"""Groups to pairs, streamed: groups -> pairs with objections -> objections across them -> pairs.

Rows stream twice: once to be paired, and once to be amended by what only all pairs together can
say, which is decided in between from a few numbers of each. Large media stay where they are: pairs
refer to them as groups do, and what is asked of them was measured when they were made. They are
brought in where an objection needs their pixels, and where nobody has measured them yet.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.media_store import MediaStore, media_store
from factory.bias.balance import to_reject, to_weigh
from factory.bias.kept import lead
from factory.bias.observation import MEASURED, attributes_in
from factory.curation.curator import Curator
from factory.curation.survey import Survey
from factory.filters.across import Raised, Signatures, signature
from factory.ids import Ids, positions, to_numbers
from factory.scratch import Scratch
from factory.statistics.intervals import Array
from jobs.datasets.files import num_rows
from jobs.datasets.measured import with_measures
from jobs.datasets.parts import Settled
from jobs.datasets.reading import (
    JUDGED,
    data_files,
    read_dataset,
    read_files,
    small_blocks,
    stream,
)
from jobs.datasets.writing import write_dataset, write_parts
from schemas.arrow import groups_from_table, pairs_from_table, pairs_to_table, tags_from_rows
from schemas.columns import PAIRS
from schemas.places import Place
from schemas.recipe import Objections, Recipe
from schemas.rows import Group, Measures, Pair

if TYPE_CHECKING:
    from actors.tally import Piece, TallyHandle


_DRAFT = "_draft"
_CURATE, _AMEND, _BALANCE = "curate", "amend", "balance"  # the steps, as progress names them


_GROUPS_AT_ONCE = 256


_GROUPS_A_BLOCK = 1024


_LEAST_WEIGHT = 1e-3  # a pair that counts for less teaches nothing


#: What a draft holds beside the columns of a pair: see `factory.filters.across.Signature`.
_SIGNATURE = pa.schema([("signature_chosen", pa.uint64()), ("signature_rejected", pa.uint64())])
_DRAFTS = pa.schema([*PAIRS, *_SIGNATURE])


@dataclass(frozen=True)
class CurateTable:
    """Reads a table of groups; writes a table of their pairs, at least one for each group, with the
    signatures of those that are kept. Candidates of pairs have measures.

    store: where references to media lead.
    """

    curator: Curator
    tally: TallyHandle
    store: MediaStore

    def __call__(self, table: pa.Table) -> pa.Table:
        groups = with_measures(groups_from_table(table), self.store)
        with self.tally.busy(_CURATE, [one.prompt.prompt_id for one in groups]) as done:
            return self._pairs(groups, done)

    def _pairs(self, groups: Sequence[Group], done: Piece) -> pa.Table:
        pairs = [pair for some in self.curator.all_of(groups, self._fetch) for pair in some]
        for pair in pairs:
            if pair.verdict == "invalid":
                done.fail(pair.prompt.prompt_id, "; ".join(pair.objections))
        signed = [signature(pair) if pair.verdict == "kept" else None for pair in pairs]
        found = pairs_to_table(pairs)
        for name, side in zip(_SIGNATURE.names, ("chosen", "rejected"), strict=True):
            values = [None if one is None else getattr(one, side) for one in signed]
            found = found.append_column(name, pa.array(values, pa.uint64()))
        return found

    def _fetch(self, pair: Pair) -> Pair:
        return pairs_from_table(self.store.bring_in(pairs_to_table([pair])))[0]


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
        tally: TallyHandle,
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
            with tally.busy(_BALANCE, batch.column("pair_id").to_pylist()):
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


def run_curation(
    groups: Place,
    directory: Place,
    curator: Curator,
    objections: Objections,
    recipe: Recipe,
    balance: Balance | None = None,
) -> Settled:
    """Curate a data set of groups into `directory`, with the objections that need all of it.

    Raises:
        TooManyFailuresError: an objection of the user's own cannot be loaded on a worker.
    """
    from actors.tally import Tallied, TallyHandle
    from jobs.session.progress import shown

    # Drivers that race each have a draft of their own; one that a killed driver left is cleared
    # with all else that the manifest does not name.
    prefix = f"{_DRAFT}-{uuid.uuid4().hex}"
    files = data_files(groups)
    tally, store = TallyHandle(), media_store(groups)
    # Pairs may refer to what groups refer to where both are of one root.
    is_one_root = store.root == media_store(directory).root
    num_blocks = small_blocks(files, _GROUPS_A_BLOCK)
    rows = read_dataset([groups], JUDGED, num_blocks, media="inline" if is_one_root else "all")
    rows.context.enable_progress_bars = False  # they would be drawn over ours
    rows = rows.map_batches(
        CurateTable(curator, tally, store), batch_format="pyarrow", batch_size=_GROUPS_AT_ONCE
    )
    try:
        with shown(directory.name, num_rows(files), tally, _CURATE):
            write_parts(rows, directory, _DRAFTS, recipe, prefix)
    except Exception:
        tally.check()  # a worker on which an objection cannot be loaded says so less clearly
        raise
    draft = sorted(path.name for path in directory.glob(f"{prefix}-*.parquet"))
    raised = _gather(directory, draft, objections).objections()
    drafts = [directory / name for name in draft]
    num_pairs = num_rows(drafts)
    amend = Amend((raised,))
    if balance is not None:
        with shown(directory.name, num_pairs, tally, _BALANCE):
            amend = balance(directory, raised, tally, draft)
    rows = read_files(drafts, _DRAFTS, len(drafts) or None)
    amended = Tallied(amend, tally, _AMEND, "pair_id")
    rows = rows.map_batches(amended, batch_format="pyarrow", batch_size=None)
    with shown(directory.name, num_pairs, tally, _AMEND):
        settled = write_dataset(rows, directory, PAIRS, "pair_id", recipe)
    for name in draft:
        (directory / name).unlink(missing_ok=True)
    return settled


def _gather(directory: Place, draft: Sequence[str], objections: Objections) -> Signatures:
    """The signatures of the pairs that are kept so far."""
    found = Signatures(objections.max_per_slice, objections.min_pair_distance)
    columns = ["pair_id", "tags", "verdict", *_SIGNATURE.names]
    for table in stream(directory, columns, files=draft):
        kept = table.filter(pc.equal(table.column("verdict"), "kept"))
        chosen, rejected = (kept.column(name) for name in _SIGNATURE.names)
        found.add(
            to_numbers(kept.column("pair_id")),
            chosen.fill_null(0).to_numpy(),
            rejected.fill_null(0).to_numpy(),
            chosen.is_valid().to_numpy(),
            [tags_from_rows(row) for row in kept.column("tags").to_pylist()],
        )
    return found


def survey_pairs(directory: Place, files: Sequence[str] | None = None) -> Survey:
    """Count the pairs of a data set by verdict, objection and slice.

    Args:
        directory: of the data set.
        files: names of its files, where it is not complete yet.
    """
    survey = Survey()
    for table in stream(directory, ["verdict", "objections", "tags", "weight"], files=files):
        for row in table.to_pylist():
            tags = tags_from_rows(row["tags"])
            survey.add(row["verdict"], row["objections"] or (), tags, row["weight"])
    return survey
