"""Qwen2-VL, Qwen2.5-VL, Qwen3-VL and Qwen3.5, tiny.

Chat templates are in the shape of the published ones: of Qwen2-VL and Qwen2.5-VL as in
InternLM/lagent's and xprobe's copies (a system turn of its own where the conversation has none), of
Qwen3.5 as in cameronr/ik_llama.cpp @2b705c8, `models/templates/Qwen3.5-4B.jinja` (content trimmed,
an open <think> after the assistant's head), without tools. Of Qwen3-VL no copy was found that is
unedited: its shape is taken to be Qwen3.5's without <think>, the content untrimmed. Keys of
preprocessor_config.json are those of remodlai/qwen-2.5-vl-7b-instruct-lexiq @a22b9b2 and
wenchunchia/MultiModal-Search-Qwen3-VL-Embedding- @d7c3371; of config.json those of the latter and,
for Qwen3.5, of lawrence3699/Jev-Style-Qwen3.5-2B-Decision-MLX-bf16 @1468e07.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tests.tiny.checkpoints import WIDTH, Files, TinyJudge, decoder, write
from tests.tiny.words import byte_level

SPECIAL = [
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>"),
    *("<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>"),
    *("<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
]
_PLAIN = ["<tool_call>", "</tool_call>", "<think>", "</think>"]

_PART = (
    "{% if part.type == 'image' or 'image' in part %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part.type == 'video' or 'video' in part %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part.text }}{% endif %}"
)
_CONTENT = (
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content %}" + _PART + "{% endfor %}{% endif %}"
)
_ASSISTANT = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message.role != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message.role }}\n" + _CONTENT + "<|im_end|>\n{% endfor %}" + _ASSISTANT
)
TEMPLATE_3 = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    + _CONTENT
    + "<|im_end|>\n{% endfor %}"
    + _ASSISTANT
)
TEMPLATE_3_5 = (
    "{%- macro content_of(message) %}"
    + _CONTENT
    + "{% endmacro %}{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' }}"
    "{%- if message.role == 'assistant' %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{{- content_of(message) | trim + '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}"
    "{{- '<think>\n\n</think>\n\n' }}{%- else %}{{- '<think>\n' }}{%- endif %}{%- endif %}"
)

_CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
_HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
_PATCHES = {"patch_size": 8, "temporal_patch_size": 2, "merge_size": 2}
#: Pixels of the smallest and the largest picture.
_FEWEST, _MOST = 16 * 16, 48 * 48


def _tokens(tokenizer: Tokenizer) -> dict[str, int]:
    named = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    return {key: tokenizer.token_to_id(token) for key, token in named.items()}


def _tokenizer_config(template: str | None) -> dict[str, Any]:
    written = {} if template is None else {"chat_template": template}
    return {
        "add_prefix_space": False,
        "additional_special_tokens": SPECIAL[1:],
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 131072,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
        **written,
    }


def _generation(tokenizer: Tokenizer) -> dict[str, Any]:
    end, text_end = map(tokenizer.token_to_id, ("<|im_end|>", "<|endoftext|>"))
    return {"bos_token_id": text_end, "eos_token_id": [end, text_end], "pad_token_id": text_end}


def _text(tokenizer: Tokenizer, **more: Any) -> dict[str, Any]:
    ends = {
        "bos_token_id": tokenizer.token_to_id("<|endoftext|>"),
        "eos_token_id": tokenizer.token_to_id("<|im_end|>"),
    }
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    return decoder(tokenizer, rope_parameters=rope, **ends, **more)


def _processor(name: str, pixels: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "image_processor_type": f"{name}ImageProcessor",
        "processor_class": f"{more.pop('processor', name)}Processor",
        **pixels,
        **_PATCHES,
        **more,
    }


def save_qwen2_vl(directory: Path) -> None:
    """As Qwen/Qwen2-VL-7B-Instruct."""
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    tokenizer = byte_level(SPECIAL)
    vision = {"depth": 2, "embed_dim": WIDTH, "hidden_size": WIDTH, "num_heads": 2, "mlp_ratio": 2}
    config = Qwen2VLConfig(
        vision_config={**vision, "patch_size": 8},
        text_config=_text(tokenizer),
        **_tokens(tokenizer),
    )
    limits = {"min_pixels": _FEWEST, "max_pixels": _MOST}
    write(
        directory,
        lambda: Qwen2VLForConditionalGeneration(config),
        tokenizer,
        _tokenizer_config(None),
        _generation(tokenizer),
        {
            "chat_template.json": {"chat_template": TEMPLATE},
            "preprocessor_config.json": _processor("Qwen2VL", _CLIP, **limits),
        },
    )


def save_qwen2_5_vl(directory: Path) -> None:
    """As Qwen/Qwen2.5-VL-7B-Instruct: the template in both files."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    tokenizer = byte_level(SPECIAL, _PLAIN[:2])
    config = Qwen2_5_VLConfig(
        vision_config={
            "depth": 2,
            "hidden_size": WIDTH,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
            "patch_size": 8,
            "window_size": 32,
            "fullatt_block_indexes": [1],
            "tokens_per_second": 2,
        },
        text_config=_text(tokenizer),
        **_tokens(tokenizer),
    )
    limits = {"min_pixels": _FEWEST, "max_pixels": _MOST}
    write(
        directory,
        lambda: Qwen2_5_VLForConditionalGeneration(config),
        tokenizer,
        _tokenizer_config(TEMPLATE),
        _generation(tokenizer),
        {
            "chat_template.json": {"chat_template": TEMPLATE},
            "preprocessor_config.json": _processor(
                "Qwen2VL", _CLIP, processor="Qwen2_5_VL", **limits
            ),
        },
    )


def save_qwen3_vl(directory: Path) -> None:
    """As Qwen/Qwen3-VL-8B-Instruct."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    tokenizer = byte_level(SPECIAL, _PLAIN)
    config = Qwen3VLConfig(
        vision_config={
            "depth": 2,
            "hidden_size": WIDTH,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
            "patch_size": 8,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
        },
        text_config=_text(tokenizer, head_dim=16),
        **_tokens(tokenizer),
    )
    template = {"chat_template.json": {"chat_template": TEMPLATE_3}}
    _write_3(directory, Qwen3VLForConditionalGeneration, config, tokenizer, template)


def save_qwen3_5(directory: Path) -> None:
    """As Qwen/Qwen3.5-9B: most layers are linear attention."""
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

    tokenizer = byte_level(SPECIAL, _PLAIN)
    text = _text(
        tokenizer,
        head_dim=32,
        layer_types=["linear_attention", "full_attention"],
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        linear_num_key_heads=2,
        linear_num_value_heads=4,
    )
    text["rope_parameters"] |= {
        "mrope_section": [2, 1, 1],
        "mrope_interleaved": True,
        "partial_rotary_factor": 0.25,
    }
    config = Qwen3_5Config(
        vision_config={
            "depth": 2,
            "hidden_size": WIDTH,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
            "patch_size": 8,
            "num_position_embeddings": 16,
        },
        text_config=text,
        **_tokens(tokenizer),
    )
    template = {"chat_template.jinja": TEMPLATE_3_5}
    _write_3(directory, Qwen3_5ForConditionalGeneration, config, tokenizer, template)


def _write_3(
    directory: Path, model: Any, config: Any, tokenizer: Tokenizer, template: Files
) -> None:
    """Model, tokenizer and the two preprocessors' files of Qwen3-VL and Qwen3.5."""
    size = {"shortest_edge": _FEWEST, "longest_edge": _MOST}
    of_clips = {"shortest_edge": 2 * _FEWEST, "longest_edge": 4 * _MOST}
    clips = _processor("Qwen3VL", _HALF, size=of_clips)
    del clips["image_processor_type"]
    write(
        directory,
        lambda: model(config),
        tokenizer,
        _tokenizer_config(None),
        _generation(tokenizer),
        {
            **template,
            "preprocessor_config.json": {
                **_processor("Qwen2VL", _HALF, processor="Qwen3VL", size=size),
                "image_processor_type": "Qwen2VLImageProcessorFast",
            },
            "video_preprocessor_config.json": {
                **clips,
                "video_processor_type": "Qwen3VLVideoProcessor",
            },
        },
    )


JUDGES = (
    TinyJudge("Qwen2-VL", "qwen2_vl", save_qwen2_vl, ("torchvision",), takes_clips=True),
    TinyJudge("Qwen2.5-VL", "qwen2_5_vl", save_qwen2_5_vl, ("torchvision",), takes_clips=True),
    TinyJudge("Qwen3-VL", "qwen3_vl", save_qwen3_vl, ("torchvision",), takes_clips=True),
    TinyJudge("Qwen3.5", "qwen3_5", save_qwen3_5, ("torchvision",), takes_clips=True),
)
