"""Tensors of a checkpoint by name, read one at a time: from safetensors, or from a pickle that
holds nothing but tensors, which this is the one place to open.

A pickle is read by `torch.load` with `weights_only`, so nothing in it is run; one that asks for
more is refused with what it asks for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

#: Under which name the tensors lie in files that hold more than these.
_INSIDE = ("state_dict", "model")


class ConversionError(ValueError):
    """A checkpoint that cannot be converted; says why, and what to do."""


class Tensors(Protocol):
    """A checkpoint's tensors."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """By name."""

    def get(self, name: str) -> Tensor:
        """One of them."""

    def width(self, name: str) -> int:
        """Bytes of an element of one of them."""


@dataclass(frozen=True)
class Held:
    """Tensors that lie in memory, or in a file that is mapped into it."""

    tensors: Mapping[str, Tensor]

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}

    def get(self, name: str) -> Tensor:
        return self.tensors[name]

    def width(self, name: str) -> int:
        return int(self.tensors[name].element_size())


class Files:
    """Tensors of safetensors files, each read when it is asked for."""

    def __init__(self, paths: Iterable[Path]) -> None:
        """Raises ConversionError: a file that is none, or a name that two files hold."""
        self._where: dict[str, Any] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for path in paths:
            try:
                opened: Any = safe_open(path, framework="pt")
                names = list(opened.keys())
            except (SafetensorError, OSError) as error:
                raise ConversionError(f"{path}: is no safetensors file: {error}") from None
            if twice := set(names) & set(self._where):
                raise ConversionError(f"{path}: {min(twice)!r} is in another file too")
            self._where |= dict.fromkeys(names, opened)
            for name in names:
                self.shapes[name] = tuple(opened.get_slice(name).get_shape())

    def get(self, name: str) -> Tensor:
        tensor: Tensor = self._where[name].get_tensor(name)
        return tensor

    def width(self, name: str) -> int:
        digits = re.findall(r"\d+", self._where[name].get_slice(name).get_dtype())
        return int(digits[0]) // 8 if digits else 1  # F32, BF16 …; BOOL


def open_tensors(path: Path) -> Tensors:
    """The tensors of a file, or of all safetensors files of a directory.

    Raises:
        ConversionError: there are none, or they cannot be read.
    """
    if path.is_dir():
        files = sorted(path.glob("*.safetensors"))
        if files:
            return Files(files)
        pickles = sorted(one for end in ("pt", "pth", "bin") for one in path.glob(f"*.{end}"))
        if len(pickles) != 1:
            raise ConversionError(
                f"{path}: holds no .safetensors, and {len(pickles)} pickle(s); name the file that "
                "is to be converted"
            )
        path = pickles[0]
    if path.suffix == ".safetensors":
        return Files([path])
    if not path.is_file():
        raise ConversionError(f"{path}: no such file")
    return Held(_unpickled(path))


def _unpickled(path: Path) -> dict[str, Tensor]:
    try:
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except MemoryError:
        raise
    except Exception as error:  # of whichever part of it is not what it should be
        said = str(error).strip().partition("\n")[0]
        raise ConversionError(
            f"{path}: cannot be read as a pickle of tensors alone, and anything more is not read, "
            f"since it could run: {said}"
        ) from None
    for name in _INSIDE:
        if isinstance(held, Mapping) and isinstance(held.get(name), Mapping):
            held = held[name]
            break
    if not isinstance(held, Mapping):
        raise ConversionError(f"{path}: holds a {type(held).__name__}, and no tensors by name")
    found = {str(name): one for name, one in held.items() if isinstance(one, Tensor)}
    others = [str(name) for name, one in held.items() if not isinstance(one, Tensor)]
    if not found or others:
        raise ConversionError(
            f"{path}: holds {len(found)} tensor(s) by name, and beside them "
            f"{', '.join(sorted(others)[:3]) or 'nothing'}: no state of a model"
        )
    return found


def _is_zip(path: Path) -> bool:
    """Whether the file is of the form that can be mapped into memory."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def digest(path: Path) -> dict[str, str]:
    """SHA-256 of a file, or of each file of weights of a directory, by name."""
    files = [path] if path.is_file() else sorted(_weights(path))
    found = {}
    for file in files:
        with file.open("rb") as opened:
            found[file.name] = hashlib.file_digest(opened, "sha256").hexdigest()
    return found


def _weights(directory: Path) -> Iterable[Path]:
    ends = (".safetensors", ".pt", ".pth", ".bin")
    return (one for one in directory.rglob("*") if one.suffix in ends)
