"""`llava_qwen` weights (LLaVA-OneVision in its authors' own layout, as UnifiedReward's LLaVA line)
into transformers' LlavaOnevisionForConditionalGeneration.

Names and towers are those of LLaVA-VL/LLaVA-NeXT at df179663 (llava/model/llava_arch.py,
multimodal_encoder/siglip_encoder.py, conversation.py `qwen_1_5`); the mapping was held against
transformers' own script (huggingface/transformers at 01080c62,
models/llava_onevision/convert_llava_onevision_weights_to_hf.py). Unlike that script, this one makes
no new rows of the embedding: the two placeholders take rows that Qwen2 has and uses for nothing, so
no tensor is made up, and precision stays as it is.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actors.converters.conversion import BESIDE, Conversion, Made, as_it_is, read_json
from actors.converters.tensors import ConversionError, Tensors, open_tensors

_PREFIXES = {
    "model.vision_tower.vision_tower.vision_model.": "model.vision_tower.",
    "model.mm_projector.0.": "model.multi_modal_projector.linear_1.",
    "model.mm_projector.2.": "model.multi_modal_projector.linear_2.",
    "model.image_newline": "model.image_newline",
    "model.": "model.language_model.",
    "lm_head.": "lm_head.",
}
_TOWER, _LAYERS = "model.vision_tower.", "model.vision_tower.encoder.layers."
#: Of google/siglip-so400m-patch14-384, whose heads the weights do not tell.
_SIGLIP_WIDTH, _SIGLIP_HEADS = 1152, 16
_PLACEHOLDERS = ("<image>", "<video>")
#: The turn that LLaVA's `qwen_1_5` conversation begins with, and media before the words.
_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>\\n' }}"
    "{% elif part['type'] == 'video' %}{{ '<video>\\n' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def llava_qwen(source: Path, base: Path) -> Conversion:
    """A `llava_qwen` checkpoint.

    Args:
        source: its directory: configuration, tokenizer and weights.
        base: directory of its SigLIP, of which only the configuration is read, where it is another
            than google/siglip-so400m-patch14-384; else the source itself.

    Raises:
        ConversionError: no such checkpoint.
    """
    told = read_json(source / "config.json")
    if told.get("model_type") != "llava_qwen":
        raise ConversionError(f"{source}: is of model type {told.get('model_type')!r}")
    _check_design(source, told)
    held = open_tensors(source)
    dropped = {
        name: "angles of rotary positions, which the model makes itself"
        for name in held.shapes
        if name.endswith(".inv_freq")
    }
    made: dict[str, Made] = {}
    for name in held.shapes:
        if name not in dropped:
            made[_renamed(name)] = as_it_is(held, name)
    is_tied = bool(told.get("tie_word_embeddings"))
    if is_tied and "lm_head.weight" in made:
        dropped["lm_head.weight"] = "tied to the embedding of words"
        del made["lm_head.weight"]
    vision = _vision(made, base, source)
    config = {
        "model_type": "llava_onevision",
        "architectures": ["LlavaOnevisionForConditionalGeneration"],
        "text_config": _text(told),
        "vision_config": vision,
        "tie_word_embeddings": is_tied,
        "image_grid_pinpoints": _pinpoints(source, told, vision["image_size"]),
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full",
        "vision_aspect_ratio": told.get("image_aspect_ratio", "anyres_max_9"),
        **_placeholders(source, held),
    }
    return Conversion(
        held.shapes,
        made,
        dropped,
        config,
        files=_files(config),
        copied={name: source / name for name in BESIDE if (source / name).is_file()},
        finish=lambda directory: _add_placeholders(source, directory),
    )


def _check_design(source: Path, told: Mapping[str, Any]) -> None:
    """Refuse what transformers' class would compute in another way."""
    wanted: dict[str, tuple[Any, ...]] = {
        "mm_projector_type": ("mlp2x_gelu",),
        "mm_vision_select_layer": (-2,),  # of a tower whose last layer was taken away
        "mm_resampler_type": (None,),
        "mm_patch_merge_type": ("spatial_unpad",),
        "mm_use_im_start_end": (None, False),
        "add_faster_video": (None, False),
    }
    for key, allowed in wanted.items():
        if told.get(key) not in allowed:
            raise ConversionError(
                f"{source}: {key} is {told.get(key)!r}, and LLaVA-OneVision has "
                f"{' or '.join(repr(one) for one in allowed)}"
            )


def _renamed(name: str) -> str:
    for prefix, target in _PREFIXES.items():
        if name.startswith(prefix):
            return target + name.removeprefix(prefix)
    return name


def _text(told: Mapping[str, Any]) -> dict[str, Any]:
    """Qwen2's configuration, which stands among LLaVA's own keys."""
    from transformers import Qwen2Config

    own = Qwen2Config().to_dict()
    given = {key: value for key, value in told.items() if key in own or key == "rope_theta"}
    given |= {"model_type": "qwen2", "architectures": None}
    made: dict[str, Any] = Qwen2Config.from_dict(given).to_dict()
    return made


def _vision(made: Mapping[str, Made], base: Path, source: Path) -> dict[str, Any]:
    """SigLIP's configuration, of the shapes of the weights."""
    try:
        width, _, patch, _ = made[f"{_TOWER}embeddings.patch_embedding.weight"].shape
        places = made[f"{_TOWER}embeddings.position_embedding.weight"].shape[0]
        inner = made[f"{_LAYERS}0.mlp.fc1.weight"].shape[0]
    except KeyError as error:
        raise ConversionError(
            f"{source}: lacks {error}: its vision tower was not saved with it, so it is not known "
            "which one it was trained with"
        ) from None
    heads = _SIGLIP_HEADS
    if base != source:
        siglip = read_json(base / "config.json")
        heads = int(siglip.get("vision_config", siglip)["num_attention_heads"])
    elif width != _SIGLIP_WIDTH:
        raise ConversionError(
            f"{source}: its vision tower of width {width} is not that of siglip-so400m-patch14-384 "
            f"({_SIGLIP_WIDTH}), and its weights do not tell the number of heads: name a directory "
            "with its configuration (--base)"
        )
    numbers = {name.removeprefix(_LAYERS).partition(".")[0] for name in made if _LAYERS in name}
    return {
        "model_type": "siglip_vision_model",
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": len(numbers),
        "num_attention_heads": heads,
        "image_size": math.isqrt(places) * patch,
        "patch_size": patch,
        "vision_use_head": False,
    }


def _pinpoints(source: Path, told: Mapping[str, Any], side: int) -> list[list[int]]:
    """Sizes of the grids of tiles: as a list, or as "(1x1),...,(6x6)" in tiles."""
    given = told.get("image_grid_pinpoints")
    if isinstance(given, list):
        return [[int(one) for one in pair] for pair in given]
    found = re.fullmatch(r"\((\d+)x(\d+)\),\.\.\.,\((\d+)x(\d+)\)", str(given).replace(" ", ""))
    if found is None:
        raise ConversionError(f"{source}: image_grid_pinpoints is {given!r}")
    first, second, last, other = map(int, found.groups())
    rows, columns = range(first, last + 1), range(second, other + 1)
    return [[row * side, column * side] for row in rows for column in columns]


def _placeholders(source: Path, held: Tensors) -> dict[str, int]:
    """The rows of the embedding that pictures and clips stand for."""
    tokenizer = _with_placeholders(source)
    rows = held.shapes["model.embed_tokens.weight"][0]
    image, video = (int(tokenizer.convert_tokens_to_ids(one)) for one in _PLACEHOLDERS)
    if max(image, video) >= rows:
        raise ConversionError(
            f"{source}: its embedding has {rows} rows and its tokenizer {len(tokenizer)} words: no "
            "row is left for pictures and clips to stand for"
        )
    return {"image_token_index": image, "video_token_index": video}


def _with_placeholders(source: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (ImportError, ValueError, OSError) as error:
        raise ConversionError(f"{source}: no tokenizer: {error}") from None
    tokenizer.add_tokens(list(_PLACEHOLDERS), special_tokens=True)
    return tokenizer


def _add_placeholders(source: Path, directory: Path) -> None:
    tokenizer = _with_placeholders(source)
    tokenizer.chat_template = _TEMPLATE
    tokenizer.save_pretrained(directory)


def _files(config: Mapping[str, Any]) -> dict[str, str]:
    """Processor files in the form of the converted checkpoints that are published."""
    side, patch = config["vision_config"]["image_size"], config["vision_config"]["patch_size"]
    pixels = {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"height": side, "width": side},
    }
    image = {
        **pixels,
        "image_processor_type": "LlavaOnevisionImageProcessor",
        "image_grid_pinpoints": config["image_grid_pinpoints"],
        "do_pad": True,
    }
    video = {**pixels, "video_processor_type": "LlavaOnevisionVideoProcessor"}
    whole = {
        "processor_class": "LlavaOnevisionProcessor",
        "num_image_tokens": (side // patch) ** 2,
        "vision_feature_select_strategy": "full",
        "vision_aspect_ratio": config["vision_aspect_ratio"],
        "image_token": _PLACEHOLDERS[0],
        "video_token": _PLACEHOLDERS[1],
    }
    told = {
        "preprocessor_config.json": image,
        "video_preprocessor_config.json": video,
        "processor_config.json": whole,
    }
    return {name: json.dumps(one, indent=2) + "\n" for name, one in told.items()}
