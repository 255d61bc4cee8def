"""Low-rank adapters in a module (LoRA, Hu et al. 2021, arXiv 2106.09685), through peft.

With its adapters off a module is what it was before: the reference needs no second copy of the
weights. Left out: other adapters, and adapters of text encoders.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from schemas.recipe import Lora

_NAME = "default"


def add_adapters(module: nn.Module, lora: Lora, targets: Sequence[str] | str) -> None:
    """Put adapters in, and let nothing else be trained.

    Args:
        module: any; changed in place.
        lora: rank, scale, and the layers where the recipe names them.
        targets: endings of the names of the layers where it does not, or a pattern of whole names.

    Raises:
        ValueError: no layer has such a name.
    """
    from peft import LoraConfig, inject_adapter_in_model

    module.requires_grad_(False)
    named = list(lora.targets) or (targets if isinstance(targets, str) else list(targets))
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=named)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # every worker, and every attempt of one, starts from the same
        try:
            inject_adapter_in_model(config, module, adapter_name=_NAME)
        except ValueError as error:
            raise ValueError(f"lora.targets: {error}") from error


@contextmanager
def adapters_off(module: nn.Module) -> Iterator[None]:
    """Within, the module computes what it did before it got adapters."""
    layers = [layer for _, layer in _layers(module)]
    for layer in layers:
        # Not `enable_adapters`: it takes the gradient from the weights, and with it the hooks by
        # which DeepSpeed reduces it.
        layer._disable_adapters = True
    try:
        yield
    finally:
        for layer in layers:
            layer._disable_adapters = False


def adapter_weights(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The adapters' weights by peft's names, and peft's configuration of them."""
    from peft import get_peft_model_state_dict

    return get_peft_model_state_dict(module), module.peft_config[_NAME].to_dict()


def save_adapters(module: nn.Module, directory: Path, base: str) -> None:
    """Write the adapters for peft's `PeftModel.from_pretrained(base_model, directory)`."""
    weights, _ = adapter_weights(module)
    config = module.peft_config[_NAME]
    config.base_model_name_or_path = base
    directory.mkdir(parents=True)
    config.save_pretrained(directory)
    save_file(
        {f"base_model.model.{name}": value.contiguous() for name, value in weights.items()},
        directory / "adapter_model.safetensors",
    )


def merge_adapters(module: nn.Module) -> None:
    """Add the adapters to the weights, and take them out: a plain module again."""
    for name, layer in _layers(module):
        layer.merge(safe_merge=True)
        parent, _, last = name.rpartition(".")
        setattr(module.get_submodule(parent), last, layer.get_base_layer())
    del module.peft_config


def _layers(module: nn.Module) -> list[tuple[str, Any]]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [(name, one) for name, one in module.named_modules() if isinstance(one, BaseTunerLayer)]


def attention_layers(model: nn.Module) -> list[str]:
    """The layers that get adapters where nobody names any: all linear layers of all attention, of
    eyes and decoder, however a family calls them (`q_proj`, `qkv`, `wqkv`, `query` …).

    Raises:
        ValueError: none is found.
    """
    named = [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and _is_in_attention(name)
    ]
    if not named:
        raise ValueError("lora.targets: no attention is found in this model: name its layers")
    return named


def _is_in_attention(name: str) -> bool:
    return any("attn" in part or "attention" in part for part in name.lower().split(".")[:-1])
