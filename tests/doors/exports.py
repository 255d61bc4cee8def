"""How exports stream: peak memory by the number of pairs, and MB/s beside plain pyarrow's.

    python -m tests.doors.exports [--few 1000 --many 100000]

Pairs of made-up pictures are written as the factory writes them and exported in processes of their
own, whose largest resident memory is taken. Plain pyarrow reads the same files by batches and
writes what it read as one table, with the same compression: no projection, no shards, no hashes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from factory.exports.record import Options
from factory.exports.registry import EXPORTERS
from jobs.datasets.files import write_file, writer_options
from jobs.tools.export import Export, export
from schemas import manifest
from schemas.arrow import pairs_to_table
from schemas.columns import PAIRS
from schemas.manifest import Manifest
from schemas.rows import Candidate, Media, Pair, Prompt, content_id

_SMALL, _LARGE = 4 * 1024, 256 * 1024  # bytes of a picture
_NUM_LARGE = 1000  # pairs: 512 MiB
_FORMATS = ("pick-a-pic", "datasets", "verl-omni")


def figures(few: int = 1_000, many: int = 100_000, num_tries: int = 3) -> dict[str, object]:
    """Peak memory for few and for many pairs, and MB/s.

    Args:
        few: pairs.
        many: pairs; a tenth of them where each picture is a file.
        num_tries: of each rate, of which the median is told.
    """
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        sources = {
            num: write_pairs(folder / f"{num}" / "pairs@1", num, _SMALL)
            for num in sorted({few, many // 10, many})
        }
        large = write_pairs(folder / "large" / "pairs@1", _NUM_LARGE, _LARGE)
        plain = [_plain(large, folder / "plain.parquet") for _ in range(num_tries)]
        made: dict[str, Any] = {"plain_mb_per_s": _median(plain)}
        for name in _FORMATS:
            nums = (few, many // 10 if EXPORTERS[name].media[0] == "files" else many)
            peaks = [_exported(name, sources[num], folder)["peak_mib"] for num in nums]
            rates = [_exported(name, large, folder)["mb_per_s"] for _ in range(num_tries)]
            made[name] = {
                "pairs": list(nums),
                "peak_mib": [round(peak, 1) for peak in peaks],
                "peak_ratio": round(peaks[1] / peaks[0], 3),
                "mb_per_s": _median(rates),
                "share_of_plain": round(_median(rates) / _median(plain), 3),
            }
    return made


def _median(values: list[float]) -> float:
    return round(statistics.median(values), 1)


def write_pairs(directory: Path, num: int, num_bytes: int) -> Path:
    """A complete data set of pairs of pictures of so many bytes, which lie in the rows."""
    directory.mkdir(parents=True)
    noise = np.random.default_rng(0).bytes(num_bytes)

    def tables() -> Iterator[pa.Table]:
        for start in range(0, num, 200):
            yield pairs_to_table(_pair(at, noise) for at in range(start, min(start + 200, num)))

    write_file(directory / "part-0.parquet", tables(), PAIRS, 32 * 1024**2)
    made = Manifest("pairs@1", "pairs", "0" * 16, "0" * 16, (), {}, files=("part-0.parquet",))
    (directory / manifest.FILE).write_bytes(manifest.to_bytes(made))
    return directory


def _pair(number: int, noise: bytes) -> Pair:
    prompt = Prompt.of(f"a red circle beside {number} blue squares")
    sides = [
        Candidate(content_id(number, name), "generator@1", number, _medium(number, name, noise))
        for name in ("chosen", "rejected")
    ]
    numbers = (0.5, 0.1, 0.4, 0.8)
    return Pair(content_id("pair", number), prompt, *sides, "judge@1", *numbers, False, "kept")


def _medium(number: int, name: str, noise: bytes) -> Media:
    # What begins as a PNG does is named as one; nobody here decodes it.
    head = b"\x89PNG" + f"{number}-{name}".encode()
    return Media(head + noise[len(head) :], 512, 512)


def _plain(source: Path, out: Path) -> float:
    """MB/s of the source's Parquet."""
    began = time.perf_counter()
    for path in source.glob("*.parquet"):
        file = pq.ParquetFile(path, pre_buffer=False)
        schema = file.schema_arrow
        with pq.ParquetWriter(out, schema, **writer_options(schema)) as writer:
            for batch in file.iter_batches(32):
                writer.write_batch(batch)
    return _megabytes(source) / (time.perf_counter() - began)


def _megabytes(source: Path) -> float:
    return sum(path.stat().st_size for path in source.glob("*.parquet")) / 1e6


def _exported(name: str, source: Path, folder: Path) -> dict[str, float]:
    """Peak memory and MB/s of an export, in a process of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        command = [sys.executable, "-m", "tests.doors.exports", "--child", name, str(source), out]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _child(name: str, source: Path, out: Path) -> None:
    exporter = EXPORTERS[name]
    request = Export(exporter, "pairs", (source,), Options(exporter.media[0]))
    began = time.perf_counter()
    made = export(request, out)
    seconds = time.perf_counter() - began
    assert made.counts["left_out"] == 0
    print(json.dumps({"peak_mib": _peak(), "mb_per_s": _megabytes(source) / seconds}))


def _peak() -> float:
    """MiB of this program's largest resident memory; `getrusage` would count its parent's too."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status: tells no VmHWM")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=1_000, help="pairs")
    parser.add_argument("--many", type=int, default=100_000, help="pairs")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        name, source, out = given.child
        _child(name, Path(source), Path(out))
        return
    print(json.dumps(figures(given.few, given.many), indent=2))


if __name__ == "__main__":
    main()
