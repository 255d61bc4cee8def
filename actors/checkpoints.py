"""The weights of a transformers vision-language model, loaded whole or not at all; and what can be
known of them without loading.

    config.json + headers of the files -> the model without values -> what does not fit, by name

transformers fills at random what a checkpoint lacks, drops what its model has no place for, and
only says so in a log. Here both are errors, at the plan and again where the weights are loaded. The
model is built by transformers' own class on the meta device and given tensors without values, so
names that it changes as it loads (older prefixes, experts that are joined) and tensors that it can
do without (heads that are tied, buffers of older versions) are as at loading.

Quantised weights are held against the model by what they stand for (`factory.quantised`). FP8 is
loaded as numbers of the precision that the recipe asks for: transformers' kernels for it are code
that is fetched from a hub as it runs. Adapters are refused (`actors.adapter_files`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch

from actors.adapter_files import check_no_adapter
from actors.headers import HeaderError, read_small, read_tensors
from factory.quantised import (
    form_of,
    may_be_too_much,
    quantisation,
    stands_for,
    unquantised,
)
from factory.tensors import CheckpointError, Tensors, check_tensors, is_allowed

_CONFIG = "config.json"
#: Configurations and tensors that were held against each other already, with what may be missing.
_FITTING: dict[tuple[bytes, frozenset[Any], tuple[str, ...]], tuple[str, ...]] = {}
#: Names of packages as they are installed, where they are imported by another.
_PACKAGES = {"compressed_tensors": "compressed-tensors"}
#: What makes transformers say what did not fit, and fail for none of it: `_check` names all.
_TELLING: dict[str, Any] = {"ignore_mismatched_sizes": True, "output_loading_info": True}


def check_stored(
    path: str,
    commit: str | None = None,
    *,
    allow_missing: Sequence[str] = (),
    trust_remote_code: bool = False,
) -> tuple[str, ...]:
    """Refuse a checkpoint that is not what its configuration says, or cannot be loaded here, from
    its small files and the headers of its weights: nothing else is read or fetched.

    Args:
        path: a directory, an address in an object store, or a hub's name.
        commit: of a hub's repository.
        allow_missing: patterns of names of tensors that may be missing.
        trust_remote_code: its own code is run, and says what it holds; then only the files are
            looked at.

    Returns:
        the tensors that are missing and may be.

    Raises:
        CheckpointError: no model of a class that answers, an adapter, tensors that are not those of
            its model, a quantisation whose library is not installed; says which and what to do.
        WeightsError: a hub that cannot be asked.
    """
    check_no_adapter(path, commit)
    config = read_small(path, _CONFIG, commit)
    if config is None:
        raise CheckpointError(f"{path}: has no {_CONFIG}: it is no transformers model")
    told = _told(path, config)
    try:
        tensors = read_tensors(path, commit, told.get("transformers_weights"))
    except HeaderError as error:
        raise CheckpointError(str(error)) from None
    if trust_remote_code:
        return ()
    model_class(path, told)
    check_quantisation(path, told)
    return check_fits(path, config, tensors, allow_missing=allow_missing)


def model_class(path: str, told: Mapping[str, Any]) -> Any:
    """The class of transformers that a configuration's weights are of.

    Args:
        path: of the model, for messages.
        told: its `config.json`.

    Raises:
        CheckpointError: transformers has none of this type that takes pictures and answers, or the
            weights are of another class: repositories of LLaVA's own code call themselves `llava`
            too, and a reward model with a head for numbers would lose that head.
    """
    import transformers
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as NAMES,
    )

    kind, classes = told.get("model_type"), told.get("architectures") or []
    if kind not in NAMES:
        raise CheckpointError(
            f"{path}: transformers {transformers.__version__} has no model of type {kind!r} that "
            "takes pictures and answers in text: name a conversion to transformers' own format "
            "(such repositories often end in -hf), or a newer transformers"
        )
    name = NAMES[kind]
    if classes and name not in classes:
        raise CheckpointError(
            f"{path}: its config.json says that the weights are of {', '.join(map(str, classes))}, "
            f"and a model of type {kind!r} is a {name}: what the two do not share would be "
            "dropped, or filled at random. Name a conversion to transformers' own format (such "
            "repositories often end in -hf)"
        )
    return getattr(transformers, name)


def check_quantisation(path: str, told: Mapping[str, Any]) -> None:
    """Refuse quantised weights that this machine cannot load.

    Args:
        path: of the model, for messages.
        told: its `config.json`.

    Raises:
        CheckpointError: names the library that is not installed, or says what it asks for.
    """
    quantised = quantisation(told)
    if quantised is None:
        return
    _, forms = form_of(path, quantised)
    lacking = [name for name in forms[0].libraries if find_spec(name) is None]
    if lacking:
        packages = " and ".join(_PACKAGES.get(one, one) for one in lacking)
        raise CheckpointError(
            f"{path}: its weights are quantised by {forms[0].method}, and that takes {packages}, "
            f"which is not installed: pip install {packages.replace(' and', '')}, or name the "
            "checkpoint that it was made of"
        )
    from transformers.quantizers.auto import AutoHfQuantizer

    try:
        AutoHfQuantizer.from_config(dict(quantised)).validate_environment(device_map=None)
    except (ImportError, RuntimeError, ValueError, TypeError) as error:
        why = str(error).strip().partition("\n")[0]
        raise CheckpointError(
            f"{path}: its weights are quantised by {forms[0].method}, and cannot be loaded on this "
            f"machine: {why}"
        ) from None


def check_not_quantised(path: str, config: bytes) -> None:
    """Refuse to train quantised weights: steps would be rounded away, and adapters trained on them
    fit no other.

    Args:
        path: of the model, for messages.
        config: its `config.json`.

    Raises:
        CheckpointError: says how the weights are quantised.
    """
    quantised = quantisation(_told(path, config))
    if quantised is not None:
        method = quantised.get("quant_method", "bitsandbytes")
        raise CheckpointError(
            f"{path}: its weights are quantised ({method}), and are not trained here: name the "
            "checkpoint that it was made of"
        )


def check_fits(
    path: str, config: bytes, tensors: Tensors, *, allow_missing: Sequence[str] = ()
) -> tuple[str, ...]:
    """Hold the names and shapes of a checkpoint's tensors against its model, without any of its
    weights: transformers loads what has shapes and no values.

    Args:
        path: of the model, for messages.
        config: the contents of its `config.json`.
        tensors: its tensors.
        allow_missing: patterns of names that may be missing.

    Returns:
        the names that are missing and may be.

    Raises:
        CheckpointError: they are not those of the model.
    """
    fitting = (config, frozenset(tensors.items()), tuple(allow_missing))
    if fitting not in _FITTING:
        _FITTING[fitting] = _fits(path, _told(path, config), tensors, allow_missing)
    return _FITTING[fitting]


def _fits(
    path: str, told: Mapping[str, Any], tensors: Tensors, allow_missing: Sequence[str]
) -> tuple[str, ...]:
    import transformers

    kind = model_class(path, told)
    quantised = quantisation(told)
    if quantised is None:
        shapes = {name: one.shape for name, one in tensors.items()}
    else:
        shapes = unquantised(path, quantised, tensors)
    plain = _without_quantisation(told)
    try:
        with _quietly():
            model, info = kind.from_pretrained(
                None,
                config=transformers.CONFIG_MAPPING[plain["model_type"]].from_dict(plain),
                state_dict={name: torch.empty(one, device="meta") for name, one in shapes.items()},
                device_map="meta",
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                **_TELLING,
            )
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: its tensors cannot be put into the model that config.json describes: {error}"
        ) from error
    method = None if quantised is None else form_of(path, quantised)[0]
    return _check(path, info, allow_missing, method, model)


def load_whole(
    path: str,
    dtype: torch.dtype,
    device: torch.device | str | None = None,
    *,
    revision: str | None = None,
    allow_missing: Sequence[str] = (),
    trust_remote_code: bool = False,
) -> Any:
    """The model in a directory, with all of its weights and nothing else.

    Args:
        path: of the directory, or a hub's name.
        dtype: of the weights; of the numbers that they stand for where they are quantised.
        device: on which they come to lie; the CPU where None.
        revision: commit of a hub's repository; its main branch where None.
        allow_missing: patterns of names of tensors that may be missing; they are filled at random,
            alike in each process.
        trust_remote_code: run the code that comes with the checkpoint.

    Raises:
        CheckpointError: weights that are not the model's, or that cannot be loaded.
    """
    from transformers import AutoConfig, AutoModelForImageTextToText

    more: dict[str, Any] = {}
    config = AutoConfig.from_pretrained(
        path, revision=revision or "main", trust_remote_code=trust_remote_code
    )
    quantised = quantisation(config.to_dict())
    if quantised is not None:
        check_quantisation(path, config.to_dict())
        more["device_map"] = {"": str(device or "cpu")}
        if form_of(path, quantised)[0] == "fp8":
            config.quantization_config = {**quantised, "dequantize": True}
    try:
        with torch.random.fork_rng(enabled=bool(allow_missing)):
            torch.manual_seed(0) if allow_missing else None
            model, info = AutoModelForImageTextToText.from_pretrained(
                path,
                config=config,
                revision=revision or "main",
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=trust_remote_code,
                **more,
                **_TELLING,
            )
    except OSError as error:  # no safetensors, or a shard of the index is not there
        raise CheckpointError(f"{path}: no weights that can be loaded: {error}") from None
    _check(path, info, allow_missing, None, model)
    return model if device is None or quantised is not None else model.to(device)


def _check(
    path: str,
    info: Mapping[str, Any],
    allow_missing: Sequence[str],
    method: str | None,
    model: Any,
) -> tuple[str, ...]:
    """What is missing and may be, of what transformers says of a loading."""
    unexpected, mismatched = set(info["unexpected_keys"]), set(info["mismatched_keys"])
    if method is not None:
        wanted = set(model.state_dict())
        unexpected = {one for one in unexpected if not may_be_too_much(method, one, wanted)}
        mismatched = {
            (name, given, wants)
            for name, given, wants in mismatched
            if not stands_for(method, tuple(given), tuple(wants))
        }
    check_tensors(
        path,
        info["missing_keys"],
        unexpected,
        [f"{name} {list(given)} for {list(wants)}" for name, given, wants in mismatched],
        allow_missing,
    )
    return tuple(sorted(one for one in info["missing_keys"] if is_allowed(one, allow_missing)))


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


def _without_quantisation(told: Mapping[str, Any]) -> dict[str, Any]:
    plain = {key: one for key, one in told.items() if key != "quantization_config"}
    if isinstance(plain.get("text_config"), Mapping):
        plain["text_config"] = _without_quantisation(plain["text_config"])
    return plain


def _told(path: str, data: bytes) -> dict[str, Any]:
    try:
        told = json.loads(data)
    except ValueError as error:
        raise CheckpointError(f"{path}: {_CONFIG}: not JSON: {error}") from None
    if not isinstance(told, dict):
        raise CheckpointError(f"{path}: {_CONFIG}: not an object of JSON")
    return told
