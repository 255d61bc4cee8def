"""Parquet files as a source of Ray Data, whose tasks are called here without Ray."""

from pathlib import Path

import pyarrow as pa
import pytest

from actors.blocks import unpacked
from jobs.datasets.files import write_table
from jobs.datasets.source import ParquetFiles
from schemas.arrow import groups_from_table, groups_to_table
from schemas.columns import GROUPS, SchemaError
from schemas.rows import Candidate, Group, Media, Prompt

NUM = 5


def large(number: int) -> Group:
    """Of which no two are read at once."""
    media = Media(bytes([number]) * 9 * 1024**2, 1, 1)
    return Group(Prompt.of(f"prompt {number}"), (Candidate(f"{number}", "g@0", number, media),))


def test_a_task_reads_a_file_a_few_rows_at_a_time(tmp_path: Path) -> None:
    groups = [large(number) for number in range(NUM)]
    write_table(tmp_path / "large.parquet", groups_to_table(groups))
    write_table(tmp_path / "none.parquet", GROUPS.empty_table())
    source = ParquetFiles([tmp_path / "large.parquet", tmp_path / "none.parquet"], GROUPS)
    large_one, empty = source.get_read_tasks(100)
    tables = list(large_one())
    assert [table.num_rows for table in tables] == [1] * NUM
    assert groups_from_table(pa.concat_tables(tables)) == groups
    assert large_one.metadata.num_rows == NUM
    assert source.estimate_inmemory_data_size() >= NUM * 9 * 1024**2
    assert [table.schema for table in empty()] == [GROUPS]  # Ray knows no columns without it


def test_blocks_that_travel_as_one_value_are_those_rows(tmp_path: Path) -> None:
    groups = [large(number) for number in range(NUM)]
    write_table(tmp_path / "large.parquet", groups_to_table(groups))
    source = ParquetFiles([tmp_path / "large.parquet"], GROUPS, rows_a_block=2)
    (task,) = source.get_read_tasks(1)
    blocks = list(task())
    assert task.metadata.num_rows == len(blocks) == 3
    assert {block.num_rows for block in blocks} == {1}
    tables = [unpacked(block) for block in blocks]
    assert [table.num_rows for table in tables] == [2, 2, 1]
    assert groups_from_table(pa.concat_tables(tables)) == groups


def test_what_older_rows_lack_is_null_and_newer_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    table = groups_to_table([Group(Prompt.of("a cup"), ())])
    write_table(path, table.drop_columns(["replies"]))
    (task,) = ParquetFiles([path], GROUPS).get_read_tasks(1)
    (read,) = task()
    assert read.schema == GROUPS
    assert read.column("replies").null_count == 1
    write_table(path, table.replace_schema_metadata({b"preference-factory.version": b"99"}))
    with pytest.raises(SchemaError, match="version 99"):
        ParquetFiles([path], GROUPS)
