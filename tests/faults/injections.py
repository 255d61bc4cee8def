"""Ways to break a running system: processes that are killed, machines that go, full disks."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from jobs.session.ray_start import patiently

_NUM_TRIES = 6  # starts of a node
#: So that a busy machine is not taken for a dead one, and the models are not the last to run.
_PATIENCE = {
    "RAY_health_check_failure_threshold": "30",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "600",
    "RAY_worker_niceness": "0",
    # Workers for all CPUs at each driver's start would cost more than the trials.
    "RAY_prestart_worker_first_driver": "false",
    "RAY_enable_worker_prestart": "false",
}


class SmallDisk:
    """A file system of a few kilobytes at a directory; mounting one needs root."""

    def __init__(self, at: Path) -> None:
        self.at = at

    def mount(self) -> bool:
        self.at.mkdir(parents=True, exist_ok=True)
        return self._mount("size=80k")

    def enlarge(self) -> None:
        self._mount("remount,size=64m")

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.at)], capture_output=True, check=False)

    def _mount(self, options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.at)]
        with suppress(FileNotFoundError):
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        return False


class Machines:
    """A Ray cluster on this machine: a head that drivers join, and one worker node that can go.

    The models' actors take more CPUs than the head has, so they are on the worker node.
    """

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        os.environ.update(_PATIENCE)
        os.environ["RAY_AUTH_MODE"] = "disabled"  # the drivers join by the address
        self.directory = tempfile.mkdtemp(prefix="ray-")
        head = {"num_cpus": 1, "include_dashboard": False, "temp_dir": self.directory}
        self.cluster: Any = patiently(
            lambda: Cluster(initialize_head=True, head_node_args=head), _NUM_TRIES
        )
        self.worker = self._add()

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def _add(self) -> Any:
        return patiently(lambda: self.cluster.add_node(wait=True, num_cpus=6), _NUM_TRIES)

    def lose_worker(self) -> None:
        """SIGKILL to all of the worker node; another comes in its place."""
        self.cluster.remove_node(self.worker, allow_graceful=False)
        self.worker = self._add()

    def kill_actor(self, name: str, rng: random.Random) -> bool:
        """SIGKILL to a process that holds a model; False where there is none."""
        found = self.actors(name)
        if not found:
            return False
        with suppress(psutil.NoSuchProcess):
            rng.choice(found).send_signal(signal.SIGKILL)
            return True
        return False

    def actors(self, *names: str) -> list[psutil.Process]:
        """The processes that hold a model of one of these steps."""
        return [
            one
            for one in psutil.process_iter()
            if any(f"MapBatches({name})" in " ".join(_command(one)) for name in names)
            and self._is_ours(one)
        ]

    def _is_ours(self, process: psutil.Process) -> bool:
        """Whether a worker belongs to this cluster, and not to a neighbour's."""
        with suppress(psutil.Error):
            return any(self.directory in " ".join(_command(one)) for one in process.parents())
        return False

    def shutdown(self) -> None:
        self.cluster.shutdown()
        subprocess.run(["rm", "-rf", self.directory], check=False)


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []
