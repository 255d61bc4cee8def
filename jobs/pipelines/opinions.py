"""What a judge makes of labels, wired: label rows -> JudgeLabels (actor pool) -> opinions.

Labels hold media and are streamed; opinions are numbers and come back as a list.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

from actors.media_store import media_store
from factory.evaluation import gates
from factory.evaluation.agreement import measure
from jobs.datasets.files import num_rows, read_columns, write_table
from jobs.datasets.labels import _LABELS_AT_ONCE, Split, num_labels
from jobs.datasets.reading import read_files
from jobs.pipelines.groups import step_wiring
from jobs.pipelines.judge_backends import pool_for
from jobs.rounds.workspace import InputError, Round, is_judge_given, is_labelled, judge_address
from schemas.arrow import opinions_from_table, opinions_to_table
from schemas.columns import LABELS, OPINIONS, check_schema
from schemas.places import Place
from schemas.recipe import Produce
from schemas.results import Finding
from schemas.rows import Opinion

#: Beside the judge's weights: what it makes of the labels held out.
OPINIONS_FILE = "opinions.parquet"

_LABELS_PER_BLOCK = 256


def heldout_opinions(at: Round) -> list[Opinion]:
    """What the round's judge makes of the held-out labels so far: as `train_judge` asked it, or, of
    one that is used as it is, the audit; none where there are no labels.
    """
    if is_judge_given(at) and not is_labelled(at):
        return []
    return read_opinions(_heldout_file(at))


def was_held_against_labels(at: Round) -> bool:
    """Whether there is something that the round's judge makes of held-out labels: of a judge that
    was put there without having been trained or audited here, there is not.
    """
    return _heldout_file(at).is_file()


def _heldout_file(at: Round) -> Place:
    return at.directory("profile" if is_judge_given(at) else "judge") / OPINIONS_FILE


def hold_against_gates(opinions: Sequence[Opinion], at: Round) -> tuple[Finding, ...]:
    """The gates look at all held-out labels: nothing that they ask for was fitted on any."""
    found = measure(opinions, seed=at.recipe.seed)
    gate = gates.judge_gates(found.accuracy.without_ties, found.flips, at.recipe.gates)
    return tuple(finding.about(judge_address(at)) for finding in gate)


def judge_labels(
    ref: Any,
    files: Sequence[Place],
    settings: Produce,
    split: Split | None = None,
    *,
    with_scores: bool = False,
    only: Collection[str] | None = None,
) -> list[Opinion]:
    """What a judge makes of labels, in the order of their ids; see `judges_on_labels`."""
    (found,) = judges_on_labels(
        [ref], files, settings, split, with_scores=with_scores, only=only
    ).values()
    return found


def judges_on_labels(
    refs: Sequence[Any],
    files: Sequence[Place],
    settings: Produce,
    split: Split | None = None,
    *,
    with_scores: bool = False,
    only: Collection[str] | None = None,
) -> dict[str, list[Opinion]]:
    """Let a pool of workers, each with all of the judges, look at labels: opinions by the address
    of each judge, in the order of the labels' ids.

    Args:
        refs: `actors.group_workers.JudgeRef`, of different addresses.
        files: Parquet of label rows.
        settings: the pool of judges and its limits of time.
        split: of the labels; all of them where None.
        with_scores: score the sides of pairs as well.
        only: ids of the labels that are looked at; all where None.

    Raises:
        TooManyFailuresError: a judge does not load.
    """
    from ray.data.expressions import col

    from actors.judge_workers import JudgeLabels
    from actors.tally import TallyHandle
    from jobs.session import progress

    num = num_labels(files, split) if only is None else len(only)
    tally = TallyHandle(1.0, settings.row_timeout_s, settings.load_timeout_s)
    rows = read_files(files, LABELS, max(math.ceil(num_rows(files) / _LABELS_PER_BLOCK), 1))
    rows.context.enable_progress_bars = False  # they would be drawn over ours
    if split is not None:
        rows = rows.filter(expr=col("split") == split)
    if only is not None:
        rows = rows.filter(expr=col("label_id").is_in(list(only)))
    rows = rows.map_batches(
        media_store(files[0].parent).stream_in,
        batch_format="pyarrow",
        batch_size=None,
        zero_copy_batch=True,
    )
    rows = rows.map_batches(
        JudgeLabels,
        fn_constructor_args=(refs, tally, with_scores),
        **step_wiring(pool_for(refs, settings.judges), _LABELS_AT_ONCE),
    )
    found: list[Opinion] = []
    try:
        names = ", ".join(one.address for one in refs)
        with progress.shown(f"labels before {names}", num, tally):
            for table in rows.iter_batches(batch_size=None, batch_format="pyarrow"):
                if table.num_rows:  # one that holds no row may come without its columns
                    found += opinions_from_table(table)
    except Exception:
        tally.check()  # a worker that was told to stop says so less clearly
        raise
    found.sort(key=lambda one: one.label_id)  # those of one label stay in the judges' order
    return {one.address: found[at :: len(refs)] for at, one in enumerate(refs)}


def write_opinions(path: Place, opinions: Sequence[Opinion]) -> None:
    """Write opinions, from which every figure can be measured again."""
    write_table(path, opinions_to_table(opinions))


def read_opinions(path: Place) -> list[Opinion]:
    """Read opinions.

    Raises:
        InputError: there is no such file.
        SchemaError: it holds something else.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; `python -m jobs.train_judge` writes it, or, where the judge is "
            "not trained here, `python -m jobs.audit`"
        )
    table = read_columns(path)
    check_schema(table.schema, OPINIONS, str(path))
    return opinions_from_table(table)
