"""Which model it is: the digest of weights and configuration that keys hold (`factory.keys`).

    a directory, here or in an object store -> a hash of the files that are loaded
    a hub's name                            -> hub:NAME@COMMIT, and it is loaded at that commit
    an endpoint, or code of one's own       -> its name and the revision that its owner gave it

What is only said of a model, or made of its answers afterwards (manifest, calibration, how a judge
is asked, what it said of held-out labels), is in no digest: a judge that is calibrated anew is the
same judge. Of a directory with several forms of weights all are hashed, whichever is loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from actors import storage
from actors.hub import UnknownCommitError, cache_of, resolve_commit
from factory.judging import by_scores, calibration, scalar, specification
from schemas import manifest, results

#: What lies beside a model and is never loaded with it.
_BESIDE = (
    manifest.FILE,
    calibration.FILE,
    specification.FILE,
    by_scores.FILE,
    scalar.FILE,
    "conversion.json",  # what the weights were made of: `actors.converters`
    results.CURVES,
    results.FINDINGS,
    results.AGREEMENT,
    results.LOCALISATION,
    results.DISTILLATION,
    "README*",
    "LICENSE*",
    "*.md",
    "*.parquet",
    "*.png",
    "*.jpg",
    "*.gif",
    "*.mp4",
    "*.onnx",  # loaded alone: `onnx_weights`
)
#: Configurations, in which libraries note the path that a model was loaded from.
_CONFIGURATIONS = ("*config.json", "model_index.json")
_PLACES = ("_name_or_path", "name_or_path", "base_model_name_or_path")
_PIECE = 64 * 2**20  # bytes that one thread hashes
_HUB = "hub:"


class WeightsError(ValueError):
    """A hub's name of which no commit can be found."""


def model_weights(path: str, revision: str | None = None) -> str | None:
    """What tells the model at `path` apart from every other.

    Args:
        path: a directory, an address in an object store, or a hub's name.
        revision: of a hub's name, a branch, a tag or a commit; its main branch where None.

    Returns:
        a digest, the same wherever a directory lies; `hub:NAME@COMMIT`; or None where nothing is
        there, as loading it will say.

    Raises:
        WeightsError: neither the hub nor the cache of its files on this machine knows a commit.
        StorageError: it cannot be read.
    """
    directory = storage.place(path)
    if directory.is_dir():
        return _digest(storage.local_copy(directory))
    commit = hub_commit(path, revision)
    return None if commit is None else f"{_HUB}{path}@{commit}"


def onnx_weights(path: str, file: str) -> str | None:
    """The same of a light judge in one ONNX file of a directory: its own, whatever other forms of
    the judge lie beside it.
    """
    directory = storage.place(path)
    if not directory.is_dir():
        return None
    here = storage.local_copy(directory)
    files = [(here / file).relative_to(here), *(one for one in _files(here) if _is_small(one))]
    return _digest_of(here, files)


def revised(kind: str, name: str, revision: str | None) -> str | None:
    """What tells apart a model that only its owner knows: an endpoint's, or that of code of one's
    own; None where it has no revision.
    """
    return None if revision is None else f"{kind}:{name}@{revision}"


def is_hub_name(path: str) -> bool:
    """Whether a path that is no directory can be the name of a hub's repository."""
    is_local = path.startswith((".", "/", "~")) or storage.is_address(path)
    return path.count("/") == 1 and not is_local


def pinned_commit(weights: str | None) -> str | None:
    """The commit at which a hub's model is loaded; None for any other."""
    if weights is None or not weights.startswith(_HUB):
        return None
    return weights.rpartition("@")[2]


def hub_commit(path: str, revision: str | None = None) -> str | None:
    """The commit at which a hub's model is to be loaded; None for what is no hub's.

    Raises:
        WeightsError: as `commit_of`.
    """
    if storage.place(path).is_dir() or not is_hub_name(path):
        return None
    return commit_of(path, revision)


@cache
def commit_of(name: str, revision: str | None = None) -> str:
    """The commit of a hub's repository: as it stands at the hub, or, where the hub is out of reach,
    as it was last fetched to this machine.

    Raises:
        WeightsError: neither knows it; says what to do.
    """
    try:
        return resolve_commit("model", name, revision)
    except UnknownCommitError as error:
        raise WeightsError(
            f"{name} is no local directory, and of a hub's repository of this name no commit of "
            f"{revision or 'its main branch'} is known: {error}, and none was fetched to this "
            "machine. Check the name, or give the full commit as `revision`"
        ) from None


def cached_snapshot(name: str, commit: str) -> Path | None:
    """What this machine has of a commit of a hub's repository; None where it has nothing."""
    snapshot = cache_of("model", name) / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


# ------------------------------------------------------------------------------------- directories


def _digest(directory: Path) -> str:
    return _digest_of(directory, _files(directory))


def _files(directory: Path) -> list[Path]:
    """What belongs to a model, relative to its directory."""
    found = (one.relative_to(directory) for one in directory.rglob("*") if one.is_file())
    return [one for one in found if not _is_beside(one)]


def _is_beside(file: Path) -> bool:
    is_hidden = any(part.startswith(".") for part in file.parts)
    return is_hidden or any(fnmatch(file.name, pattern) for pattern in _BESIDE)


def _is_small(file: Path) -> bool:
    """Configuration, and not weights."""
    return file.suffix in (".json", ".txt", ".jinja", ".model")


def _digest_of(directory: Path, files: Iterable[Path]) -> str:
    """Of names and contents. Large files are hashed in pieces by several threads, and no file twice
    by one process.
    """
    named = {str(one): directory / one for one in sorted(files)}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        digests = {name: _file_digest(path, pool) for name, path in named.items()}
    text = json.dumps(digests, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


#: (path, size, time of change) -> digest.
_KNOWN: dict[tuple[str, int, int], str] = {}


def _file_digest(path: Path, pool: ThreadPoolExecutor) -> str:
    info = path.stat()
    version = (str(path.absolute()), info.st_size, info.st_mtime_ns)
    if version not in _KNOWN:
        if any(fnmatch(path.name, pattern) for pattern in _CONFIGURATIONS):
            whole = hashlib.sha256(_without_places(path.read_bytes()))
        else:
            starts = range(0, info.st_size, _PIECE)
            whole = hashlib.sha256()
            for piece in pool.map(lambda start: _hash_piece(path, start), starts):
                whole.update(piece)
        _KNOWN[version] = whole.hexdigest()
    return _KNOWN[version]


def _hash_piece(path: Path, start: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return hashlib.sha256(file.read(_PIECE)).digest()


def _without_places(data: bytes) -> bytes:
    """A configuration without where its model lay when it was loaded."""
    try:
        return json.dumps(_cleared(json.loads(data)), sort_keys=True).encode()
    except ValueError:
        return data


def _cleared(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _cleared(one) for key, one in value.items() if key not in _PLACES}
    return [_cleared(one) for one in value] if isinstance(value, list) else value
