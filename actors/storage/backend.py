"""What a kind of storage must offer so that everything else may lie on it.

A new kind is one class in a file of its own in this folder and its name in `BACKENDS`
(`actors/storage/__init__.py`); no other code asks where a file lies. An object store derives from
`ObjectStore` and says four things: its scheme, its Arrow file system, and the two conditional puts.

    scheme          of its addresses, `SCHEME://…`; "" means paths without one
    place           an address in a recipe -> the place that it names (`schemas.places.Place`)
    filesystem      Arrow's, by which all tables and models are read and written. It must pickle,
                    and without credentials: it travels to Ray's workers. A file that is closed is
                    readable and listed at once, and is there as a whole or not at all
    write_new       exactly one of many writers succeeds, on whatever machines they run
    replace         succeeds only where the file still is what the writer has read

The last two keep drivers that race from losing or doubling rows (docs/decisions/0012); a store
without conditional writes cannot be a backend. A backend sees a path as its Arrow file system does:
the address without `SCHEME://`.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from schemas.places import Place
from schemas.recipe import Storage


class StorageError(ValueError):
    """A place that cannot be read or written; the message names it and says what to look at."""


class Backend(ABC):
    """One kind of storage."""

    scheme: ClassVar[str]
    #: Names of the environment's variables that workers on other machines must have too; never of
    #: those that hold credentials.
    environment: ClassVar[tuple[str, ...]] = ()

    def address(self, path: str) -> str:
        """A path as a recipe says it."""
        return f"{self.scheme}://{path}" if self.scheme else path

    @abstractmethod
    def place(self, path: str) -> Place:
        """The place at a path.

        Raises:
            StorageError: no such place can be; the message never repeats credentials.
        """

    @abstractmethod
    def filesystem(self) -> Any:
        """Arrow's file system."""

    def local_path(self, path: str) -> Path | None:
        """The path on this machine's own file system; None where it lies elsewhere."""
        return None

    @abstractmethod
    def write_whole(self, path: str, data: bytes) -> None:
        """Write a file, in the place of one that may be there: readers see the old or the new."""

    @abstractmethod
    def write_new(self, path: str, data: bytes) -> None:
        """Write a file that must not be there yet, whole or not at all.

        Raises:
            FileExistsError: it is there already.
        """

    @abstractmethod
    def replace(self, path: str, old: bytes, new: bytes) -> None:
        """Write a file in the place of the one that was read as `old`.

        Raises:
            FileExistsError: it is another by now.
        """

    @abstractmethod
    def link_or_copy(self, path: str, target: str) -> None:
        """Give a file that is never changed a second path, as if it were written there now; its
        bytes do not pass through here where the storage can do without.

        Raises:
            FileNotFoundError: there is none at `path`.
        """

    @abstractmethod
    def remove(self, path: str) -> None:
        """Delete a directory with all that is in it; nothing where there is none."""

    @abstractmethod
    def check_writable(self, path: str) -> None:
        """Refuse a directory that cannot be written.

        Raises:
            StorageError: says which directory or server refuses.
        """

    def check_exclusive(self, path: str) -> None:  # noqa: B027 — most keep what they promise
        """Refuse a directory where `write_new` or `replace` do not keep what they promise; may
        write there and clears it.

        Raises:
            StorageError: says which server it is, and what it does instead.
        """

    def shared_environment(self) -> dict[str, str]:
        """What workers on other machines need to know; no credentials."""
        return {name: os.environ[name] for name in self.environment if os.environ.get(name)}

    def configure(self, settings: Storage) -> None:  # noqa: B027 — most have nothing to put there
        """Put what the recipe says of this kind of storage into the environment."""

    def advice(self, text: str) -> str:
        """What went wrong and what to do, from what Arrow says of it."""
        return text

    @contextmanager
    def explained(self, what: object) -> Iterator[None]:
        """Turn what Arrow says about a place into one sentence with advice.

        Raises:
            FileNotFoundError: as it came.
            StorageError: anything else that went wrong.
        """
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageError(f"{what}: {self.advice(str(error))}") from None
