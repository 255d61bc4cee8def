"""Media that somebody else's rows name, from below one directory and from nowhere else.

Names come from data: none may lead out of the directory, and nothing is fetched.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from actors.storage import StorageError, local_path
from schemas.places import Place


@dataclass(frozen=True)
class MediaFolder:
    """Reads media below one directory.

    root: of the folder, local or not.
    key: what a user gives to have them read elsewhere, for messages.
    """

    root: Place
    key: str

    def __call__(self, name: str) -> bytes:
        """The bytes of a medium.

        Raises:
            OSError: there is none, it lies elsewhere, or it is named by a URL.
        """
        if "://" in name:
            raise OSError(
                errno.EINVAL,
                f"is a URL, and nothing is fetched: download it below {self.root} and name the "
                "file in its place",
            )
        here = local_path(self.root)
        try:
            if here is not None:
                return self._read(here, name)
            if name.startswith("/") or ".." in name.split("/"):
                raise self._outside()
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            what = f"no such file below {self.root} (see {self.key})"
            raise FileNotFoundError(errno.ENOENT, what) from None
        except (ValueError, StorageError) as error:  # a null byte; a name that S3 has not
            raise OSError(errno.EINVAL, str(error)) from None

    def _read(self, here: Path, name: str) -> bytes:
        root = here.resolve()
        try:
            path = (root / name).resolve()
        except RuntimeError:
            raise OSError(errno.ELOOP, "links lead in a circle") from None
        if not path.is_relative_to(root):
            raise self._outside()
        return path.read_bytes()

    def _outside(self) -> OSError:
        return OSError(errno.EACCES, f"lies outside of the media directory {self.root}")
