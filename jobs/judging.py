"""The round's judge, the labels so far, and what the judge makes of those held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.dataset as ds

from jobs.pipelines import data_files, read_table
from jobs.workspace import InputError, Round
from schemas import manifest
from schemas.arrow import LABELS, labels_from_table
from schemas.rows import Label

if TYPE_CHECKING:
    from actors.measure import Opinions

_LABELS_AT_ONCE = 64  # rows hold media


def judge_ref(at: Round) -> Any:
    """The round's judge, to be loaded by a worker."""
    from actors.stages import JudgeRef

    return JudgeRef(str(at.directory("judge")), at.address("judge"), at.recipe.judge.precision)


def label_files(path: str) -> list[Path]:
    """The Parquet files of label rows: one file, or those of a complete data set.

    Raises:
        InputError: there are none.
    """
    found = Path(path)
    if found.is_file():
        return [found]
    if not found.is_dir():
        raise InputError(f"labels.path: {path}: no such file")
    files = data_files(found)
    if manifest.read(found) is None or not files:
        raise InputError(f"labels.path: {path}: is no complete data set: it has no manifest")
    return files


def label_batches(
    files: Sequence[Path], split: Literal["train", "heldout"] | None = None
) -> Iterator[pa.RecordBatch]:
    """Label rows in the order of their files, a few at a time."""
    scanner = ds.dataset([str(path) for path in files], schema=LABELS, format="parquet").scanner(
        filter=None if split is None else ds.field("split") == split,
        batch_size=_LABELS_AT_ONCE,
        batch_readahead=1,
        fragment_readahead=1,
    )
    yield from scanner.to_batches()


def labels_so_far(at: Round) -> list[Label]:
    """The labels of this round and all before it."""
    folders = [one.directory("labels") for one in (*at.earlier(), at)]
    return [label for folder in folders for label in labels_from_table(read_table(folder, LABELS))]


def judge_heldout_labels(at: Round) -> tuple[list[Label], Opinions]:
    """The held-out labels so far, and what the round's judge makes of each."""
    import ray

    from actors.measure import judge_labels

    heldout = [label for label in labels_so_far(at) if label.split == "heldout"]
    pool = at.recipe.produce.judges
    measure = ray.remote(num_cpus=pool.num_cpus, num_gpus=pool.num_gpus)(judge_labels)
    return heldout, ray.get(measure.remote(judge_ref(at), heldout))
