"""A limit on how long a model may take: past it, the process ends itself.

A call that hangs in a driver, a kernel or a lock cannot be called back from within Python, and a
model that was abandoned in a thread may wake up and write over the next one's memory. What can be
ended is the process; Ray starts another, which loads the model again.
"""

from __future__ import annotations

import faulthandler
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

#: After the limit, for a process in which no other Python thread gets to run.
GRACE_S = 10.0
_STDERR = 2


class _Watchdog:
    """A thread of this process that looks at the clock."""

    def __init__(self) -> None:
        self.seconds = math.inf  # the limit of the last call
        self.call: tuple[float, Callable[[], None]] | None = None  # (deadline, report)

    def begin(self, seconds: float, spent_s: float, report: Callable[[], None]) -> None:
        is_first = self.seconds == math.inf
        if seconds != self.seconds:  # seldom: a timer for each call would cost more than the call
            self.seconds = seconds
            self._put_off()
        self.call = (time.monotonic() + seconds - spent_s, report)
        if is_first:
            threading.Thread(target=self._watch, daemon=True, name="time limit").start()

    def _put_off(self) -> None:
        # Code that never lets another thread run (a regular expression can) keeps ours from
        # pushing the end further away; the timer itself needs no Python.
        faulthandler.dump_traceback_later(self.seconds + GRACE_S, exit=True, file=_STDERR)

    def _watch(self) -> None:
        while True:
            self._put_off()
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


@cache
def _watchdog() -> _Watchdog:
    return _Watchdog()


@contextmanager
def time_limit(
    seconds: float | None, report: Callable[[], None], spent_s: float = 0.0
) -> Iterator[None]:
    """Kill this process where the block takes longer. One block at a time in a process.

    Args:
        seconds: the limit; None for none.
        spent_s: how much of it went by in earlier blocks about the same thing.
        report: called in another thread right before, to say what was at work. Where no other
            thread gets to run, the process ends unreported, `GRACE_S` later.
    """
    if seconds is None:
        yield
        return
    watchdog = _watchdog()
    watchdog.begin(seconds, spent_s, report)
    try:
        yield
    finally:
        watchdog.call = None
