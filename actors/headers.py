"""What can be known of a checkpoint before it is fetched or loaded: its small files, and the names,
types and shapes of its tensors, which stand in the first bytes of each safetensors file.

A directory lies here or in an object store; of a hub's repository only these bytes are fetched,
where this machine does not have it yet.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import IO, Any, cast

from actors import storage
from actors.weights import WeightsError, cached_snapshot
from factory.tensors import Stored, Tensors, told

_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
#: The format's own limit of a header, in bytes.
_MOST = 100_000_000

#: How the name of any index ends.
_INDEX_ENDING = ".safetensors.index.json"
#: Endings of files that are pickles.
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
#: Files that a message lists.
_FEW = 3
#: Writes a model whose weights are pickles as safetensors; torch reads them as plain tensors.
CONVERT = (
    'python -c "from transformers import AutoModelForImageTextToText as M; '
    "M.from_pretrained('{0}', use_safetensors=False).save_pretrained('{0}-safetensors')\", and "
    "copy the small files beside them"
)

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


def read_tensors(path: str, commit: str | None = None, file: str | None = None) -> Tensors:
    """The tensors of a model's safetensors files, as transformers chooses these: one file, else
    those of the index. Of each file the header is read, and its length held against what the header
    promises. Path and commit as of `read_small`.

    Args:
        path: of the model.
        commit: of a hub's repository.
        file: weights or an index that the model's configuration names, as its
            `transformers_weights`.

    Raises:
        HeaderError: there are no safetensors, files or tensors of the index are not there, a tensor
            is there twice, or a file is torn.
        WeightsError: a hub that cannot be asked.
    """
    index = file if file is not None and file.endswith(_INDEX_ENDING) else _INDEX
    single = file if file is not None and index != file else _WEIGHTS
    whole = _tensors_in(path, single, commit) if index != file else None
    if whole is not None:
        return whole
    named = read_small(path, index, commit)
    if named is None:
        raise HeaderError(f"{path}: has no {file or _WEIGHTS}{_told_instead(path, commit)}")
    try:
        wanted: dict[str, str] = json.loads(named)["weight_map"]
        files = sorted(set(wanted.values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HeaderError(f"{path}: {index}: cannot be read: {error!r}") from None
    read = {one: _tensors_in(path, one, commit) for one in files}
    gone = [one for one, tensors in read.items() if tensors is None]
    if gone:
        of_them = sorted(name for name, one in wanted.items() if one in gone)
        raise HeaderError(
            f"{path}: {index} names {_few(gone)}, which {'is' if len(gone) == 1 else 'are'} not "
            f"there: {told(of_them, 'missing with it')}. Fetch the checkpoint anew"
        )
    return _joined(path, index, wanted, {one: of or {} for one, of in read.items()})


def _joined(
    path: str, index: str, wanted: Mapping[str, str], read: Mapping[str, Tensors]
) -> Tensors:
    """The tensors of all files of an index. Raises HeaderError where they are not what it says."""
    joined: dict[str, Stored] = {}
    for file, tensors in read.items():
        twice = sorted(joined.keys() & tensors.keys())
        if twice:
            raise HeaderError(
                f"{path}: {told(twice, f'in {file} and in another file of {index}')}: which counts "
                "nobody can say. Fetch or write the checkpoint anew"
            )
        joined |= tensors
    lost = sorted(wanted.keys() - joined.keys())
    if lost:
        raise HeaderError(
            f"{path}: {index} names what no file holds: {told(lost, 'missing')}. Fetch the "
            "checkpoint anew"
        )
    return joined


def read_shapes(path: str, commit: str | None = None) -> Shapes:
    """The shapes of `read_tensors`, which says what is raised."""
    return {name: one.shape for name, one in read_tensors(path, commit).items()}


def _tensors_in(path: str, file: str, commit: str | None) -> Tensors | None:
    """What one file holds; None where there is none of this name."""
    opened = _open(path, file, commit)
    if opened is None:
        return None
    with opened:
        size = int.from_bytes(opened.read(8), "little")
        header = opened.read(size) if size <= _MOST else b""
        length = opened.seek(0, io.SEEK_END)
    try:
        entries: dict[str, Any] = json.loads(header)
        entries.pop("__metadata__", None)
        ends = [int(one["data_offsets"][1]) for one in entries.values()]
        tensors = {
            name: Stored(str(one["dtype"]), tuple(map(int, one["shape"])))
            for name, one in entries.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise HeaderError(f"{path}: {file}: is no safetensors file: {error!r}") from None
    wanted = 8 + size + max(ends, default=0)
    if length != wanted:
        cut = sorted(
            name for name, one in entries.items() if 8 + size + one["data_offsets"][1] > length
        )
        of_them = f": {told(cut, 'cut off')}" if cut else ""
        raise HeaderError(
            f"{path}: {file}: is {length} bytes long and its header says {wanted}{of_them}. Fetch "
            "the checkpoint anew"
        )
    return tensors


def _told_instead(path: str, commit: str | None) -> str:
    """What there is instead of weights that are loaded, and what to do."""
    names = _names(path, commit)
    pickles = [one for one in names if one.endswith(_PICKLES)]
    others = [one for one in names if one.endswith(".safetensors")]
    if pickles:
        is_usual = any(one.startswith("pytorch_model") for one in pickles)
        how = f": {CONVERT.format(path)}" if is_usual else ""
        return (
            f", but {_few(pickles)}: pickles, which can run code as they are read and are not "
            f"loaded. Write them as safetensors once, where you trust them{how}"
        )
    if others:
        return (
            f", but {_few(others)}: another library's layout, a variant or a part; write the model "
            f"by transformers' save_pretrained, as {_WEIGHTS}"
        )
    return f"; weights are read from safetensors alone, as {_WEIGHTS} or the files of {_INDEX}"


def _names(path: str, commit: str | None) -> list[str]:
    """Of the files beside a model's configuration; none where a hub cannot be asked for them."""
    directory: Any = storage.place(path)
    if commit is None or directory.is_dir():
        return sorted(one.name for one in directory.glob("*") if one.is_file())
    from huggingface_hub import HfApi

    try:
        return sorted(HfApi().list_repo_files(path, revision=commit))
    except Exception:  # of whichever library carries the request: it only makes a message longer
        return []


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_FEW]) + (f" and {len(names) - _FEW} more" if len(names) > _FEW else "")


def _open(path: str, file: str, commit: str | None) -> IO[bytes] | None:
    """A file of a model; None where there is none."""
    directory: Any = storage.place(path)
    if commit is not None and not directory.is_dir():
        directory = cached_snapshot(path, commit)
        # Where there are weights all that is loaded was fetched; what is not there the hub has not.
        # Only a shard may be away because a fetch was cut short.
        is_shard = file.endswith(".safetensors") and file != _WEIGHTS
        is_fetched = not is_shard and directory is not None and any(directory.glob("*.safetensors"))
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
