"""The small files of a checkpoint, read before anything large is fetched: what a plan can look at.

A directory's lie here or in an object store. Of a hub's repository a file is read from the cache of
this machine, else fetched alone.
"""

from __future__ import annotations

from pathlib import Path

from actors import storage
from actors.weights import WeightsError, cached_snapshot


def read_small(path: str, file: str, commit: str | None = None) -> bytes | None:
    """A small file of a model; None where the model has none of this name.

    Args:
        path: a directory, an address in an object store, or a hub's name.
        file: its name in the model.
        commit: of a hub's repository.

    Raises:
        WeightsError: a hub that cannot be asked.
    """
    directory = storage.place(path)
    if directory.is_dir() or commit is None:
        found = directory / file
        return found.read_bytes() if found.is_file() else None
    cached = cached_snapshot(path, commit)
    if cached is not None and (cached / file).is_file():
        return (cached / file).read_bytes()
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(path, file, revision=commit)).read_bytes()
    except LocalEntryNotFoundError as error:
        raise WeightsError(f"{path}: {file} is not on this machine, and the hub: {error}") from None
    except EntryNotFoundError:
        return None
    except Exception as error:  # of whichever library carries the request
        raise WeightsError(f"{path}: {file} cannot be fetched: {error}") from None


def at_hand(path: str, commit: str | None = None) -> Path | None:
    """The directory of a model all of which lies on this machine; None where something of it would
    have to be fetched first.
    """
    local = storage.local_path(storage.place(path))
    if local is not None and local.is_dir():
        return local
    cached = None if commit is None else cached_snapshot(path, commit)
    if cached is None or not any(cached.glob("*.safetensors")):
        return None
    return cached
