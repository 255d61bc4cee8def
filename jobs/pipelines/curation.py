"""Groups to pairs, streamed: groups -> pairs with objections -> objections across them -> pairs.

Groups stream once, to be paired: through workers, or through this process where they are few. What
only all pairs together can say is decided from a few numbers of each, and they are amended by it as
their drafts are joined to the files of the data set. Large media stay where they are: pairs
refer to them as groups do, and what is asked of them was measured when they were made. They are
brought in where an objection needs their pixels, and where nobody has measured them yet.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from actors.media_store import MediaStore, media_store
from factory.curation.curator import Curator
from factory.curation.survey import Survey
from factory.filters.across import Signatures, signature
from factory.filters.objection import needs_pixels
from factory.filters.plugged_in import PluggedIn
from factory.ids import to_numbers
from jobs.datasets.files import num_rows, write_file
from jobs.datasets.measured import lacks_measures, with_measures
from jobs.datasets.parts import Finish, Settled, named_parts, settle
from jobs.datasets.reading import (
    JUDGED,
    data_files,
    read_dataset,
    small_blocks,
    stream,
)
from jobs.datasets.writing import write_parts
from jobs.pipelines.amending import AMEND, BALANCE, Amend, Balance
from jobs.session.run_log import note
from schemas.arrow import groups_from_table, pairs_from_table, pairs_to_table, tags_from_rows
from schemas.columns import PAIRS, upgraded
from schemas.places import Place
from schemas.recipe import Objections, Recipe
from schemas.rows import Group, Pair

if TYPE_CHECKING:
    from actors.tally import Piece, TallyHandle


#: What tells whether a candidate was measured.
_IS_MEASURED = [
    f"candidates.list.element.{leaf}" for leaf in ("measures.digest", "media.width", "error")
]
_DRAFT = "_draft"
_CURATE = "curate"  # the step, as progress names it
_GROUPS_AT_ONCE = 256
_GROUPS_A_BLOCK = 1024
#: As many are paired in this process, at two thirds of a millisecond each, as workers would take to
#: start.
_GROUPS_HERE = 8192
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
    tally: TallyHandle | Here
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


@dataclass(frozen=True)
class Here:
    """Stands for a tally where groups are paired in this process: it is done before anybody would
    ask how far it is. Rows that came to nothing are noted in the run's log.

    address: of what is made.
    """

    address: str

    @contextmanager
    def busy(self, step: str, rows: Sequence[str]) -> Iterator[Piece]:
        """Work on some rows; see `TallyHandle.busy`."""
        from actors.tally import Piece

        piece = Piece(step)
        yield piece
        at: dict[str, Any] = {"stage": self.address, "in": step}
        for row, error in piece.numbers.examples:
            note("row_invalid", **at, row=row, error=error)

    def check(self) -> None:
        """Nothing stops what is done here but its own exception; see `TallyHandle.check`."""


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

    # Drivers that race each have a draft of their own; one that a killed driver left is cleared
    # with all else that the manifest does not name.
    prefix = f"{_DRAFT}-{uuid.uuid4().hex}"
    is_here = _is_soon_done(groups, directory, curator)
    tally = Here(directory.name) if is_here else TallyHandle()
    work = CurateTable(curator, tally, media_store(groups))
    draft = _draft_here if is_here else _draft
    draft(groups, directory, work, recipe, prefix)
    names = sorted(path.name for path in directory.glob(f"{prefix}*.parquet"))
    raised = _gather(directory, names, objections).objections()
    num_pairs = num_rows([directory / name for name in names])
    amend = Amend((raised,))
    if balance is not None:
        with _shown(directory, num_pairs, tally, BALANCE):
            amend = balance(directory, raised, tally, names)
    told = amend if isinstance(tally, Here) else Tallied(amend, tally, AMEND, "pair_id")
    finish = Finish(_DRAFTS, told)
    with _shown(directory, num_pairs, tally, AMEND):
        parts = named_parts(directory, names, "pair_id")
        settled = settle(parts, directory, PAIRS, recipe.storage, finish=finish)
    for name in names:
        (directory / name).unlink(missing_ok=True)
    return settled


def _is_soon_done(groups: Place, directory: Place, curator: Curator) -> bool:
    """Whether this process pairs the groups in less time than workers take to start: there are few,
    all were measured when they were made, and nobody else's code is to look at them.
    """
    if num_rows(data_files(groups)) > _GROUPS_HERE or not _is_one_root(groups, directory):
        return False
    objections = curator.objections
    if any(needs_pixels(one) or isinstance(one, PluggedIn) for one in objections):
        return False
    candidates = pa.schema([JUDGED.field("candidates")])
    tables = stream(groups, _IS_MEASURED, media="none")
    return not any(lacks_measures(upgraded(one, candidates)) for one in tables)


def _is_one_root(groups: Place, directory: Place) -> bool:
    """Whether pairs may refer to what groups refer to."""
    return media_store(groups).root == media_store(directory).root


def _draft_here(
    groups: Place, directory: Place, work: CurateTable, recipe: Recipe, prefix: str
) -> None:
    read = stream(groups, JUDGED.names, _GROUPS_AT_ONCE, media="inline")
    tables = (work(upgraded(one, JUDGED)) for one in read)
    target = directory / f"{prefix}.parquet"
    write_file(target, tables, _DRAFTS, recipe.storage.row_group_bytes)


def _draft(groups: Place, directory: Place, work: CurateTable, recipe: Recipe, prefix: str) -> None:
    files = data_files(groups)
    num_blocks = small_blocks(files, _GROUPS_A_BLOCK)
    is_one_root = _is_one_root(groups, directory)
    rows = read_dataset([groups], JUDGED, num_blocks, media="inline" if is_one_root else "all")
    rows.context.enable_progress_bars = False  # they would be drawn over ours
    rows = rows.map_batches(work, batch_format="pyarrow", batch_size=_GROUPS_AT_ONCE)
    try:
        with _shown(directory, num_rows(files), work.tally, _CURATE):
            write_parts(rows, directory, _DRAFTS, recipe, prefix)
    except Exception:
        work.tally.check()  # a worker on which an objection cannot be loaded says so less clearly
        raise


def _shown(
    directory: Place, num: int, tally: TallyHandle | Here, step: str
) -> AbstractContextManager[None]:
    from jobs.session.progress import shown

    if isinstance(tally, Here):
        return nullcontext()
    return shown(directory.name, num, tally, step)


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
