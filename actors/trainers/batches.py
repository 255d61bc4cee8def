"""Which rows a micro-batch sees, as a pure function of seed and step.

A worker holds its share of each data set as Arrow blocks, just as they arrived, media still
encoded, and draws rows from it by number. That costs memory for the worker's share (10 000 pairs
of 1-MB pictures on 8 workers: 2.5 GB each) and buys three things: any batch can be found again
after a restart without replaying the ones before it, epochs are true permutations, and a learner
may keep what it computed for a row. Data that fit in no worker's memory would need a streamed,
approximate shuffle instead; that is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa

from schemas.rows import seed_of


class Shard:
    """One worker's rows of one data set, in the order of a key column."""

    def __init__(self, blocks: Iterable[pa.Table], key: str) -> None:
        self.blocks = [block for block in blocks if block.num_rows > 0]
        keys = [value for block in self.blocks for value in block.column(key).to_pylist()]
        places = [(b, row) for b, block in enumerate(self.blocks) for row in range(block.num_rows)]
        # Sorted by reference: the blocks are never copied into one, whose 32-bit offsets would
        # overflow beyond 2 GB of media.
        self._places = [places[i] for i in sorted(range(len(keys)), key=keys.__getitem__)]

    def __len__(self) -> int:
        return len(self._places)

    def rows(self, numbers: Sequence[int]) -> pa.Table:
        """The rows of these numbers, in this order."""
        places = [self._places[number] for number in numbers]
        return pa.concat_tables(self.blocks[block].slice(row, 1) for block, row in places)


def in_order(shards: Mapping[str, Shard], size: int) -> Iterator[dict[str, pa.Table]]:
    """Every row once, `size` rows of one data set at a time."""
    for name, shard in shards.items():
        for start in range(0, len(shard), size):
            yield {name: shard.rows(range(start, min(start + size, len(shard))))}


def draw(num_rows: int, num: int, micro_batch: int, seed: int) -> list[int]:
    """Row numbers of the given micro-batch of `num` rows: a window on an endless sequence of
    permutations of the rows, so that no row is seen twice before all were seen once.
    """
    window = range(micro_batch * num, (micro_batch + 1) * num)
    return [_permutation(num_rows, seed, at // num_rows)[at % num_rows] for at in window]


@lru_cache(maxsize=8)
def _permutation(num_rows: int, seed: int, epoch: int) -> list[int]:
    return [int(i) for i in np.random.default_rng((seed, epoch)).permutation(num_rows)]


def split_batch(size: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Whole rows of each data set in a micro-batch of `size`: largest remainders.

    The same in every micro-batch, so tensors keep their shapes.

    Raises:
        ValueError: shares that do not sum to 1, or one so small that it gets no row.
    """
    if abs(sum(shares.values()) - 1.0) > 1e-6:
        raise ValueError(f"shares of the data sets sum to {sum(shares.values())}, not to 1")
    exact = {name: size * share for name, share in shares.items()}
    counts = {name: int(value + 1e-9) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: size - sum(counts.values())]:
        counts[name] += 1
    for name, share in shares.items():
        if share > 0 and counts[name] == 0:
            raise ValueError(
                f"a micro-batch of {size} row(s) has none of {name!r} at a share of {share}: "
                "raise batch_size, or lower num_workers or accumulation_steps"
            )
    return {name: count for name, count in counts.items() if count > 0}


class Batches:
    """The micro-batches of one worker."""

    def __init__(
        self, shards: Mapping[str, Shard], shares: Mapping[str, float], size: int, seed: int
    ) -> None:
        self._counts = split_batch(size, shares)
        self._shards = {name: shards[name] for name in self._counts}
        self._seeds = {name: seed_of("rows", seed, name) for name in self._counts}
        for name, shard in self._shards.items():
            if len(shard) == 0:
                raise ValueError(f"this worker got no rows of {name!r}: fewer rows than workers")

    def one_epoch(self) -> list[dict[str, pa.Table]]:
        """Micro-batches in which every row is at least once; as many on every worker."""
        num = max(math.ceil(len(one) / self._counts[name]) for name, one in self._shards.items())
        return [self[micro_batch] for micro_batch in range(num)]

    def __getitem__(self, micro_batch: int) -> dict[str, pa.Table]:
        return {
            name: shard.rows(draw(len(shard), self._counts[name], micro_batch, self._seeds[name]))
            for name, shard in self._shards.items()
        }
