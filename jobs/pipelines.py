"""The two streaming pipelines that load models, wired: drawing candidates, and judging them.

    prompts.parquet -> Generate (actor pool) -> Judging (actor pool) -> groups in Parquet

Rows are marked, never dropped, and the prompt's id survives from the read to the write: Ray Data's
own checkpoint then makes a killed run continue where it was.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from factory.ranking import Strategy
from schemas.arrow import GROUPS, digest_rows, groups_from_table, groups_to_table
from schemas.recipe import Pool, Recipe
from schemas.rows import Group, Prompt

_INPUT = "_prompts.parquet"
_CHECKPOINT = "_checkpoint"


@dataclass(frozen=True)
class Throughput:
    """Speed of a pipeline run; resumed rows were made by an earlier one and are not counted."""

    num_rows: int
    seconds: float
    busy_s: Mapping[str, float]

    def __str__(self) -> str:
        busy = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in self.busy_s.items())
        rate = self.num_rows / self.seconds if self.seconds else 0.0
        return f"{self.num_rows} rows in {self.seconds:.1f} s ({rate:.2f} rows/s; busy: {busy})"


def run_pipeline(
    prompts: Sequence[Prompt],
    directory: Path,
    recipe: Recipe,
    *,
    generators: Sequence[Any],
    num_candidates: int,
    judges: Sequence[Any] = (),
    strategy: Strategy | None = None,
) -> Throughput:
    """Draw candidates for every prompt, judge them, and write groups to `directory`.

    Args:
        prompts: what to draw; their ids must be unique.
        directory: gets the Parquet files, the checkpoint, and a copy of the prompts.
        recipe: for pools, block size and seed.
        generators: `actors.stages.GeneratorRef`, each of which adds `num_candidates`.
        num_candidates: candidates of each generator for each prompt.
        judges: `actors.stages.JudgeRef`; none leaves the groups unjudged.
        strategy: which duels to play; needed with judges.
    """
    import ray.data
    from ray.data.checkpoint import CheckpointConfig

    from actors.stages import Generate, Judging
    from actors.tally import TallyHandle

    prompts_file = directory / _INPUT
    pq.write_table(groups_to_table(Group(prompt, ()) for prompt in prompts), prompts_file)
    tally = TallyHandle()
    context = ray.data.DataContext.get_current()
    context.checkpoint_config = CheckpointConfig(
        id_column="prompt_id",
        checkpoint_path=str((directory / _CHECKPOINT).absolute()),
        delete_checkpoint_on_success=False,
    )
    settings = recipe.produce
    began = time.monotonic()
    try:
        rows = ray.data.read_parquet(
            str(prompts_file),
            override_num_blocks=math.ceil(len(prompts) / settings.groups_per_block),
        )
        rows = rows.map_batches(
            Generate,
            fn_constructor_args=(generators, num_candidates, recipe.seed, tally),
            **stage_wiring(settings.generators, settings.groups_per_block),
        )
        if judges:
            rows = rows.map_batches(
                Judging,
                fn_constructor_args=(judges, strategy, tally),
                **stage_wiring(settings.judges, settings.groups_per_block),
            )
        rows.write_parquet(str(directory), mode=ray.data.SaveMode.APPEND)
    finally:
        context.checkpoint_config = None
    done = tally.read()
    return Throughput(
        num_rows=done["generate"].num_rows if "generate" in done else 0,
        seconds=time.monotonic() - began,
        busy_s={stage: one.busy_s for stage, one in done.items()},
    )


def stage_wiring(pool: Pool, batch_size: int) -> dict[str, Any]:
    """The arguments of `map_batches` for a stage of Arrow tables on a pool of actors."""
    import ray.data

    return {
        "compute": ray.data.ActorPoolStrategy(size=pool.size),
        "num_cpus": pool.num_cpus,
        "num_gpus": pool.num_gpus,
        "batch_size": batch_size,
        "batch_format": "pyarrow",
    }


def pool_cpus(recipe: Recipe) -> float:
    """Logical CPUs of the generator and judge pools together."""
    pools = (recipe.produce.generators, recipe.produce.judges)
    return sum(pool.size * pool.num_cpus for pool in pools)


def pool_gpus(recipe: Recipe) -> float:
    """GPUs of the generator and judge pools together."""
    pools = (recipe.produce.generators, recipe.produce.judges)
    return sum(pool.size * pool.num_gpus for pool in pools)


def data_files(directory: Path) -> list[Path]:
    """The Parquet files of a data set, without its notes and inputs."""
    return sorted(path for path in directory.glob("*.parquet") if not path.name.startswith("_"))


def row_batches(path: Path, batch_size: int) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, a few at a time, for files that need not fit in memory."""
    # By default pyarrow keeps all that it has read of a file until the last row of it.
    yield from pq.ParquetFile(path, pre_buffer=False).iter_batches(batch_size=batch_size)


def read_table(directory: Path, schema: pa.Schema) -> pa.Table:
    """A whole data set as one table, for sets that fit in memory."""
    tables = [pq.read_table(path, schema=schema) for path in data_files(directory)]
    return pa.concat_tables(tables) if tables else schema.empty_table()


def read_groups(directory: Path) -> list[Group]:
    """All groups of a data set, in the order of their prompts' ids, media included."""
    groups = groups_from_table(read_table(directory, GROUPS))
    return sorted(groups, key=lambda group: group.prompt.prompt_id)


def stream(
    directory: Path, columns: Sequence[str] | None = None, batch_size: int = 1024
) -> Iterator[pa.RecordBatch]:
    """The rows of a data set, file by file and a few at a time, for sets of any size."""
    for path in data_files(directory):
        yield from pq.ParquetFile(path).iter_batches(batch_size, columns=columns)


def find_rows(directory: Path, column: str, wanted: Collection[str], schema: pa.Schema) -> pa.Table:
    """The few rows of a data set whose `column` is one of `wanted`; only row groups that hold one
    of them are read whole.
    """
    found = []
    values = pa.array(sorted(wanted), pa.string())
    for path in data_files(directory):
        file = pq.ParquetFile(path)
        for index in range(file.num_row_groups):
            column_of = file.read_row_group(index, columns=[column]).column(column)
            rows = pc.is_in(column_of, values)
            if pc.any(rows).as_py():
                for batch in file.iter_batches(256, row_groups=[index], columns=schema.names):
                    found.append(batch.filter(pc.is_in(batch.column(column), values)))
    return pa.Table.from_batches(found, schema) if found else schema.empty_table()


def digest_dataset(directory: Path) -> str:
    """Hash of a data set's rows."""
    return digest_rows(stream(directory))
