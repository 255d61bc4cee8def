"""Numbers of very many rows, on the machine's disk and not in this process.

They are appended block by block to a file without a name in the temporary folder, which is gone
with the process, and then looked at through a map of it. What nobody looks at is the kernel's to
drop, so the memory that a process must have does not grow with the rows.
"""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt


class Scratch:
    """Numbers of one type, appended in any portions and read as one array.

    Args:
        dtype: of the numbers.
    """

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115, it lives as long as this
        self._num = 0

    def __len__(self) -> int:
        return self._num

    def add(self, numbers: npt.NDArray[Any]) -> None:
        """Append numbers, [n]."""
        self._file.write(np.ascontiguousarray(numbers, self.dtype).tobytes())
        self._num += len(numbers)

    def array(self) -> npt.NDArray[Any]:
        """All numbers in the order in which they came, [N], for reading only."""
        if not self._num:
            return np.empty(0, self.dtype)
        self._file.flush()
        return np.memmap(self._file, self.dtype, "r", shape=(self._num,))
