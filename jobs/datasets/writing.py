"""How data sets are written with Ray: as parts, which `parts.settle` makes files of."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa

from actors.media_store import MediaStore, media_store, without_bytes
from actors.memory import reason
from actors.storage import StorageError, arrow_path
from jobs.datasets.files import write_table, writer_options
from schemas.places import Place
from schemas.recipe import Recipe

Made = TypeVar("Made")


def write_parts(
    rows: Any, directory: Place, schema: pa.Schema, recipe: Recipe, prefix: str = "part"
) -> None:
    """Write a Ray data set as parts: one file for each block, each whole or not there."""
    import ray.data

    filesystem, path = arrow_path(directory)
    rows = rows.map_batches(
        media_store(directory, recipe.storage.max_inline_bytes).put_out,
        batch_format="pyarrow",
        batch_size=None,
        zero_copy_batch=True,
        num_cpus=_THIN,
    )
    rows.write_parquet(
        path,
        filesystem=filesystem,
        filename_provider=_PartNames(prefix),
        mode=ray.data.SaveMode.APPEND,
        ray_remote_args={"num_cpus": _THIN},
        **writer_options(schema),
    )


def patiently(at: Place, work: Callable[[], Made]) -> Made:
    """What `work` makes, tried again where storage fails for a while: what it is to write has been
    paid for.

    Args:
        at: where it writes, for messages.
        work: which may be done twice.

    Raises:
        StorageError: storage went on failing; says where and how.
    """
    waits = iter(_WAITS_S)
    while True:
        try:
            return work()
        except (OSError, StorageError) as error:
            wait_s = next(waits, None)
            if wait_s is None:
                num = 1 + len(_WAITS_S)
                raise StorageError(
                    f"{at}: cannot be written, tried {num} times: {reason(error)}; what was "
                    "written before is kept: mend it, and run the same command again"
                ) from error
            _LOGGER.warning("%s: written again in %g s: %s", at, wait_s, reason(error))
            time.sleep(wait_s)


@dataclass(frozen=True)
class Part:
    """Writes each table that it is given as a part, from within the step that has made its rows.

    directory: of the data set.
    prefix: of the parts' names.
    store: gets the media.
    is_last: whether nothing but the ids of the rows, and the name of the part that has each, goes
        on from here; else all of them, with the bytes of their media.
    """

    directory: Place
    prefix: str
    store: MediaStore
    is_last: bool

    def __call__(self, table: pa.Table) -> pa.Table:
        name = f"{self.prefix}-{uuid.uuid4().hex}.parquet"
        if table.num_rows:
            target = self.directory / name
            table = patiently(target, lambda: self.store.keep(table))
            rows = without_bytes(table)
            is_small = rows.get_total_buffer_size() < _SMALL
            patiently(target, lambda: write_table(target, rows, is_compressed=not is_small))
        if not self.is_last:
            return table
        names = pa.repeat(pa.scalar(name), table.num_rows)
        return table.select(["prompt_id"]).append_column(PART, names)


#: The column that says in which part a row lies.
PART = "part"

_LOGGER = logging.getLogger(__name__)
#: Between two attempts to write what a step has made.
_WAITS_S = (1.0, 4.0, 16.0)
#: Bytes of a part's rows that are written as they are: it is soon read, joined and cleared away.
_SMALL = 1024**2
#: Logical CPUs of a task that mostly waits for storage.
_THIN = 0.5


class _PartNames:
    """Names of parts: no two runs, tasks or retries of other runs share one."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def get_filename_for_task(self, write_uuid: str, task_index: int) -> str:
        return f"{self.prefix}-{write_uuid}-{task_index:06d}-{{i}}.parquet"
