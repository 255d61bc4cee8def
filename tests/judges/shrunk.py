"""A tiny checkpoint of any type of transformers' image-text-to-text mapping, made from nothing but
its configuration class and its processor class: sizes are made small by their names, the
vocabulary and the special tokens are what the processor's code asks for. The real types' chat
templates are not known here, so that a turn is asked as its parts in their order.

What cannot be made this way is said to be so (`NotTriedError`), and is no finding about the type.
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tests.judges.stock import as_inputs, stock_processor
from tests.tiny.checkpoints import spread
from tests.tiny.words import byte_level

#: Parameters that a model may have, made tiny.
_MOST_PARAMETERS = 20_000_000
_PATCH, _SIDE = 8, 32
#: Small values by what a number of a configuration is called; the first that fits.
_SMALL: tuple[tuple[str, int], ...] = (
    (r"(num_)?(experts_per_tok|top_?k(_experts)?|moe_topk|num_selected_experts)", 2),
    (r"(n_routed|num_local|num|moe_num|n)_experts", 4),
    (r"n_shared_experts|moe_num_shared_experts|n_group|topk_group|first_k_dense_replace", 1),
    (r"(num_)?(global_)?(key_value|kv)_heads|num_kv_heads", 2),
    (r".*num_(attention_)?heads|n_heads?|.*attention_heads|attn_heads", 2),
    (r"linear_num_(key|value)_heads", 2),
    (r"linear_(key|value)_head_dim|qk_(rope|nope)_head_dim", 8),
    (r".*head_dim|d_kv|v_head_dim", 16),
    (r"(q|kv|o)_lora_rank", 16),
    (r".*num_hidden_layers|n_layers?|depth|.*num_layers|(en|de)coder_layers", 2),
    (r".*(intermediate|ffn|ff|mlp)_?(size|dim)|d_ff|ffn_hidden_size", 48),
    (r".*hidden_(size|dim)|d_model|embed_dim|n_embd|projection_dim|.*_width|width", 32),
    (r"vision_output_dim|output_dim|proj_dim|text_embed_dim|inner_dim", 32),
    (r"patch_size", _PATCH),
    (r"image_size|tile_size|max_image_size|force_image_size", _SIDE),
    (r"num_position_embeddings", 16),
    (r"position_embedding_size", 256),
    (r"max_position_embeddings|n_positions|max_target_positions", 4096),
    (r"sliding_window|attention_chunk_size", 64),
    (r"num_mtp_modules|num_nextn_predict_layers|mtp_num_hidden_layers|num_kv_shared_layers", 0),
)
#: How code spells special tokens, asks a tokenizer for one by name, and complains of their number.
_LITERAL = re.compile(r"""["'](<[^"'\s{}<>]{1,40}>|\[[A-Z_]{2,24}\])["']""")
_NAMED = re.compile(r"tokenizer\.(\w+_token)\b(?!_)")
_MISMATCH = re.compile(r"tokens?\D{0,12}(\d+)\D+?features?\D{0,12}(\d+)", re.IGNORECASE)
#: What processors call the number of tokens of a picture.
_LENGTHS = ("image_seq_length", "image_seq_len", "num_image_tokens")
#: What a configuration says anew when it is read again, or of a precision that is not wanted here.
_LEFT_OUT = ("id2label", "label2id", "per_layer_config", "dtype", "torch_dtype")


#: What the names of settings do not tell of a type: by the path to it in its configuration, …
_OWN: dict[str, dict[str, Any]] = {
    "glm46v": {"text_config.rope_parameters.mrope_section": [2, 3, 3]},
    "glm4v_moe": {"text_config.rope_parameters.mrope_section": [2, 1, 1]},
    "mllama": {
        "text_config.cross_attention_layers": [1],
        "vision_config.intermediate_layers_indices": [0],
        "vision_config.vision_output_dim": 64,  # the last layer's and one before
        "vision_config.num_global_layers": 1,
    },
    "llama4": {
        "vision_config.intermediate_size": 128,  # four patches side by side
        "vision_config.projector_input_dim": 32,
        "vision_config.projector_output_dim": 32,
    },
}
#: … the token in the place of each piece of a picture, where that is not the processor's mark of
#: the picture; …
_PIECES = {
    "llama4": ("image_token_index", "<|patch|>"),
    "molmo2": ("image_patch_id", "<im_patch>"),
    "ovis2": ("image_token_id", "<IMG_ATOM>"),
}
#: … and settings of its image processor and of its processor.
_OWN_PICTURES: dict[str, dict[str, Any]] = {"molmo2": {"overlap_margins": [1, 1]}}
_OWN_PROCESSOR: dict[str, dict[str, Any]] = {
    "vipllava": {"vision_feature_select_strategy": "default"},
}


class NotTriedError(Exception):
    """No tiny checkpoint of a type can be made here; says why."""


def make(kind: str, directory: Path) -> None:
    """Write a tiny checkpoint of one type.

    Raises:
        NotTriedError: says why there is none.
    """
    import transformers
    from transformers.models.auto import modeling_auto

    name = modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES[kind]
    model_class = getattr(transformers, name, None)
    if model_class is None:
        raise NotTriedError(f"transformers has no class {name} here")
    processor_class = _processor_class(kind)
    tokenizer = _tokenizer_of(processor_class, directory)
    config = _config(kind, tokenizer, "mrope_section" in inspect.getsource(_module(model_class)))
    config.save_pretrained(directory)
    _write_processor(kind, processor_class, config, directory)
    processor = _processor(directory)
    _place_tokens(config, processor)
    if kind in _PIECES:
        key, token = _PIECES[kind]
        setattr(config, key, processor.tokenizer.convert_tokens_to_ids(token))
    if kind == "ovis2":
        marks = ("<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>")
        config.visual_indicator_token_ids = processor.tokenizer.convert_tokens_to_ids([*marks])
    torch.manual_seed(0)
    model = _model(model_class, config)
    spread(model)
    model.eval().save_pretrained(directory)
    _fit_lengths(model, directory)


# -------------------------------------------------------------------------------------- processor


def _processor_class(kind: str) -> type:
    from transformers.models.auto import processing_auto

    name = processing_auto.PROCESSOR_MAPPING_NAMES.get(kind)
    if name is None:
        raise NotTriedError("transformers names no processor of it")
    found = processing_auto.processor_class_from_name(name)
    if found is None or not hasattr(found, "get_attributes"):
        raise NotTriedError(f"transformers has no {name} here")
    return found


def _source(processor: type) -> str:
    return "".join(
        inspect.getsource(inspect.getmodule(one))
        for one in processor.__mro__
        if one.__module__.startswith("transformers.models")
    )


def _tokenizer_of(processor: type, directory: Path) -> Any:
    """A tokenizer with all special tokens that a processor's code spells or asks for by name."""
    source = _source(processor)
    ends = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>", "<pad>", "<unk>"]
    literals = list(dict.fromkeys(_LITERAL.findall(source)))
    named = {}
    for attribute in dict.fromkeys(_NAMED.findall(source)):
        if attribute in ("bos_token", "eos_token", "pad_token", "unk_token", "cls_token"):
            continue
        default = re.search(rf'{attribute}"?,? *=? *"(<[^"]+>)"', source)
        named[attribute] = default[1] if default else f"<|{attribute.removesuffix('_token')}|>"
    special = list(dict.fromkeys([*ends, *literals, *named.values()]))
    tokenizer = byte_level(special)
    tokenizer.save(str(directory / "tokenizer.json"))
    settings = {
        "bos_token": "<s>",
        "eos_token": "<|im_end|>",
        "extra_special_tokens": named,
        "model_max_length": 8192,
        "pad_token": "<pad>",
        "processor_class": processor.__name__,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "<unk>",
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return tokenizer


def _write_processor(kind: str, processor: type, config: Any, directory: Path) -> None:
    from transformers.models.auto.image_processing_auto import (
        IMAGE_PROCESSOR_MAPPING_NAMES,
        get_image_processor_class_from_name,
    )

    attributes = set(processor.get_attributes())
    if "image_processor" not in attributes:
        raise NotTriedError(f"its processor has no image processor, but {sorted(attributes)}")
    family = processor.__module__.split(".")[-2]
    named = IMAGE_PROCESSOR_MAPPING_NAMES.get(kind) or IMAGE_PROCESSOR_MAPPING_NAMES.get(family)
    if named is None:
        raise NotTriedError("transformers names no image processor of it")
    backends = [named] if isinstance(named, str) else [named.get("pil"), named.get("torchvision")]
    made: Any = None
    for name in filter(None, backends):
        found = get_image_processor_class_from_name(name)
        if found is not None and (name == backends[0] or _has_torchvision()):
            made = found
            break
    if made is None:
        raise NotTriedError("its image processor needs torchvision")
    vision = _vision(config)
    try:
        settings = {**_small_pictures(made, vision), **_OWN_PICTURES.get(kind, {})}
        made(**settings).save_pretrained(directory)
    except Exception as error:
        raise NotTriedError(f"its image processor cannot be made small: {short(error)}") from None
    settings: dict[str, Any] = {"processor_class": processor.__name__}
    known = inspect.signature(processor.__init__).parameters
    if "patch_size" in known:
        settings["patch_size"] = _number(getattr(vision, "patch_size", _PATCH))
    if "vision_feature_select_strategy" in known:
        settings["vision_feature_select_strategy"] = getattr(
            config, "vision_feature_select_strategy", "full"
        )
    if "num_additional_image_tokens" in known:
        settings["num_additional_image_tokens"] = 1
    if "spatial_merge_size" in known:
        settings["spatial_merge_size"] = getattr(config, "spatial_merge_size", 2)
    if "img_size" in known:
        settings["img_size"] = _number(getattr(vision, "image_size", _SIDE)) or _SIDE
    settings |= _OWN_PROCESSOR.get(kind, {})
    (directory / "processor_config.json").write_text(json.dumps(settings))


#: A turn as its parts in their order.
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}IMAGE-TOKEN"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _small_pictures(made: type, vision: Any) -> dict[str, Any]:
    """Settings of an image processor for pictures that the small tower takes."""
    side = _number(getattr(vision, "image_size", _SIDE)) or _SIDE
    patch = _number(getattr(vision, "patch_size", _PATCH)) or _PATCH
    settings: dict[str, Any] = {}
    size = getattr(made, "size", None)
    if isinstance(size, dict):
        if set(size) == {"shortest_edge", "longest_edge"} and size["longest_edge"] > 10_000:
            settings["size"] = {"shortest_edge": (2 * patch) ** 2, "longest_edge": (6 * patch) ** 2}
        elif set(size) == {"longest_edge"}:
            settings["size"] = {"longest_edge": 2 * side}
        else:
            settings["size"] = dict.fromkeys(size, side)
    for key in ("crop_size", "max_image_size", "tile_size"):
        given = getattr(made, key, None)
        if isinstance(given, dict):
            settings[key] = dict.fromkeys(given, side)
        elif isinstance(given, int):
            settings[key] = side
    for key in ("patch_size", "encoder_patch_size"):
        if given := getattr(made, key, None):
            settings[key] = dict.fromkeys(given, patch) if isinstance(given, dict) else patch
    for key, names in (
        ("merge_size", ("spatial_merge_size",)),
        ("temporal_patch_size", ("temporal_patch_size",)),
        ("pooling_kernel_size", ("pooling_kernel_size",)),
    ):
        value = next((getattr(vision, one) for one in names if hasattr(vision, one)), None)
        if hasattr(made, key) and value is not None:
            settings[key] = value
    if hasattr(made, "image_grid_pinpoints"):
        settings["image_grid_pinpoints"] = [[side, 2 * side], [2 * side, side], [2 * side] * 2]
    if hasattr(made, "max_soft_tokens"):
        settings["max_soft_tokens"] = 70
    if hasattr(made, "image_seq_length"):
        settings["image_seq_length"] = (side // patch) ** 2
    return settings


def _processor(directory: Path) -> Any:
    try:
        processor = stock_processor(str(directory))
    except Exception as error:
        raise NotTriedError(f"its processor cannot be made: {short(error)}") from None
    token = getattr(processor, "image_token", None)
    if not isinstance(token, str):
        return processor
    written = _TEMPLATE.replace("IMAGE-TOKEN", token)
    (directory / "chat_template.jinja").write_text(written)
    return stock_processor(str(directory))


# ------------------------------------------------------------------------------------------ model


def _config(kind: str, tokenizer: Any, has_places: bool) -> Any:
    """Args:
    kind: the model type.
    tokenizer: whose words the model knows.
    has_places: whether its positions are places in space (mrope), for which a small head has
        fewer numbers.
    """
    from transformers import CONFIG_MAPPING

    config_class = CONFIG_MAPPING[kind]
    try:
        whole = config_class()
        values = _shrunk(whole.to_dict(), tokenizer.get_vocab_size())
        text = values.get("text_config", values)
        if has_places and isinstance(text.get("rope_parameters"), dict):
            text["rope_parameters"].setdefault("mrope_section", [2, 3, 3])
        for path, value in _OWN.get(kind, {}).items():
            *outer, last = path.split(".")
            part = values
            for name in outer:
                part = part.setdefault(name, {})
            part[last] = value
        return config_class.from_dict(values)
    except Exception as error:
        raise NotTriedError(f"its configuration cannot be made small: {short(error)}") from None


def _shrunk(values: dict[str, Any], vocabulary: int) -> dict[str, Any]:
    num_layers = next(
        (values[key] for key in ("num_hidden_layers", "num_layers", "depth") if key in values), None
    )
    made: dict[str, Any] = {}
    for key, value in values.items():
        if key in _LEFT_OUT:
            continue
        if not isinstance(key, str):
            made[key] = value
            continue
        if isinstance(value, dict) and key not in ("rope_parameters", "rope_scaling"):
            made[key] = _shrunk(value, vocabulary)
        elif key in ("rope_parameters", "rope_scaling") and isinstance(value, dict):
            made[key] = _rope(value)
        elif key == "vocab_size" or key.startswith("vocab_size_"):
            made[key] = vocabulary
        elif isinstance(value, bool) or value is None or isinstance(value, (str, float)):
            made[key] = value
        elif isinstance(value, int):
            made[key] = _small(key, value)
        elif isinstance(value, (list, tuple)):
            made[key] = _short(key, list(value), num_layers)
        else:
            made[key] = value
    return made


def _small(key: str, value: int) -> int:
    if value <= 0:
        return value
    for pattern, small in _SMALL:
        if re.fullmatch(pattern, key):
            return min(value, small)
    return value


def _short(key: str, value: list[Any], num_layers: Any) -> list[Any]:
    if key in ("layer_types", "mlp_layer_types", "layers_block_type"):
        kinds = list(dict.fromkeys(value))[:2]
        return (kinds * 2)[:2]
    if key in ("image_size", "patch_size"):
        return [_small(key, one) for one in value]
    if "indexes" in key or key in ("deepstack_layers", "vision_feature_layers"):
        return [1] if value else []
    if key in ("vision_feature_layer", "vision_layers_indices"):
        return [-1] if value else []
    if key == "mrope_section":
        return [2, 3, 3]
    if isinstance(num_layers, int) and len(value) == num_layers:
        return value[:2]
    return value


def _rope(values: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            made[key] = _rope(value)
        elif key == "mrope_section":
            share = values.get("partial_rotary_factor", 1.0)
            made[key] = [2, 3, 3] if share == 1.0 else _parts(int(8 * share))
        else:
            made[key] = value
    return made


def _parts(total: int) -> list[int]:
    third = total // 3
    return [total - 2 * third, third, third]


def _place_tokens(config: Any, processor: Any) -> None:
    """Give the configuration's special tokens the ids that they have in the tokenizer."""
    tokenizer = processor.tokenizer
    free = iter(range(200, 260))
    for part in (config, *_sub_configs(config)):
        for key, value in part.to_dict().items():
            stem = re.sub(r"_(id|index)$", "", key)
            if not key.endswith(("_token_id", "_token_index")) or not isinstance(value, int):
                continue
            if (found := getattr(processor, f"{stem}_id", None)) is None:
                found = getattr(tokenizer, f"{stem}_id", None)
            if found is None:
                token = getattr(tokenizer, stem, None)
                found = tokenizer.convert_tokens_to_ids(token) if isinstance(token, str) else None
            setattr(part, key, int(found) if isinstance(found, int) else next(free))


def _model(model_class: Any, config: Any) -> Any:
    try:
        with torch.device("meta"):
            size = sum(one.numel() for one in model_class(config).parameters())
    except Exception as error:
        raise NotTriedError(f"no model of small sizes: {short(error)}") from None
    if size > _MOST_PARAMETERS:
        raise NotTriedError(f"small sizes leave {size / 1e6:.0f} million parameters")
    try:
        return model_class(config)
    except Exception as error:
        raise NotTriedError(f"no model of small sizes: {short(error)}") from None


def _fit_lengths(model: Any, directory: Path) -> None:
    """Ask a question, and where the model has another number of visual tokens than the processor
    writes, tell the processor: the number is a setting of most, and follows from the size of a
    patch in some.
    """
    path = directory / "processor_config.json"
    fault = ""
    for _ in range(3):
        processor = stock_processor(str(directory))
        try:
            ask(model, processor)
            return
        except Exception as error:
            fault = short(error)
            counts = _MISMATCH.search(str(error))
        if counts is None or not int(counts[1]) or not int(counts[2]):
            break
        told, given = int(counts[1]), int(counts[2])
        values = json.loads(path.read_text())
        known = {
            name
            for one in type(processor).__mro__
            for name in inspect.signature(one.__init__).parameters
        }
        setting = next((key for key in _LENGTHS if key in known), None)
        if setting is not None:
            values[setting] = max(1, round((getattr(processor, setting) or 1) * given / told))
        elif "patch_size" in values:
            values["patch_size"] = round(values["patch_size"] * (told / given) ** 0.5)
        path.write_text(json.dumps(values))
    raise NotTriedError(f"its stock forward fails: {fault}")


@torch.inference_mode()
def ask(model: Any, processor: Any) -> Any:
    """Logits [V] of one question about a picture."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 40, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    if processor.chat_template is None:
        made = processor(images=picture, text="question", return_tensors="pt")
    else:
        parts = [{"type": "image", "image": picture}, {"type": "text", "text": "better ?"}]
        made = processor.apply_chat_template(
            [{"role": "user", "content": parts}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
    return model(**as_inputs(made)).logits[0, -1]


# ------------------------------------------------------------------------------------------ small


def _module(model_class: type) -> Any:
    return inspect.getmodule(model_class)


def _vision(config: Any) -> Any:
    for name in ("vision_config", "vision_encoder_config", "vit_config", "encoder"):
        if getattr(config, name, None) is not None:
            return getattr(config, name)
    return config


def _sub_configs(config: Any) -> list[Any]:
    from transformers import PreTrainedConfig

    found = [one for one in vars(config).values() if isinstance(one, PreTrainedConfig)]
    return [*found, *(inner for one in found for inner in _sub_configs(one))]


def _number(value: Any) -> int:
    return int(value[0]) if isinstance(value, (list, tuple)) else int(value or 0)


def _has_torchvision() -> bool:
    from importlib.util import find_spec

    return find_spec("torchvision") is not None


def short(error: BaseException) -> str:
    """The first line of an error, short enough for a table."""
    line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return f"{type(error).__name__}: {line}"[:160]
