"""What a judge makes of labels, wired: label rows -> JudgeLabels (actor pool) -> opinions.

Labels hold media and are streamed; opinions are numbers and come back as a list.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from actors.media_store import media_store
from actors.storage import arrow_path, place
from jobs.pipelines import data_files, num_rows, read_files, stage_wiring
from jobs.workspace import InputError, Model, Round, check_model
from schemas import manifest
from schemas.arrow import (
    LABELS,
    OPINIONS,
    check_schema,
    labels_from_table,
    opinions_from_table,
    opinions_to_table,
)
from schemas.places import Place
from schemas.recipe import Produce
from schemas.rows import Label, Opinion

#: Beside the judge's weights: what it makes of the labels held out.
OPINIONS_FILE = "opinions.parquet"
#: Names the recipe's `evaluate.endpoint` where a judge is asked for.
ENDPOINT = "endpoint"
#: Ends the name of a judge in an ONNX file.
ONNX = ".onnx"
Split = Literal["train", "heldout"]

_LABELS_AT_ONCE = 64  # rows hold media
_LABELS_PER_BLOCK = 256


def judge_ref(at: Round, *, is_calibrated: bool = False) -> Any:
    """The round's judge, to be loaded by a worker."""
    from actors.refs import JudgeRef

    spec = at.recipe.judge
    return JudgeRef(
        str(at.directory("judge")),
        at.address("judge"),
        spec.precision,
        spec.max_batch,
        is_calibrated=is_calibrated,
        trust_remote_code=spec.trust_remote_code,
    )


def named_judge(name: str | None, at: Round) -> tuple[Any, Model]:
    """A judge as a command line names it: what travels to the workers, and what it is called.

    Args:
        name: a directory or hub name, asked as `judge.specification` says, the ONNX file of a light
            judge, or "endpoint"; the round's judge where None. Code that comes with it is run only
            where it is the recipe's `judge.path` and `judge.trust_remote_code` is on.
        at: whose judge, and whose endpoint.

    Raises:
        InputError: there is none.
    """
    from actors.refs import ORACLE, EndpointRef, JudgeRef, OnnxRef

    if name is None:
        at.need("judge")
        return judge_ref(at), Model(str(at.directory("judge")), at.address("judge"))
    if name == ENDPOINT:
        if at.recipe.evaluate.endpoint is None:
            raise InputError(f"--judge {ENDPOINT}: the recipe has no evaluate.endpoint")
        asked = EndpointRef(at.recipe.evaluate.endpoint)
        return asked, Model(asked.spec.url, asked.address)
    if name == ORACLE:
        return JudgeRef(ORACLE, ORACLE), Model(ORACLE, ORACLE)
    if name.endswith(ONNX):
        directory, _, file = name.rpartition("/")
        check_model(directory or ".", "config.json", "--judge")
        return OnnxRef(directory or ".", name, file), Model(directory or ".", name)
    check_model(name, "config.json", "--judge")
    spec = at.recipe.judge
    if name != spec.path:  # trust in one checkpoint is none in another
        spec = spec.model_copy(update={"trust_remote_code": False})
    return JudgeRef.of(spec, name, name), Model(name, name)


def label_files(path: str) -> list[Place]:
    """The Parquet files of label rows: one file, or those of a complete data set.

    Raises:
        InputError: there are none.
    """
    found = place(path)
    if found.is_file():
        return [found]
    if not found.is_dir():
        raise InputError(f"labels.path: {path}: no such file")
    files = data_files(found)
    if manifest.read(found) is None or not files:
        raise InputError(f"labels.path: {path}: is no complete data set: it has no manifest")
    return files


def label_files_so_far(at: Round) -> list[Place]:
    """The label files of this round and all before it."""
    return [path for one in (*at.earlier(), at) for path in data_files(one.directory("labels"))]


def label_batches(files: Sequence[Place], split: Split | None = None) -> Iterator[pa.RecordBatch]:
    """Label rows in the order of their files, a few at a time."""
    # By default pyarrow keeps all that it has read of a file until the last row of it.
    options = ds.ParquetFragmentScanOptions(pre_buffer=False)
    parquet = ds.ParquetFileFormat(default_fragment_scan_options=options)
    sources = [arrow_path(path) for path in files]
    scanner = ds.dataset(
        [path for _, path in sources],
        schema=LABELS,
        format=parquet,
        filesystem=sources[0][0] if sources else None,
    ).scanner(
        filter=None if split is None else ds.field("split") == split,
        batch_size=_LABELS_AT_ONCE,
        batch_readahead=1,
        fragment_readahead=1,
    )
    if not files:
        return
    store = media_store(files[0].parent)  # data sets of one root share their objects
    for batch in scanner.to_batches():
        yield from store.bring_in(pa.Table.from_batches([batch])).to_batches()


def heldout_labels(at: Round) -> Iterator[Label]:
    """The held-out labels so far."""
    for batch in label_batches(label_files_so_far(at), "heldout"):
        yield from labels_from_table(batch)


def heldout_opinions(at: Round) -> list[Opinion]:
    """What the round's judge makes of the held-out labels so far, as `train_judge` asked it."""
    return read_opinions(at.directory("judge") / OPINIONS_FILE)


def judge_labels(
    ref: Any,
    files: Sequence[Place],
    settings: Produce,
    split: Split | None = None,
    *,
    with_scores: bool = False,
) -> list[Opinion]:
    """Let a pool of judges look at labels, in the order of their ids.

    Args:
        ref: `actors.group_workers.JudgeRef`.
        files: Parquet of label rows.
        settings: the pool of judges and its limits of time.
        split: of the labels; all of them where None.
        with_scores: score the sides of pairs as well.

    Raises:
        TooManyFailuresError: the judge does not load.
    """
    from ray.data.expressions import col

    from actors.judge_workers import JudgeLabels
    from actors.tally import TallyHandle
    from jobs import progress

    num = num_labels(files, split)
    tally = TallyHandle(1.0, settings.row_timeout_s, settings.load_timeout_s)
    rows = read_files(files, max(math.ceil(num_rows(files) / _LABELS_PER_BLOCK), 1))
    rows.context.enable_progress_bars = False  # they would be drawn over ours
    if split is not None:
        rows = rows.filter(expr=col("split") == split)
    rows = rows.map_batches(
        media_store(files[0].parent).bring_in,
        batch_format="pyarrow",
        batch_size=None,
        zero_copy_batch=True,
    )
    rows = rows.map_batches(
        JudgeLabels,
        fn_constructor_args=(ref, tally, with_scores),
        **stage_wiring(settings.judges, _LABELS_AT_ONCE),
    )
    found: list[Opinion] = []
    try:
        with progress.shown(f"labels before {ref.address}", num, tally):
            for table in rows.iter_batches(batch_size=None, batch_format="pyarrow"):
                if table.num_rows:  # one that holds no row may come without its columns
                    found += opinions_from_table(table)
    except Exception:
        tally.check()  # a worker that was told to stop says so less clearly
        raise
    return sorted(found, key=lambda one: one.label_id)


def num_labels(files: Sequence[Place], split: Split | None = None) -> int:
    """How many labels of a split there are; the media stay where they are."""
    if split is None:
        return num_rows(files)
    sources = [arrow_path(path) for path in files]
    tables = (pq.read_table(path, columns=["split"], filesystem=fs) for fs, path in sources)
    return sum(table.filter(pc.field("split") == split).num_rows for table in tables)


def write_opinions(path: Place, opinions: Sequence[Opinion]) -> None:
    """Write opinions, from which every figure can be measured again."""
    filesystem, name = arrow_path(path)
    pq.write_table(opinions_to_table(opinions), name, filesystem=filesystem, compression="zstd")


def read_opinions(path: Place) -> list[Opinion]:
    """Read opinions.

    Raises:
        InputError: there is no such file.
        SchemaError: it holds something else.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; `python -m jobs.train_judge` writes it")
    filesystem, name = arrow_path(path)
    table = pq.read_table(name, filesystem=filesystem)
    check_schema(table.schema, OPINIONS, str(path))
    return opinions_from_table(table)
