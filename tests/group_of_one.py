"""A process group of one and its environment, as Ray Train would have made them, for trainers that
run without Ray.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import torch


@contextmanager
def group_of_one() -> Iterator[None]:
    """One for a process: DeepSpeed keeps the first group that it sees for the process's life."""
    with tempfile.TemporaryDirectory() as directory:
        store = f"file://{Path(directory) / 'store'}"
        torch.distributed.init_process_group("gloo", store, world_size=1, rank=0)
        yield
        torch.distributed.destroy_process_group()


@contextmanager
def worker_environment() -> Iterator[None]:
    """What a worker finds in its environment; other processes that a test starts must not."""
    with patch.dict(os.environ, {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}):
        yield
