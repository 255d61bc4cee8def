"""Adapters, told by their small files and headers: refused, with whether their base is there and
fits.

Where only an adapter lies at a path, transformers loads whatever lies at the name that it notes as
its base, on each worker; and the digest of such a directory is that of the adapter, the same
whichever base it meets. Merged with its base it is a checkpoint like any other. Where the base is
looked at its layers are held against the adapter's: of the right names, and as wide.
"""

from __future__ import annotations

import json

from actors.headers import HeaderError, read_small, read_tensors
from actors.weights import WeightsError, hub_commit
from factory.tensors import CheckpointError

_CONFIG, _ADAPTER = "config.json", "adapter_config.json"
#: Parts of layers' names that differ between versions of transformers.
_PREFIXES = ("model", "language_model", "vision_model")


def check_no_adapter(path: str, commit: str | None = None) -> None:
    """Refuse adapters, and say whether their base is there. transformers would load one into
    whatever lies at the base's name, on each worker.

    Args:
        path: of the model.
        commit: of a hub's repository.

    Raises:
        CheckpointError: says of which base, and how the two become one.
    """
    found = read_small(path, _ADAPTER, commit)
    if found is None:
        return
    try:
        told = json.loads(found)
        base, revision = told.get("base_model_name_or_path"), told.get("revision")
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: {_ADAPTER}: cannot be read: {error!r}") from None
    if not base:
        raise CheckpointError(
            f"{path}: an adapter without its base: {_ADAPTER} names none. Merge it where it was "
            "made, and name the merged model"
        )
    fault = _fault_of_base(path, commit, str(base), revision)
    merge = (
        "load the two by peft, `merge_and_unload`, write the model by `save_pretrained` beside the "
        "base's small files, and name that directory"
    )
    raise CheckpointError(
        f"{path}: an adapter of {base}, {fault or 'which is there and fits'}. Adapters are not "
        f"loaded: their weights are told from each other without their base. "
        f"{'Once the right base is there, merge' if fault else 'Merge'} them: {merge}"
    )


def _fault_of_base(path: str, commit: str | None, base: str, revision: str | None) -> str | None:
    """Why an adapter's base is none that it can be of; None where it fits, as far as can be told
    from here.
    """
    try:
        base_commit = hub_commit(base, revision)
        config = read_small(base, _CONFIG, base_commit)
        if config is None:
            return "which is not there"
        adapters = read_tensors(path, commit, "adapter_model.safetensors")
        wanted = read_tensors(base, base_commit)
    except (WeightsError, HeaderError, OSError) as error:
        return f"which cannot be looked at ({error})"
    layers = {_core(name.removesuffix(".weight")): one.shape for name, one in wanted.items()}
    strange = []
    for name, one in adapters.items():
        for part, axis in ((".lora_A.", -1), (".lora_B.", 0)):
            if part in name:
                shape = layers.get(_core(name.partition(part)[0].removeprefix("base_model.model.")))
                if shape is None or shape[axis] != one.shape[axis]:
                    strange.append(name)
    if strange:
        few = ", ".join(sorted(strange)[:3])
        return f"which is not the one that it was made of: {len(strange)} tensors fit none ({few})"
    return None


def _core(layer: str) -> str:
    """A layer's name without the prefixes that differ between versions of transformers."""
    parts = [one for one in layer.split(".") if one not in _PREFIXES]
    return ".".join(parts)
