"""The machines of a cluster: what their workers are told, and whether they see the same root.

A local Ray inherits the driver's environment and its disk; workers elsewhere have neither. Left
out: credentials, which each machine finds by itself.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from actors.storage import local_path, place, shared_environment
from jobs.session.ray_start import RayStartError
from schemas.recipe import Recipe

#: In which Ray tells a submitted job what it was submitted with.
_SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_OVERRIDES = "RAY_OVERRIDE_JOB_RUNTIME_ENV"
_LOOK_S = 120.0


def told_to_workers() -> dict[str, str]:
    """What of the environment workers are told, but for what a submitted job's runtime environment
    has told them already: Ray refuses to hear a name twice.

    Raises:
        RayStartError: that says something else.
    """
    told = shared_environment()
    if os.environ.get(_OVERRIDES) == "1":
        return told
    known = _submitted()
    for name in told.keys() & known.keys():
        if told[name] != known[name]:
            raise RayStartError(
                f"{name}: workers are told {known[name]} by the runtime environment of the job, "
                f"and the recipe and this machine say {told[name]}; say the same in both"
            )
    return {name: value for name, value in told.items() if name not in known}


def _submitted() -> Mapping[str, str]:
    """The variables in the runtime environment with which this job was submitted."""
    config = json.loads(os.environ.get(_SUBMITTED) or "{}")
    variables: Mapping[str, str] = (config.get("runtime_env") or {}).get("env_vars") or {}
    return variables


def check_root_is_shared(recipe: Recipe) -> None:
    """Refuse a root on a disk that not every machine of the cluster sees: what some write would not
    be found by others.

    Raises:
        RayStartError: says which machines do not see it.
    """
    import ray

    root = local_path(place(recipe.root).absolute())
    if root is None:
        return
    nodes = {
        node["NodeID"]: str(node["NodeManagerAddress"])
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU", 0) > 0
    }
    blind = blind_nodes(root, nodes, _look)
    if blind:
        raise RayStartError(
            f"root: {root} is on a disk that {', '.join(blind)} cannot see: rows written there "
            "would be missing; use a directory that all machines share, or s3://bucket/prefix"
        )


def blind_nodes(
    root: Path,
    nodes: Mapping[str, str],
    look: Callable[[str, Sequence[str]], Mapping[str, bool]],
) -> list[str]:
    """The addresses of nodes that do not see a file written in `root` now.

    Args:
        root: which is made where it is not there.
        nodes: their addresses, by their ids.
        look: whether a path is there, as seen from some nodes.
    """
    root.mkdir(parents=True, exist_ok=True)
    mark = root / f".seen-{uuid.uuid4().hex}"
    mark.touch()
    try:
        sees = look(str(mark), list(nodes))
    finally:
        mark.unlink()
    return sorted(address for node, address in nodes.items() if not sees[node])


def _look(path: str, nodes: Sequence[str]) -> dict[str, bool]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0)(_sees)
    answers = [
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
            path
        )
        for node in nodes
    ]
    try:
        return dict(zip(nodes, ray.get(answers, timeout=_LOOK_S), strict=True))
    except ray.exceptions.GetTimeoutError:
        raise RayStartError(
            f"a machine of the cluster did not start a worker within {_LOOK_S:g} s; see its logs"
        ) from None


def _sees(path: str) -> bool:
    """Whether a file is there, or comes within seconds, as on some network file systems."""
    for wait_s in (0.0, 1.0, 2.0, 4.0):
        time.sleep(wait_s)
        if os.path.exists(path):
            return True
    return False
