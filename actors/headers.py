"""What can be known of a checkpoint before it is fetched or loaded: its small files, and the names
and shapes of its tensors, which stand in the first bytes of each safetensors file.

A directory lies here or in an object store; of a hub's repository only these bytes are fetched,
where this machine does not have it yet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any, cast

from actors import storage
from actors.weights import WeightsError, cached_snapshot

_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
#: The format's own limit of a header, in bytes.
_MOST = 100_000_000

#: Tensors of a checkpoint by name, each with its shape.
Shapes = Mapping[str, tuple[int, ...]]


class HeaderError(ValueError):
    """Weights whose headers cannot be read; the message names the file."""


def read_small(path: str, file: str, commit: str | None = None) -> bytes | None:
    """A small file of a model; None where the model has none of this name.

    Args:
        path: a directory, an address in an object store, or a hub's name.
        file: its name in the model.
        commit: of a hub's repository.

    Raises:
        WeightsError: a hub that cannot be asked.
    """
    opened = _open(path, file, commit)
    if opened is None:
        return None
    with opened:
        return opened.read()


def read_shapes(path: str, commit: str | None = None) -> Shapes:
    """The tensors of a model's safetensors files. Arguments as of `read_small`.

    Raises:
        HeaderError: there is no such file, one that an index names is missing, or it is torn.
        WeightsError: a hub that cannot be asked.
    """
    index = read_small(path, _INDEX, commit)
    files = [_WEIGHTS]
    if index is not None:
        try:
            files = sorted(set(json.loads(index)["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise HeaderError(f"{path}: {_INDEX}: cannot be read: {error!r}") from None
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        shapes |= _shapes_in(path, file, commit)
    return shapes


def _shapes_in(path: str, file: str, commit: str | None) -> Shapes:
    opened = _open(path, file, commit)
    if opened is None:
        raise HeaderError(
            f"{path}: has no {file}; weights are read from safetensors alone, as {_WEIGHTS} or the "
            f"files of {_INDEX}"
        )
    with opened:
        size = int.from_bytes(opened.read(8), "little")
        header = opened.read(size) if size <= _MOST else b""
    try:
        told: dict[str, Any] = json.loads(header)
        told.pop("__metadata__", None)
        return {name: tuple(map(int, one["shape"])) for name, one in told.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HeaderError(f"{path}: {file}: is no safetensors file: {error!r}") from None


def _open(path: str, file: str, commit: str | None) -> IO[bytes] | None:
    """A file of a model; None where there is none."""
    directory: Any = storage.place(path)
    if commit is not None and not directory.is_dir():
        directory = cached_snapshot(path, commit)
        # Where there are weights all that is loaded was fetched; what is not there the hub has not.
        is_fetched = directory is not None and any(directory.glob("*.safetensors"))
        if directory is None or not (is_fetched or (directory / file).is_file()):
            return _open_at_hub(path, file, commit)
    here = directory / file
    return here.open("rb") if here.is_file() else None


def _open_at_hub(name: str, file: str, commit: str) -> IO[bytes] | None:
    from huggingface_hub import HfFileSystem

    try:
        return cast("IO[bytes]", HfFileSystem().open(f"{name}@{commit}/{file}", "rb"))
    except FileNotFoundError:
        return None
    except Exception as error:  # of whichever library carries the request
        why = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        raise WeightsError(
            f"{name}: {file} is not on this machine, and the hub cannot be asked: {why}"
        ) from None
