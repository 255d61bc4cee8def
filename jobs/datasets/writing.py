"""How data sets are written with Ray: as parts, and settled."""

from __future__ import annotations

import uuid
from typing import Any

import pyarrow as pa

from actors.media_store import media_store
from actors.storage import arrow_path
from jobs.datasets import parts
from jobs.datasets.files import writer_options
from jobs.datasets.parts import Settled
from schemas.places import Place
from schemas.recipe import Recipe


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


def write_dataset(
    rows: Any, directory: Place, schema: pa.Schema, key: str, recipe: Recipe
) -> Settled:
    """Write a Ray data set as a whole data set, beside whatever other drivers left there."""
    prefix = f"part-{uuid.uuid4().hex}"
    write_parts(rows, directory, schema, recipe, prefix)
    mine = parts.read_parts(directory, key, prefix)
    return parts.settle(mine, directory, schema, recipe.storage)


#: Logical CPUs of a task that mostly waits for storage.
_THIN = 0.5


class _PartNames:
    """Names of parts: no two runs, tasks or retries of other runs share one."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def get_filename_for_task(self, write_uuid: str, task_index: int) -> str:
        return f"{self.prefix}-{write_uuid}-{task_index:06d}-{{i}}.parquet"
