"""Where files lie: the folders of a root, and what the factory asks of a place.

    ROOT/data/labels@1, ROOT/models/judge@1    artifacts, each in a directory of its own
    ROOT/media/ab/ab12….tar    media too large for a table, many in a pack, by its hash
    ROOT/objects/ab/ab34…    the same of older roots, one each
    ROOT/reports/round-1.html, ROOT/logs/TIME-RUN.jsonl    for people
    ROOT/cards/card.html, ROOT/cards/NAME@1    judge cards, and what each judge said
    ROOT/rollbacks/1-1.json    after round 1, the first time: who is champion from then on
    ROOT/_training/judge@1    checkpoints of a training run that is under way

A local directory is a `pathlib.Path`; one in an object store is `actors.storage.ObjectPath`, which
offers the same. Code that takes a `Place` runs on both and never asks which it has. Left out: what
lies within the directory of an artifact, which is the matter of what makes it.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from typing import IO, Literal, Protocol, Self

#: The folders of a root. No other file spells them.
DATA, MODELS, PACKS, OBJECTS = "data", "models", "media", "objects"
REPORTS, LOGS, ROLLBACKS, CARDS = "reports", "logs", "rollbacks", "cards"
TRAINING = "_training"

#: What begins like an address and is none: Python takes `s3:/bucket/key` for a local path.
_HALF_AN_ADDRESS = re.compile(r"(s3a?|gs|gcs|az|abfss?|hdfs|hf|https?):(?!//)", re.IGNORECASE)


def why_no_place(path: str) -> str:
    """Why a path cannot be read as one place by all who read it: us, Arrow, Ray, MLflow and people;
    "" where it can. Spaces, `?`, `#`, `%`, leading dashes and other scripts are no reason.
    """
    scheme, mark, rest = path.partition("://")
    if not path.strip():
        return "it names nothing"
    if any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in path):
        return "it has a line break, a tab or another character that nobody sees"
    if path.lower().startswith("file:"):
        return "local paths have no scheme; write /path/to/it, with its characters as they are"
    if _HALF_AN_ADDRESS.match(path):
        return "an address is written SCHEME://bucket/key"
    if mark and "//" in rest:
        return f"a part of the key is empty; write {scheme}://{re.sub('/+', '/', rest)} if it is"
    if path.startswith("//"):
        return "it begins with two slashes, which some read as the name of a machine; write one"
    return ""


def why_no_home(path: str) -> str:
    """Why a path is not what a shell would make of its `~`; "" where it has none."""
    meant = os.path.expanduser(path)
    return "" if meant == path else f"~ stands for no directory here; write {meant}"


class Place(Protocol):
    """A file or directory, local or not."""

    @property
    def name(self) -> str: ...

    @property
    def suffix(self) -> str: ...

    @property
    def parent(self) -> Self: ...

    def __truediv__(self, key: str, /) -> Self: ...

    def __lt__(self, other: Self, /) -> bool: ...

    def exists(self) -> bool: ...

    def is_file(self) -> bool: ...

    def is_dir(self) -> bool: ...

    def absolute(self) -> Self: ...

    def as_uri(self) -> str: ...

    def open(self, mode: Literal["rb"], /) -> IO[bytes]: ...

    def read_bytes(self) -> bytes: ...

    def read_text(self, encoding: str | None = None) -> str: ...

    def write_bytes(self, data: bytes, /) -> int: ...

    def write_text(self, data: str, encoding: str | None = None) -> int: ...

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None: ...

    def unlink(self, missing_ok: bool = False) -> None: ...

    def glob(self, pattern: str, /) -> Iterator[Self]: ...

    def rglob(self, pattern: str, /) -> Iterator[Self]: ...
