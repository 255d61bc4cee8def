"""What a learner computed for a row and keeps for the next epoch, up to a limit.

First come, first kept: what no longer fits is made again each time. Epochs are permutations of the
same rows, so to throw out the oldest would throw out just what is asked for next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

Tensors = Mapping[str, Tensor]


class Cache:
    """Tensors by key, on the CPU."""

    def __init__(self, num_bytes: int) -> None:
        self._free = num_bytes
        self._kept: dict[str, Tensors] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str, make: Callable[[], Tensors]) -> Tensors:
        """What `make` gave for this key, moved to the CPU; made again where it was not kept."""
        if key in self._kept:
            return self._kept[key]
        made = {name: value.cpu() for name, value in make().items()}
        size = sum(value.nbytes for value in made.values())
        if size <= self._free:
            self._free -= size
            self._kept[key] = made
        return made
