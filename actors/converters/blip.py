"""ImageReward's `.pt` into safetensors of our own module, which is made of transformers' BLIP.

Names are those of THUDM/ImageReward at c1392c6d (ImageReward/ImageReward.py, models/BLIP/vit.py,
med.py). What the weights do not tell is as that code has it: heads of width 64 in both encoders,
and the layer norms' epsilons.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actors.converters.conversion import Conversion, Made, as_it_is, beside, read_json
from actors.converters.tensors import ConversionError, open_tensors
from factory.judging.scalar import named

_HEAD = 64  # width of an attention head: 16 of 1024 in `create_vit`, 12 of 768 in med_config.json
_VISION = {
    "cls_token": "embeddings.class_embedding",
    "pos_embed": "embeddings.position_embedding",
    "patch_embed.proj": "embeddings.patch_embedding",
    "norm": "post_layernorm",
}
_IN_BLOCK = {
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
    "attn.qkv": "self_attn.qkv",
    "attn.proj": "self_attn.projection",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
#: Places of the linear layers among the dropouts that stand between them.
_LINEAR = {"0": "0", "2": "1", "4": "2", "6": "3", "7": "4"}
_BLOCK = re.compile(r"blip\.visual_encoder\.blocks\.(\d+)\.(.+)\.(weight|bias)")
_DROPPED = {
    "blip.text_encoder.embeddings.position_ids": "numbers that count positions",
    **{
        f"blip.{which}_proj.{part}": "projects for another loss; no score passes through it"
        for which in ("vision", "text")
        for part in ("weight", "bias")
    },
}


def imagereward(source: Path, base: Path) -> Conversion:
    """ImageReward.

    Args:
        source: the file; a `med_config.json` beside it is held against the weights.
        base: directory with the tokenizer of bert-base-uncased.

    Raises:
        ConversionError: no such checkpoint.
    """
    held = open_tensors(source)
    made: dict[str, Made] = {}
    for name in held.shapes:
        if (target := _target(name)) is not None:
            made[target] = as_it_is(held, name)
    config = _config(held.shapes)
    told = (source if source.is_dir() else source.parent) / "med_config.json"
    if told.is_file():
        given = read_json(told).get("num_attention_heads")
        if given != config["text_config"]["num_attention_heads"]:
            raise ConversionError(
                f"{told}: says {given} attention heads, and the published model has heads of "
                f"width {_HEAD}"
            )
    dropped = {name: why for name, why in _DROPPED.items() if name in held.shapes}
    return Conversion(held.shapes, made, dropped, config, named("imagereward"), copied=beside(base))


def _target(name: str) -> str | None:
    """The name of a tensor in our module; None where it has none."""
    if name in _DROPPED:
        return None
    if block := _BLOCK.fullmatch(name):
        number, module, kind = block.groups()
        if module in _IN_BLOCK:
            return f"vision_model.encoder.layers.{number}.{_IN_BLOCK[module]}.{kind}"
        return None
    if name.startswith("blip.visual_encoder."):
        rest = name.removeprefix("blip.visual_encoder.")
        module, _, kind = rest.rpartition(".")
        if rest in _VISION:
            return f"vision_model.{_VISION[rest]}"
        return f"vision_model.{_VISION[module]}.{kind}" if module in _VISION else None
    if name.startswith("blip.text_encoder."):
        return name.removeprefix("blip.")
    if name.startswith("mlp.layers."):
        number, _, kind = name.removeprefix("mlp.layers.").partition(".")
        return f"mlp.{_LINEAR[number]}.{kind}" if number in _LINEAR else None
    return None


def _config(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """A BLIP configuration of the shapes of the weights."""
    seen, read = "blip.visual_encoder", "blip.text_encoder"
    try:
        wide, _, patch, _ = shapes[f"{seen}.patch_embed.proj.weight"]
        side = math.isqrt(shapes[f"{seen}.pos_embed"][1] - 1) * patch
        deep = shapes[f"{seen}.blocks.0.mlp.fc1.weight"][0]
        words, width = shapes[f"{read}.embeddings.word_embeddings.weight"]
        longest = shapes[f"{read}.embeddings.position_embeddings.weight"][0]
        inner = shapes[f"{read}.encoder.layer.0.intermediate.dense.weight"][0]
    except (KeyError, ValueError) as error:
        raise ConversionError(f"this is no ImageReward checkpoint: it lacks {error}") from None
    return {
        "model_type": "blip",
        "architectures": ["ImageRewardModel"],
        "vision_config": {
            "hidden_size": wide,
            "intermediate_size": deep,
            "num_hidden_layers": _layers(shapes, f"{seen}.blocks."),
            "num_attention_heads": max(1, wide // _HEAD),
            "image_size": side,
            "patch_size": patch,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-6,
        },
        "text_config": {
            "vocab_size": words,
            "hidden_size": width,
            "encoder_hidden_size": wide,
            "intermediate_size": inner,
            "num_hidden_layers": _layers(shapes, f"{read}.encoder.layer."),
            "num_attention_heads": max(1, width // _HEAD),
            "max_position_embeddings": longest,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-12,
            "is_decoder": True,  # transformers' word for having cross-attention
            "pad_token_id": 0,
        },
    }


def _layers(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> int:
    numbers = {name.removeprefix(prefix).partition(".")[0] for name in shapes if prefix in name}
    return len(numbers)
