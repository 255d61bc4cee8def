"""What a conversion makes: which tensor becomes which, what is left behind and why, and the files
beside the weights. It is held against source and target before the first tensor is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from shutil import copyfile
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from actors.converters.tensors import ConversionError, Tensors
from factory.judging.scalar import ScalarSpecification

#: Bytes of one file of weights, at most (but for a tensor that is larger by itself).
_SHARD = 4 * 2**30
_FEW = 5  # names that a message lists
#: What is brought along of a base, where it is there: all that says how a text or picture is read.
BESIDE = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "preprocessor_config.json",
    "chat_template.json",
    "chat_template.jinja",
)


@dataclass(frozen=True)
class Made:
    """A tensor of the target.

    shape: of it.
    sources: names of the source's tensors that it is made of.
    make: makes it.
    num_bytes: of an element.
    """

    shape: tuple[int, ...]
    sources: tuple[str, ...]
    make: Callable[[], Tensor]
    num_bytes: int = 4


def as_it_is(held: Tensors, name: str) -> Made:
    """A tensor of the source under another name."""
    return Made(held.shapes[name], (name,), lambda: held.get(name), held.width(name))


@dataclass(frozen=True)
class Conversion:
    """One checkpoint in its new form.

    source: names of all tensors of the source.
    tensors: of the target, by name.
    dropped: tensors of the source that are left behind, each with the reason.
    config: the target's `config.json`.
    specification: how the model is asked, where it is a scalar judge.
    files: further small files, by name.
    copied: files that are taken as they are, by name.
    finish: writes what only a library can, such as a tokenizer with more tokens.
    told: what a user should know of it, in sentences.
    """

    source: Collection[str]
    tensors: Mapping[str, Made]
    dropped: Mapping[str, str]
    config: Mapping[str, Any]
    specification: ScalarSpecification | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    copied: Mapping[str, Path] = field(default_factory=dict)
    finish: Callable[[Path], None] | None = None
    told: tuple[str, ...] = ()


def check(conversion: Conversion, target: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse a conversion that leaves a tensor unexplained, on either side.

    Args:
        conversion: what is to be made.
        target: shapes of all tensors of the model that the result is to be loaded into.

    Raises:
        ConversionError: names what is left over, what stays empty, and what does not fit.
    """
    used = {name for one in conversion.tensors.values() for name in one.sources}
    left = set(conversion.source) - used - set(conversion.dropped)
    empty, alien = set(target) - set(conversion.tensors), set(conversion.tensors) - set(target)
    differing = {
        f"{name} {list(one.shape)} for {list(target[name])}"
        for name, one in conversion.tensors.items()
        if name in target and one.shape != target[name]
    }
    faults = [
        f"{len(names)} {what}: {', '.join(sorted(names)[:_FEW])}{' …' * (len(names) > _FEW)}"
        for names, what in (
            (left, "tensor(s) of the source have no place in the model"),
            (empty, "tensor(s) of the model are in no tensor of the source"),
            (alien, "tensor(s) would be made that the model does not have"),
            (differing, "tensor(s) have another shape than the model's"),
        )
        if names
    ]
    if faults:
        raise ConversionError(f"this is no checkpoint of that kind: {'; '.join(faults)}")


def write(conversion: Conversion, directory: Path) -> None:
    """Write the checkpoint into an empty directory, a few gigabytes at a time."""
    shards = _shards(conversion.tensors)
    index: dict[str, str] = {}
    for number, names in enumerate(shards, start=1):
        file = "model.safetensors"
        if len(shards) > 1:
            file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        tensors = {name: conversion.tensors[name].make().contiguous().clone() for name in names}
        save_file(tensors, directory / file, metadata={"format": "pt"})
        index |= dict.fromkeys(names, file)
    if len(shards) > 1:
        size = sum(prod(one.shape) * one.num_bytes for one in conversion.tensors.values())
        told = {"metadata": {"total_size": size}, "weight_map": index}
        (directory / "model.safetensors.index.json").write_text(json.dumps(told, indent=2) + "\n")
    for name, path in conversion.copied.items():
        copyfile(path, directory / name)
    for name, text in conversion.files.items():
        (directory / name).write_text(text, encoding="utf-8")
    (directory / "config.json").write_text(json.dumps(dict(conversion.config), indent=2) + "\n")
    if conversion.specification is not None:
        conversion.specification.save(directory)
    if conversion.finish is not None:
        conversion.finish(directory)


def beside(base: Path) -> dict[str, Path]:
    """What is brought along of a base, by name."""
    return {name: base / name for name in BESIDE if (base / name).is_file()}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ConversionError: there is none.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConversionError(f"{path}: cannot be read: {error}") from None
    if not isinstance(told, dict):
        raise ConversionError(f"{path}: is no JSON object")
    return told


def _shards(tensors: Mapping[str, Made]) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    held = 0
    for name, one in tensors.items():
        size = prod(one.shape) * one.num_bytes
        if shards[-1] and held + size > _SHARD:
            shards.append([])
            held = 0
        shards[-1].append(name)
        held += size
    return shards
