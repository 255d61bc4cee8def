"""A judge's weights, loaded whole or not at all: `actors.checkpoints`, for what can judge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from actors import checkpoints
from actors.adapter_files import check_no_adapter
from actors.judges.kinds import check_config
from factory.judging.specification import SpecificationError
from factory.tensors import CheckpointError


def load_weights(
    path: str,
    dtype: torch.dtype,
    device: torch.device | None = None,
    *,
    trust_remote_code: bool = False,
    allow_missing: Sequence[str] = (),
) -> Any:
    """The model in a directory, with all of its weights and nothing else.

    Args:
        path: of the directory.
        dtype: of the weights.
        device: on which they come to lie; the CPU where None.
        trust_remote_code: run the code that comes with the checkpoint.
        allow_missing: patterns of names of tensors that may be missing.

    Raises:
        SpecificationError: a family that cannot judge, or weights that are not the model's.
    """
    check_directory(path, trust_remote_code=trust_remote_code)
    try:
        return checkpoints.load_whole(
            path,
            dtype,
            device,
            allow_missing=allow_missing,
            trust_remote_code=trust_remote_code,
        )
    except CheckpointError as error:
        raise SpecificationError(str(error)) from error


def check_directory(path: str, *, trust_remote_code: bool = False) -> None:
    """Refuse a model of a family that cannot judge, and adapters. Raises SpecificationError."""
    try:
        check_no_adapter(path)
        config = (Path(path) / "config.json").read_bytes()
    except CheckpointError as error:
        raise SpecificationError(str(error)) from None
    except OSError as error:
        raise SpecificationError(f"{path}: no transformers model: {error!r}") from None
    check_config(path, config, brings_code=trust_remote_code)
