"""A judge's weights, loaded whole or not at all; and what can be known of them without loading.

transformers fills at random what a checkpoint lacks, drops what its model has no place for, and
only says so in a log. Here both are errors, by the names of the tensors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from factory.judge_kinds import check_family, check_tensors
from factory.judging.specification import SpecificationError

#: Directories whose tensors were held against their model already, as they were then.
_CHECKED: set[tuple[tuple[str, int, int], ...]] = set()


def load_weights(path: str, dtype: torch.dtype, *, trust_remote_code: bool = False) -> Any:
    """The model in a directory, with all of its weights and nothing else.

    Args:
        path: of the directory.
        dtype: of the weights.
        trust_remote_code: run the code that comes with the checkpoint.

    Raises:
        SpecificationError: a family that cannot judge, or weights that are not the model's.
    """
    check_directory(path, trust_remote_code=trust_remote_code)
    return _loaded(path, trust_remote_code, dtype=dtype)


def check_directory(path: str, *, trust_remote_code: bool = False) -> None:
    """Refuse a model of a family that cannot judge. Raises SpecificationError."""
    try:
        config = (Path(path) / "config.json").read_bytes()
    except OSError as error:
        raise SpecificationError(f"{path}: no transformers model: {error!r}") from None
    check_family(path, config, brings_code=trust_remote_code)


def check_weights(path: str) -> None:
    """Hold the names and shapes of a directory's tensors against its model, without reading one of
    them: on the meta device, only the headers of safetensors files are looked at.

    Raises:
        SpecificationError: as `load_weights`.
    """
    check_directory(path)
    stats = [(str(one), one.stat()) for one in sorted(Path(path).iterdir())]
    version = tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
    if version not in _CHECKED:
        _loaded(path, False, device_map="meta")
        _CHECKED.add(version)


def _loaded(path: str, trust_remote_code: bool, **how: Any) -> Any:
    from transformers import AutoModelForImageTextToText

    try:
        model, told = AutoModelForImageTextToText.from_pretrained(
            path,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            ignore_mismatched_sizes=True,  # told with the others
            output_loading_info=True,
            **how,
        )
    except OSError as error:  # no safetensors, or a shard of the index is not there
        raise SpecificationError(f"{path}: no weights that can be loaded: {error}") from None
    mismatched = [
        f"{name} {list(given)} for {list(wanted)}"
        for name, given, wanted in told["mismatched_keys"]
    ]
    check_tensors(path, told["missing_keys"], told["unexpected_keys"], mismatched)
    return model
