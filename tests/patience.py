"""Starting Ray on a busy machine: it gives a node 30 seconds, and leaves what was too slow."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import psutil

Result = TypeVar("Result")


def patiently(start: Callable[[], Result], num_tries: int = 6) -> Result:
    """What `start` gives, tried again where a node was too slow; its processes are ended before.

    Raises:
        Exception: of `start`, for another reason or at the last try.
    """
    for left in reversed(range(num_tries)):
        before = _children()
        try:
            return start()
        except Exception as error:
            if not left or "timed out during startup" not in str(error):
                raise
            for process in _children() - before:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
    raise AssertionError("num_tries: at least one")


def _children() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))
