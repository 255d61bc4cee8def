"""CLIP reward models: HPSv2's open_clip weights into transformers' CLIPModel, and PickScore's,
which are of that class already, with a file that says what they are.

Names of open_clip's tensors are those of tgxs002/HPSv2 at 866735ec (hpsv2/src/open_clip/model.py,
transformer.py). Its weights do not tell the number of attention heads nor the activation, so these
come from the configuration of the base, which is the same architecture in transformers' format.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from actors.converters.conversion import Conversion, Made, as_it_is, beside, read_json
from actors.converters.tensors import ConversionError, Tensors, open_tensors
from factory.judging.scalar import named

_TOWERS = (("visual.transformer", "vision_model"), ("transformer", "text_model"))
_IN_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_ALONE = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "logit_scale": "logit_scale",
}
_NORMS = {
    "visual.ln_pre": "vision_model.pre_layrnorm",
    "visual.ln_post": "vision_model.post_layernorm",
    "ln_final": "text_model.final_layer_norm",
}
#: Matrices that are multiplied from the right there, and from the left here.
_TURNED = {"visual.proj": "visual_projection.weight", "text_projection": "text_projection.weight"}
_DROPPED = {"attn_mask": "the causal mask, which the model makes itself"}


def hpsv2(source: Path, base: Path) -> Conversion:
    """HPSv2 or HPSv2.1 from its `.pt`.

    Args:
        source: the file.
        base: directory with configuration, tokenizer and image processor of the CLIP that it was
            trained from, in transformers' format.

    Raises:
        ConversionError: no such checkpoint.
    """
    held = open_tensors(source)
    made = dict(_taken(held))
    specification = named("hpsv2")
    if "logit_scale" in held.shapes:
        slope = math.exp(float(held.get("logit_scale")))
        specification = replace(specification, slope=slope)
    return Conversion(
        held.shapes,
        made,
        {name: why for name, why in _DROPPED.items() if name in held.shapes},
        _config(base),
        specification,
        copied=beside(base),
    )


def pickscore(source: Path, base: Path) -> Conversion:
    """PickScore from its directory in transformers' format: the same tensors, and beside them what
    says which model they are; tokenizer and image processor are those of the base.
    """
    held = open_tensors(source)
    counted = [name for name in held.shapes if name.endswith(".position_ids")]
    return Conversion(
        held.shapes,
        {name: as_it_is(held, name) for name in held.shapes if name not in counted},
        dict.fromkeys(counted, "numbers that count positions, which the model makes itself"),
        read_json(source / "config.json" if source.is_dir() else source.parent / "config.json"),
        named("pickscore"),
        copied=beside(base),
    )


def _config(base: Path) -> dict[str, Any]:
    told = read_json(base / "config.json")
    if told.get("model_type") != "clip":
        raise ConversionError(
            f"{base}: is of model type {told.get('model_type')!r}, and the base is to be the CLIP "
            "that the model was trained from, in transformers' format"
        )
    return {**json.loads(json.dumps(told)), "architectures": ["CLIPModel"]}


def _taken(held: Tensors) -> Iterator[tuple[str, Made]]:
    for name in held.shapes:
        yield from _of(held, name)


def _of(held: Tensors, name: str) -> Iterator[tuple[str, Made]]:
    """What becomes of one tensor; nothing where it is unknown, as the check will say."""
    shape = held.shapes[name]
    if name in _ALONE:
        yield _ALONE[name], as_it_is(held, name)
    elif name in _TURNED:
        yield _TURNED[name], _made(held, name, shape[::-1], lambda one: one.T)
    elif (norm := name.rpartition(".")[0]) in _NORMS:
        yield f"{_NORMS[norm]}.{name.rpartition('.')[2]}", as_it_is(held, name)
    for tower, model in _TOWERS:
        prefix = f"{tower}.resblocks."
        if not name.startswith(prefix):
            continue
        number, _, part = name.removeprefix(prefix).partition(".")
        layer = f"{model}.encoder.layers.{number}"
        module, _, kind = part.rpartition(".")
        if module in _IN_BLOCK:
            yield f"{layer}.{_IN_BLOCK[module]}.{kind}", as_it_is(held, name)
        elif part in ("attn.in_proj_weight", "attn.in_proj_bias"):
            third = (shape[0] // 3, *shape[1:])
            for place, which in enumerate("qkv"):
                target = f"{layer}.self_attn.{which}_proj.{part.rpartition('_')[2]}"
                yield target, _made(held, name, third, _third(place))


def _third(place: int) -> Callable[[Tensor], Tensor]:
    return lambda one: one.chunk(3)[place]


def _made(
    held: Tensors, name: str, shape: tuple[int, ...], change: Callable[[Tensor], Tensor]
) -> Made:
    return Made(shape, (name,), lambda: change(held.get(name)), held.width(name))
