"""Starting Ray on a busy machine, and joining one that may not be there.

Ray gives its own start fixed times: the driver waits 30 s for the control store and 30 s more for
its node; the node waits 15 s for each of its agents, and then ends itself. A busy machine misses
them. So a local Ray that was too slow is tried once more, after what it left is ended, and the
driver waits three times as long. The node's 15 s cannot be changed; but what it loads has been read
from the disk by then.

A cluster that does not answer would be asked 20 times by Ray, for 40 s each: so we knock first.
Left out: a node that dies after its start, which ends the driver in Ray's own core.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar
from urllib.parse import urlsplit

import psutil

Result = TypeVar("Result")

#: What the driver waits at the second try, for the control store and for the node.
LONGER_S = 90
_CONTROL_STORE_S, _NODE_S = "RAY_gcs_server_port_wait_time_s", "RAY_raylet_start_wait_time_s"
#: Ray's words for a start that ran out of time. A control store that has died wrote why into its
#: log, which Ray quotes, and would die again.
_TOO_SLOW = re.compile(
    r"timed out during startup|waiting for node to startup|Timed out waiting for file"
    r"|Failed to start GCS\. +Last 0 lines"
)
_END_S = 10.0
_KNOCK_S = 15.0
_JOIN_TRIES = "2"  # of 40 s


class RayStartError(ValueError):
    """Ray did not start, or is not where the recipe says; the message says what to do."""


def patiently(start: Callable[[], Result], num_tries: int = 2) -> Result:
    """What `start` gives, which starts Ray processes on this machine; tried again, with longer
    limits, where they were too slow. Those that it left are ended in between.

    Raises:
        RayStartError: it was too slow each time, or there is a file or port that it cannot use.
        Exception: of `start`, for another reason.
    """
    for left in reversed(range(num_tries)):
        before = _children()
        try:
            return start()
        except Exception as error:
            _end(_children() - before)
            said = _first_line(error)
            if not _TOO_SLOW.search(str(error)):
                if isinstance(error, OSError | RuntimeError):
                    raise RayStartError(f"Ray did not start: {error}") from error
                raise
            if not left:
                raise RayStartError(
                    f"Ray did not start in {num_tries} tries: {said} This machine has too much to "
                    "do: end other processes, or wait for them, and start the same command again. "
                    "Ray's logs are in session_latest/logs of its directory (/tmp/ray). "
                    f"{_CONTROL_STORE_S} and {_NODE_S} in the environment make it wait longer than "
                    f"{LONGER_S} s; the 15 s that its node gives each agent cannot be changed."
                ) from error
        print(
            f"Ray did not start within its own limits: {said} What it left is ended, and it is "
            f"tried once more with limits of {LONGER_S} s.",
            flush=True,
        )
        _lengthen()
    raise AssertionError("num_tries: at least one")


def join(address: str, start: Callable[[], Result]) -> Result:
    """What `start` gives, which joins the Ray cluster at `address`.

    Raises:
        RayStartError: there is none, or it cannot be joined from here.
    """
    named = (os.environ.get("RAY_ADDRESS") or address) if address == "auto" else address
    try:
        _knock(named)
        with _asked_briefly():
            return start()
    except (OSError, RuntimeError, ValueError) as error:
        raise RayStartError(
            f"address: {named}: no Ray cluster could be joined: {error}. Start one there "
            "(`ray start --head`), give the HOST:PORT of one, or use 'local'."
        ) from error


def _knock(address: str) -> None:
    """Wait for something that listens at HOST:PORT; any other form is left to Ray.

    Raises:
        OSError, ValueError: nothing does, or it is no such form.
    """
    parts = urlsplit(address if "://" in address else f"//{address}")
    if address == "auto" or parts.scheme not in ("", "ray"):
        return
    if parts.hostname is None or parts.port is None:
        raise ValueError("it is neither 'local', 'auto' nor HOST:PORT")
    deadline = time.monotonic() + _KNOCK_S
    while True:
        try:
            socket.create_connection((parts.hostname, parts.port), timeout=_KNOCK_S).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)


@contextmanager
def _asked_briefly() -> Iterator[None]:
    """The control store of a cluster is asked a few times; what the user has set stays."""
    if _CONTROL_STORE_S in os.environ:
        yield
        return
    os.environ[_CONTROL_STORE_S] = _JOIN_TRIES
    try:
        yield
    finally:
        del os.environ[_CONTROL_STORE_S]


def _lengthen() -> None:
    """Let starts of this process from now on take longer; a longer limit of the user's stays."""
    for name in (_CONTROL_STORE_S, _NODE_S):
        given = os.environ.get(name, "")
        os.environ[name] = str(max(LONGER_S, int(given) if given.isdecimal() else 0))
    core = sys.modules.get("ray._raylet")
    if core is not None:  # it read the environment when it was first used
        limit = {"raylet_start_wait_time_s": int(os.environ[_NODE_S])}
        core.Config.initialize(json.dumps(limit))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".") + "."


def _children() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


def _end(processes: set[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=_END_S)
