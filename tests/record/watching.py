"""What a process and all that it has started take: processor time, bytes, and its own memory.

Looked at a few times a second from a thread, since Ray's processes are nobody's children when they
end. What a process does between the last look and its end is not seen. No import of the project's,
so that another checkout's runs are watched by the same code.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import psutil


@dataclass
class Usage:
    """Of one process: seconds of processor time, and bytes that it read and wrote by system calls:
    files and pipes, whether or not they came from a disk; no memory that is mapped.
    """

    cpu_s: float = 0.0
    num_read: int = 0
    num_written: int = 0


class Watch(threading.Thread):
    """Watches this process and its descendants until `stop`.

    peak_bytes: most private memory of this process.
    start_bytes: the same at the first look.
    tree_peak_bytes: most private memory of all of them together.
    """

    def __init__(self, every_s: float = 0.25) -> None:
        super().__init__(daemon=True)
        self.every_s = every_s
        self.peak_bytes = self.start_bytes = self.tree_peak_bytes = 0
        self._me = psutil.Process()
        self._seen: dict[tuple[int, float], Usage] = {}
        self._is_over = threading.Event()
        self._look()
        self.start_bytes = self.peak_bytes
        self.start()

    def run(self) -> None:
        while not self._is_over.wait(self.every_s):
            self._look()

    def stop(self) -> Usage:
        """All that was seen; a last look comes first."""
        self._is_over.set()
        self.join()
        return self.so_far()

    def so_far(self) -> Usage:
        """All that is seen up to now."""
        self._look()
        total = Usage()
        for one in self._seen.values():
            total.cpu_s += one.cpu_s
            total.num_read += one.num_read
            total.num_written += one.num_written
        return total

    def _look(self) -> None:
        used = self._me.memory_info()
        self.peak_bytes = max(self.peak_bytes, int(used.rss - used.shared))
        together = 0
        for one in (self._me, *self._me.children(recursive=True)):
            try:
                cpu, io, held = one.cpu_times(), one.io_counters(), one.memory_info()
                key = (one.pid, one.create_time())
            except psutil.Error:
                continue
            together += held.rss - held.shared
            spent = cpu.user + cpu.system
            self._seen[key] = Usage(spent, io.read_chars, io.write_chars)
        self.tree_peak_bytes = max(self.tree_peak_bytes, together)
