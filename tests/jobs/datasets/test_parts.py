"""Row groups of the size that was asked for, however the rows arrive."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.datasets.files import write_file
from schemas.arrow import GROUPS, groups_to_table
from schemas.rows import Candidate, Group, Media, Prompt

GROUP = 3 * 1024**2
NUM = 64


def rows() -> pa.Table:
    """16 MB in 64 rows."""
    rng = random.Random(0)
    return groups_to_table(
        Group(
            Prompt.of(f"prompt {n}"),
            (Candidate(f"{n}", "g@0", n, Media(rng.randbytes(256 * 1024), 8, 8)),),
        )
        for n in range(NUM)
    )


@pytest.mark.parametrize("at_once", [1, 4, 16, NUM])
@pytest.mark.parametrize("is_slice", [False, True], ids=["own memory", "slices of one table"])
def test_row_groups_are_as_large_as_asked_for(tmp_path: Path, at_once: int, is_slice: bool) -> None:
    table = rows()
    parts = [table.slice(start, at_once) for start in range(0, NUM, at_once)]
    if not is_slice:
        parts = [one.take(list(range(one.num_rows))) for one in parts]
    write_file(tmp_path / "t.parquet", iter(parts), GROUPS, GROUP)
    file = pq.ParquetFile(tmp_path / "t.parquet")
    assert file.read().equals(table)
    sizes = [file.metadata.row_group(n).total_byte_size for n in range(file.num_row_groups)]
    largest_part = max(one.nbytes for one in parts)
    # A group is closed by the part that fills it.
    assert all(GROUP <= size <= 1.05 * (GROUP + largest_part) for size in sizes[:-1])
