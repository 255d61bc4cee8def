"""A judge's weights, loaded whole or not at all; and what can be known of them without loading.

transformers fills at random what a checkpoint lacks, drops what its model has no place for, and
only says so in a log. Here both are errors, by the names of the tensors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from actors.headers import Shapes
from actors.judges.kinds import check_config, judging_classes
from factory.judge_kinds import check_tensors
from factory.judging.specification import SpecificationError

#: Configurations and tensors that were held against each other already.
_FITTING: set[tuple[bytes, tuple[tuple[str, tuple[int, ...]], ...]]] = set()


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
    return _loaded(path, trust_remote_code, dtype)


def check_directory(path: str, *, trust_remote_code: bool = False) -> None:
    """Refuse a model of a family that cannot judge. Raises SpecificationError."""
    try:
        config = (Path(path) / "config.json").read_bytes()
    except OSError as error:
        raise SpecificationError(f"{path}: no transformers model: {error!r}") from None
    check_config(path, config, brings_code=trust_remote_code)


def check_shapes(path: str, config: bytes, shapes: Shapes) -> None:
    """Hold the names and shapes of a checkpoint's tensors against its model, without any of its
    weights: transformers loads what has shapes and no values.

    Args:
        path: of the model, for messages.
        config: the contents of its `config.json`, of a family that can judge.
        shapes: its tensors.

    Raises:
        SpecificationError: they are not those of the model.
    """
    told = json.loads(config)
    fitting = (config, tuple(sorted(shapes.items())))
    if "quantization_config" in told or fitting in _FITTING:
        return  # what quantised weights are called, only who loads them knows
    import transformers

    kind = told["model_type"]
    model_class = getattr(transformers, judging_classes()[kind])
    try:
        with _quietly():
            _, info = model_class.from_pretrained(
                None,
                config=transformers.CONFIG_MAPPING[kind].from_dict(told),
                state_dict={
                    name: torch.empty(shape, device="meta") for name, shape in shapes.items()
                },
                device_map="meta",
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                **_TELLING,
            )
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise SpecificationError(f"{path}: its config.json describes no model: {error}") from error
    _check(path, info)
    _FITTING.add(fitting)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what transformers shows of a loading, and warns of: here nothing is loaded."""
    from transformers.utils import logging

    verbosity, shows = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shows:
            logging.enable_progress_bar()


#: What makes transformers say what did not fit, and fail for none of it: `_check` names all.
_TELLING: dict[str, Any] = {"ignore_mismatched_sizes": True, "output_loading_info": True}


def _loaded(path: str, trust_remote_code: bool, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForImageTextToText

    try:
        model, info = AutoModelForImageTextToText.from_pretrained(
            path,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            **_TELLING,
        )
    except OSError as error:  # no safetensors, or a shard of the index is not there
        raise SpecificationError(f"{path}: no weights that can be loaded: {error}") from None
    _check(path, info)
    return model


def _check(path: str, info: Mapping[str, Any]) -> None:
    mismatched = [
        f"{name} {list(given)} for {list(wanted)}"
        for name, given, wanted in info["mismatched_keys"]
    ]
    check_tensors(path, info["missing_keys"], info["unexpected_keys"], mismatched)
