"""What every test shares: one thread per process, no network, and the `gpu` marker.

Fixtures that start something heavy (a Ray session, an object store) live beside the tests that use
them, so that collecting this file loads neither torch nor ray.
"""

import os
import sys

import pytest

# Set here, before any test module can import torch or ray; workers that Ray starts inherit it.
os.environ.update(
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
    HF_HUB_OFFLINE="1",
    RAY_USAGE_STATS_ENABLED="0",
    MLFLOW_DISABLE_TELEMETRY="true",
    MPLBACKEND="Agg",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    gpu_items = [item for item in items if item.get_closest_marker("gpu")]
    if not gpu_items:
        return  # torch takes seconds to import: ask it only when a test depends on the answer
    import torch

    if not torch.cuda.is_available():
        skip = pytest.mark.skip(reason="needs a CUDA device")
        for item in gpu_items:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    """Undo a `torch.set_num_threads` of an earlier test; torch itself is never loaded here."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
