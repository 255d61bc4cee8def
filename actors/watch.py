"""A limit on how long a model may take: past it, the process ends itself.

A call that hangs in a driver, a kernel or a lock cannot be called back from within Python, and a
model that was abandoned in a thread may wake up and write over the next one's memory. What can be
ended is the process; Ray starts another, which loads the model again. Left out: limits on loading.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

#: After the limit, for a process in which no other Python thread gets to run.
GRACE_S = 10.0
_STDERR = 2


class _Watchdog:
    """A thread of this process that looks at the clock."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.call: tuple[float, Callable[[], None]] | None = None  # (deadline, report)
        threading.Thread(target=self._watch, daemon=True, name="time limit").start()

    def _watch(self) -> None:
        while True:
            # Code that never lets another thread run (a regular expression can) keeps this one
            # from pushing the end further away; the timer itself needs no Python.
            faulthandler.dump_traceback_later(self.seconds + GRACE_S, exit=True, file=_STDERR)
            time.sleep(min(1.0, self.seconds / 4))
            call = self.call
            if call is not None and time.monotonic() > call[0]:
                self._end(call[1])

    def _end(self, report: Callable[[], None]) -> None:
        faulthandler.dump_traceback(file=_STDERR)  # where it hung, for the worker's log
        try:
            report()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)


@lru_cache(maxsize=1)
def _watchdog(seconds: float) -> _Watchdog:
    return _Watchdog(seconds)


@contextmanager
def time_limit(seconds: float | None, report: Callable[[], None]) -> Iterator[None]:
    """Kill this process where the block takes longer. One block at a time, one limit a process.

    Args:
        seconds: the limit; None for none.
        report: called in another thread right before, to say what was at work. Where no other
            thread gets to run, the process ends unreported, `GRACE_S` later.
    """
    if seconds is None:
        yield
        return
    watchdog = _watchdog(seconds)
    watchdog.call = (time.monotonic() + seconds, report)
    try:
        yield
    finally:
        watchdog.call = None
