"""What every test shares: one thread per process, no network, no limit of time for an example of
Hypothesis, the `gpu` marker, the order of the files, and one Ray.

Collecting this file loads neither torch nor ray. Fixtures that start anything else that is heavy
(an object store) live beside the tests that use them.
"""

import logging
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import settings

from jobs.session.ray_start import patiently

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

# How long an example takes says something of the machine, and is measured by benchmarks alone.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    _put_slow_files_first(items)
    gpu_items = [item for item in items if item.get_closest_marker("gpu")]
    if not gpu_items:
        return  # torch takes seconds to import: ask it only when a test depends on the answer
    import torch

    if not torch.cuda.is_available():
        skip = pytest.mark.skip(reason="needs a CUDA device")
        for item in gpu_items:
            item.add_marker(skip)


def _put_slow_files_first(items: list[pytest.Item]) -> None:
    """By the share of their tests that is marked as slow: of two processes that take a file each in
    turn, neither is to be left with a long one at the end.
    """
    every = Counter(item.path for item in items)
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path] / every[item.path])


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    """Undo a `torch.set_num_threads` of an earlier test; torch itself is never loaded here."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """One Ray for all tests of a process that ask for it: a start takes most of ten seconds."""
    import ray
    import ray.data

    directory = tempfile.mkdtemp(prefix="ray-")  # short: socket paths have a limit of 107 bytes
    patiently(
        lambda: ray.init(
            address="local",
            num_cpus=4,  # fewer would let Ray Data wait for itself
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.WARNING,
            _temp_dir=directory,
        ),
        num_tries=6,  # other tests may keep the machine busy
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()
    shutil.rmtree(directory, ignore_errors=True)
