"""What the hub and this machine's cache of it know of a repository: its commit, and its place.

The libraries of the hub are asked in one place, so that a model and a data set are pinned alike.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

Kind = Literal["model", "dataset"]

_COMMIT = re.compile(r"[0-9a-f]{40}")


class UnknownCommitError(LookupError):
    """Neither the hub nor the cache of this machine knows a commit; says why the hub does not."""


def resolve_commit(kind: Kind, name: str, revision: str | None = None) -> str:
    """The commit of a repository: as it stands at the hub, or, where the hub is out of reach, as it
    was last fetched to this machine.

    Raises:
        UnknownCommitError: neither knows it.
    """
    if revision is not None and _COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import constants, dataset_info, model_info

    why = "HF_HUB_OFFLINE=1 forbids the hub"
    if not constants.HF_HUB_OFFLINE:
        info = model_info if kind == "model" else dataset_info
        try:
            sha = info(name, revision=revision, timeout=30).sha
            if sha is not None:
                return str(sha)
            why = "the hub names none"
        except Exception as error:  # of whichever library carries the request
            why = told(error)
    cached = cached_commit(kind, name, revision)
    if cached is None:
        raise UnknownCommitError(why)
    return cached


def cached_commit(kind: Kind, name: str, revision: str | None = None) -> str | None:
    """The commit of a repository in the cache of this machine; None where there is none."""
    repository = cache_of(kind, name)
    if revision is not None and (repository / "snapshots" / revision).is_dir():
        return revision
    reference = repository / "refs" / (revision or "main")
    if not reference.is_file():
        return None
    commit = reference.read_text().strip()
    return commit if (repository / "snapshots" / commit).is_dir() else None


def cache_of(kind: Kind, name: str) -> Path:
    """Where this machine keeps what it has fetched of a repository."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"{kind}s--{name.replace('/', '--')}"


def told(error: Exception) -> str:
    """An exception of the hub's libraries in one line."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
