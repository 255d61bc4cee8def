"""What an artifact was made with: versions of libraries, and the device. It stands in manifests
for whoever wonders why bits differ, and decides nothing.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

#: Whose arithmetic, or whose way of calling it, a candidate or a verdict depends on.
_LIBRARIES = ("preference-factory", "torch", "diffusers", "transformers")


def made_with(gpus: float = 0.0) -> dict[str, str]:
    """Versions by the names of their packages, those that are installed, and the `device`.

    Args:
        gpus: that the work reserves; 0 for work on CPUs.
    """
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {**found, "device": (_gpus() if gpus else None) or _cpu()}


def joined(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Of an artifact that was made in two sittings: both where they differ."""
    return {
        name: " and ".join(dict.fromkeys(one[name] for one in (before, now) if name in one))
        for name in {**before, **now}
    }


def _gpus() -> str | None:
    """The kinds of GPUs in the cluster, as Ray calls them."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    mark = "accelerator_type:"
    kinds = (name.removeprefix(mark) for name in ray.cluster_resources() if name.startswith(mark))
    return ", ".join(sorted(kinds)) or None


def _cpu() -> str:
    """The processor of this machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
