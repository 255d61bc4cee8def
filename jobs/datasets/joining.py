"""Parts are joined while others are still being made, so that little is left to do at the end.

Whoever runs a pipeline says which parts it has finished. A thread reads each, hashes and counts its
rows, and appends them to a file without a name in the temporary folder; when that is as large as a
file of the data set is to be, it is copied to its place. So it is when few rows are left to come,
while somebody works on these: they make a small file of their own. Nothing rests on any of it: what
was not joined, for whatever reason, is settled at the end (`parts.settle`), as are parts that
earlier runs left.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import IO

import numpy as np
import pyarrow as pa

from actors.memory import reason
from actors.storage import arrow_path
from factory.ids import Ids, to_numbers
from jobs.datasets.files import RowGroups
from jobs.datasets.parts import Count, Joined, Part, counted, is_large, new_name, open_part, rows_of
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
        num_rows: that are to come.
        num_last: of them, the rows that make a file of their own.
    """

    def __init__(
        self,
        directory: Place,
        key: str,
        schema: pa.Schema,
        layout: Storage,
        count: Count | None = None,
        *,
        num_rows: int,
        num_last: int = 0,
    ) -> None:
        self.directory, self.key = directory, key
        self.schema, self.layout, self.count = schema, layout, count
        #: Rows that are still to come as files are put to their places without being full.
        self._closings = [0, num_last] if num_last < num_rows else [0]
        self._num_to_come = num_rows
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
        with open_part(self.directory / name) as (source, num_bytes):
            tables = rows_of(source, self.directory / name, self.schema)
            if is_large(num_bytes, self.layout):
                num_rows = self._look_at(name, num_bytes, tables)
            else:
                num_rows = self._append(name, num_bytes, list(tables))
        self._num_to_come -= num_rows
        while self._closings and self._num_to_come <= self._closings[-1]:
            self._closings.pop()
            self._close()

    def _look_at(self, name: str, num_bytes: int, tables: Iterable[pa.Table]) -> int:
        """Hash and count the rows of a part that stays as it is; tells how many they are."""
        sums = _Sums(self.key, self.count)
        for table in tables:
            sums.add(table)
        part = Part(name, num_bytes, sums.ids)
        self._joined.append(sums.joined(part, [name]))
        return len(part.ids)

    def _append(self, name: str, num_bytes: int, rows: Sequence[pa.Table]) -> int:
        """Add the rows of a part to the open file; tells how many they are."""
        if self._file is not None and self._file.num_bytes + num_bytes > self.layout.file_bytes:
            self._close()
        if self._file is None:
            self._file = _File(self.schema, self.layout, _Sums(self.key, self.count))
        self._file.add(name, num_bytes, rows)
        return sum(table.num_rows for table in rows)

    def _close(self) -> None:
        """Put the open file to its place."""
        if self._file is not None:
            part = self._file.put(self.directory)
            self._joined.append(self._file.sums.joined(part, self._file.sources))
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
    """A file-to-be in the temporary folder, which is gone with the process. Of a single part none
    is made: it stays as it is.

    num_bytes: of the parts in it.
    """

    def __init__(self, schema: pa.Schema, layout: Storage, sums: _Sums) -> None:
        self.sums, self.sources, self.num_bytes = sums, list[str](), 0
        self._schema, self._layout = schema, layout
        self._held: list[pa.Table] = []  # of the first part, until there is a second

    def add(self, name: str, num_bytes: int, rows: Iterable[pa.Table]) -> None:
        self.sources.append(name)
        self.num_bytes += num_bytes
        for table in rows:
            self.sums.add(table)
            self._held.append(table)
        if len(self.sources) > 1:
            for table in self._held:
                self._groups.add(table)
            self._held = []

    @cached_property
    def _data(self) -> IO[bytes]:
        return tempfile.TemporaryFile()

    @cached_property
    def _sink(self) -> pa.NativeFile:
        # Else Python would be called, and waited for, at each page of each column.
        return pa.BufferedOutputStream(pa.PythonFile(self._data, "w"), _COPIED_BYTES)

    @cached_property
    def _groups(self) -> RowGroups:
        return RowGroups(self._sink, self._schema, self._layout.row_group_bytes)

    def put(self, directory: Place) -> Part:
        """Copy it, whole, to its place.

        Raises:
            StorageError: storage went on failing.
        """
        if len(self.sources) == 1:
            return Part(self.sources[0], self.num_bytes, self.sums.ids)
        self._groups.close()
        self._sink.flush()
        target = directory / new_name()
        filesystem, name = arrow_path(target)

        def copy() -> None:
            self._data.seek(0)
            with filesystem.open_output_stream(name, compression=None) as sink:
                shutil.copyfileobj(self._data, sink, _COPIED_BYTES)

        patiently(target, copy)
        return Part(target.name, self._data.tell(), self.sums.ids)
