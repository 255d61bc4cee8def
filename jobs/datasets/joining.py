"""Parts are joined while others are still being made, so that little is left to do at the end.

Whoever runs a pipeline says which parts it has finished. A thread reads each, hashes and counts its
rows, and appends them to a file without a name in the temporary folder; when that is as large as a
file of the data set is to be, it is copied to its place. Nothing rests on it: what was not joined,
for whatever reason, is settled at the end (`parts.settle`), as are parts that earlier runs left.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pyarrow as pa

from actors.memory import reason
from actors.storage import arrow_path
from factory.ids import Ids, to_numbers
from jobs.datasets.files import RowGroups
from jobs.datasets.parts import Count, Joined, Part, counted, is_large, new_name, rows_of
from jobs.datasets.writing import patiently
from schemas.digests import add_up_rows
from schemas.places import Place
from schemas.recipe import Storage

#: Parts that wait. Where they are made faster than one thread joins them, the others are left to
#: the end, when many workers settle them.
_WAITING = 64
_COPIED_BYTES = 8 * 1024**2
_LOGGER = logging.getLogger(__name__)


class Joining:
    """Joins the parts that it is told of, in a thread of its own, until the context is left.

    Args:
        directory: of the data set.
        key: the column of its rows' ids.
        schema: of its rows.
        layout: sizes of files and row groups.
        count: what to count in a table of rows.
    """

    def __init__(
        self,
        directory: Place,
        key: str,
        schema: pa.Schema,
        layout: Storage,
        count: Count | None = None,
    ) -> None:
        self.directory, self.key = directory, key
        self.schema, self.layout, self.count = schema, layout, count
        self._thread = ThreadPoolExecutor(1, "joining")
        self._free = threading.Semaphore(_WAITING)
        self._told: set[str] = set()
        self._file: _File | None = None
        self._joined: list[Joined] = []
        self._has_failed = False

    def __enter__(self) -> Joining:
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def add(self, names: Iterable[str]) -> None:
        """Say which parts are whole; returns at once."""
        for name in names:
            if name not in self._told:
                self._told.add(name)
                if self._free.acquire(blocking=False):
                    self._thread.submit(self._try, partial(self._join, name))

    def end(self) -> list[Joined]:
        """The files that were made of parts, once those that wait are joined as well."""
        self._free.acquire()
        self._thread.submit(self._try, self._close)
        self._thread.shutdown()
        return self._joined

    def _try(self, work: Callable[[], None]) -> None:
        try:
            if not self._has_failed:
                work()
        except Exception as error:  # whatever it is: settling meets it again, if it is still there
            self._has_failed, self._file = True, None
            _LOGGER.warning("%s: parts are joined at the end: %s", self.directory, reason(error))
        finally:
            self._free.release()

    def _join(self, name: str) -> None:
        path = self.directory / name
        with path.open("rb") as source:
            num_bytes = source.seek(0, os.SEEK_END)
            tables = rows_of(source, path, self.schema)
            if is_large(num_bytes, self.layout):  # it stays as it is, and is only looked at
                sums = _Sums(self.key, self.count)
                for table in tables:
                    sums.add(table)
                self._joined.append(sums.joined(Part(name, num_bytes, sums.ids), [name]))
                return
            rows = list(tables)
        if self._file is not None and self._file.num_bytes + num_bytes > self.layout.file_bytes:
            self._close()
        if self._file is None:
            self._file = _File(self.schema, self.layout, _Sums(self.key, self.count))
        self._file.add(name, num_bytes, rows)

    def _close(self) -> None:
        """Put the open file to its place."""
        if self._file is not None:
            name = new_name()
            num_bytes = self._file.put(self.directory / name)
            sums = self._file.sums
            self._joined.append(sums.joined(Part(name, num_bytes, sums.ids), self._file.sources))
            self._file = None


class _Sums:
    """Of rows, in the order in which they come: ids, counts and the sum of their hashes."""

    def __init__(self, key: str, count: Count | None) -> None:
        self._key, self._count = key, count
        self._ids: list[Ids] = []
        self._total, self._counts = 0, Counter[str]()

    @property
    def ids(self) -> Ids:
        return np.concatenate(self._ids) if self._ids else np.empty(0, np.uint64)

    def add(self, table: pa.Table) -> None:
        self._ids.append(to_numbers(table.column(self._key)))
        self._total += add_up_rows(table)
        self._counts.update(counted(table, self._count))

    def joined(self, part: Part, sources: list[str]) -> Joined:
        return Joined(part, tuple(sources), self._total, dict(self._counts))


class _File:
    """A file-to-be in the temporary folder, which is gone with the process.

    num_bytes: of the parts in it.
    """

    def __init__(self, schema: pa.Schema, layout: Storage, sums: _Sums) -> None:
        self.sums, self.sources, self.num_bytes = sums, list[str](), 0
        self._data = tempfile.TemporaryFile()  # noqa: SIM115, it lives as long as this
        self._groups = RowGroups(self._data, schema, layout.row_group_bytes)

    def add(self, name: str, num_bytes: int, rows: Iterable[pa.Table]) -> None:
        self.sources.append(name)
        self.num_bytes += num_bytes
        for table in rows:
            self.sums.add(table)
            self._groups.add(table)

    def put(self, path: Place) -> int:
        """Copy it, whole; returns its bytes.

        Raises:
            StorageError: storage went on failing.
        """
        self._groups.close()
        filesystem, name = arrow_path(path)

        def copy() -> None:
            self._data.seek(0)
            with filesystem.open_output_stream(name, compression=None) as sink:
                shutil.copyfileobj(self._data, sink, _COPIED_BYTES)

        patiently(path, copy)
        return self._data.tell()
