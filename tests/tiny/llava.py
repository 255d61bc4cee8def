"""LLaVA, LLaVA-NeXT, LLaVA-OneVision and InternVL3.5 (its -HF form), tiny.

Chat templates are in the shape of the published ones, as transformers' own repository has them: of
LLaVA in `tests/models/llava_next/test_processing_llava_next.py` @1ed7c56, of LLaVA-OneVision in
`convert_llava_onevision_weights_to_hf.py` @01080c6, of InternVL in
`convert_internvl_weights_to_hf.py` @015d3b2. All but InternVL's show a turn's pictures before its
text, wherever they stand in it. Of LLaVA-NeXT it is llava-v1.6-mistral's, which has no place for
the assistant's head: its `[/INST]` is one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tests.tiny.checkpoints import TinyJudge, decoder, tower, write
from tests.tiny.qwen import SPECIAL as QWEN_SPECIAL
from tests.tiny.words import byte_level, sentence_pieces

_CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
}
_DONE = dict.fromkeys(("do_convert_rgb", "do_normalize", "do_rescale", "do_resize"), True)
#: Sizes of a picture in tiles of 24, in which tiled families see it: the nearest is taken.
_PINPOINTS = [[24, 48], [48, 24], [48, 48], [72, 24], [24, 72]]


def _media_first(kind: str, end: str = "\n") -> str:
    return (
        "{% for part in message['content'] | selectattr('type', 'equalto', '" + kind + "') %}"
        "{{ '<" + kind + ">" + end.replace("\n", "\\n") + "' }}{% endfor %}"
    )


def _texts(after: str = "") -> str:
    return (
        "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}"
        "{{ part['text'] + '" + after + "' }}{% endfor %}"
    )


TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}"
    "{{ message['role'].upper() + ': ' }}{% endif %}"
    + _media_first("image")
    + _texts(" ")
    + "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
TEMPLATE_NEXT = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' }}"
    + _media_first("image")
    + _texts()
    + "{{ ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' ' + message['content'][0]['text'] + '</s> ' }}{% else %}"
    "{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
TEMPLATE_ONEVISION = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    + _media_first("image")
    + _media_first("video")
    + _texts()
    + "{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
TEMPLATE_INTERNVL = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<IMG_CONTEXT>\\n' }}"
    "{% elif part['type'] == 'video' %}{{ '<video>\\n' }}"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def _llama_tokenizer() -> tuple[Tokenizer, dict[str, Any]]:
    tokenizer = sentence_pieces(
        ["<unk>", "<s>", "</s>"], ["<image>", "<pad>"], bos="<s>", prefix_space=True
    )
    config = {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": "<s>",
        "clean_up_tokenization_spaces": False,
        "eos_token": "</s>",
        "legacy": False,
        "model_max_length": 4096,
        "pad_token": "<pad>",
        "padding_side": "left",
        "tokenizer_class": "LlamaTokenizer",
        "unk_token": "<unk>",
        "use_default_system_prompt": False,
    }
    return tokenizer, config


def _ends(tokenizer: Tokenizer, begin: str | None, end: str, pad: str) -> dict[str, Any]:
    return {
        "bos_token_id": None if begin is None else tokenizer.token_to_id(begin),
        "eos_token_id": tokenizer.token_to_id(end),
        "pad_token_id": tokenizer.token_to_id(pad),
    }


def save_llava(directory: Path) -> None:
    """As llava-hf/llava-1.5-7b-hf: 9 tokens a picture, which is cut to a square."""
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    tokenizer, tokenizer_config = _llama_tokenizer()
    ends = _ends(tokenizer, "<s>", "</s>", "<pad>")
    config = LlavaConfig(
        vision_config={"model_type": "clip_vision_model", **tower(num_hidden_layers=3)},
        text_config={"model_type": "llama", **decoder(tokenizer), **ends},
        image_token_index=tokenizer.token_to_id("<image>"),
        image_seq_length=9,
    )
    picture = {"crop_size": {"height": 24, "width": 24}, "size": {"shortest_edge": 24}}
    write(
        directory,
        lambda: LlavaForConditionalGeneration(config),
        tokenizer,
        tokenizer_config,
        ends,
        {
            "chat_template.json": {"chat_template": TEMPLATE},
            "preprocessor_config.json": {
                "do_center_crop": True,
                "image_processor_type": "CLIPImageProcessor",
                "processor_class": "LlavaProcessor",
                **picture,
                **_CLIP,
                **_DONE,
            },
            "processor_config.json": {
                "image_token": "<image>",
                "num_additional_image_tokens": 1,
                "patch_size": 8,
                "processor_class": "LlavaProcessor",
                "vision_feature_select_strategy": "default",
            },
        },
    )


def save_llava_next(directory: Path) -> None:
    """As llava-hf/llava-v1.6-mistral-7b-hf: a picture whole, and in tiles."""
    from transformers import LlavaNextConfig, LlavaNextForConditionalGeneration

    tokenizer, tokenizer_config = _llama_tokenizer()
    ends = _ends(tokenizer, "<s>", "</s>", "<pad>")
    config = LlavaNextConfig(
        vision_config={"model_type": "clip_vision_model", **tower(num_hidden_layers=3)},
        text_config={"model_type": "mistral", **decoder(tokenizer), **ends, "sliding_window": None},
        image_token_index=tokenizer.token_to_id("<image>"),
        image_grid_pinpoints=_PINPOINTS,
        image_seq_length=9,
    )
    write(
        directory,
        lambda: LlavaNextForConditionalGeneration(config),
        tokenizer,
        tokenizer_config,
        ends,
        {
            "chat_template.json": {"chat_template": TEMPLATE_NEXT},
            "preprocessor_config.json": {
                "aspect_ratio_setting": "anyres",
                "crop_size": {"height": 24, "width": 24},
                "do_center_crop": True,
                "do_pad": True,
                "image_grid_pinpoints": _PINPOINTS,
                "image_processor_type": "LlavaNextImageProcessor",
                "processor_class": "LlavaNextProcessor",
                "size": {"shortest_edge": 24},
                **_CLIP,
                **_DONE,
            },
            "processor_config.json": {
                "image_token": "<image>",
                "num_additional_image_tokens": 1,
                "patch_size": 8,
                "processor_class": "LlavaNextProcessor",
                "vision_feature_select_strategy": "default",
            },
        },
    )


def _chatml(special: list[str], template: str | None = None) -> dict[str, Any]:
    written = {} if template is None else {"chat_template": template}
    return {
        "add_prefix_space": False,
        "additional_special_tokens": special,
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 32768,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
        **written,
    }


def save_llava_onevision(directory: Path) -> None:
    """As llava-hf/llava-onevision-qwen2-7b-ov-hf: one picture in tiles, several whole."""
    from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration

    special = ["<|im_start|>", "<|im_end|>", "<image>", "<video>"]
    tokenizer = byte_level(["<|endoftext|>", *special])
    ends = _ends(tokenizer, "<|endoftext|>", "<|im_end|>", "<|endoftext|>")
    config = LlavaOnevisionConfig(
        vision_config={"model_type": "siglip_vision_model", **tower(vision_use_head=False)},
        text_config={"model_type": "qwen2", **decoder(tokenizer), **ends},
        image_token_index=tokenizer.token_to_id("<image>"),
        video_token_index=tokenizer.token_to_id("<video>"),
        image_grid_pinpoints=_PINPOINTS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
    )
    half = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    picture = {
        **_DONE,
        **_CLIP,
        **half,
        "processor_class": "LlavaOnevisionProcessor",
        "size": {"height": 24, "width": 24},
    }
    write(
        directory,
        lambda: LlavaOnevisionForConditionalGeneration(config),
        tokenizer,
        _chatml(special[:2]),
        ends,
        {
            "chat_template.json": {"chat_template": TEMPLATE_ONEVISION},
            "preprocessor_config.json": {
                **picture,
                "do_pad": True,
                "image_grid_pinpoints": _PINPOINTS,
                "image_processor_type": "LlavaOnevisionImageProcessor",
            },
            "video_preprocessor_config.json": {
                **picture,
                "video_processor_type": "LlavaOnevisionVideoProcessor",
            },
            "processor_config.json": {
                "image_token": "<image>",
                "num_image_tokens": 9,
                "processor_class": "LlavaOnevisionProcessor",
                "video_token": "<video>",
                "vision_aspect_ratio": "anyres_max_9",
                "vision_feature_select_strategy": "full",
            },
        },
    )


def save_internvl(directory: Path) -> None:
    """As OpenGVLab/InternVL3_5-8B-HF: tiles of 4 tokens each, and the whole picture."""
    from transformers import InternVLConfig, InternVLForConditionalGeneration

    own = ["<img>", "</img>", "<IMG_CONTEXT>", "<video>"]
    tokenizer = byte_level([*QWEN_SPECIAL, *own], ["<think>", "</think>"])
    ends = _ends(tokenizer, "<|endoftext|>", "<|im_end|>", "<|endoftext|>")
    config = InternVLConfig(
        vision_config=tower(image_size=[32, 32], patch_size=[8, 8], attention_bias=True),
        text_config={"model_type": "qwen3", **decoder(tokenizer), **ends, "head_dim": 16},
        image_token_id=tokenizer.token_to_id("<IMG_CONTEXT>"),
        image_seq_length=4,
        downsample_ratio=0.5,
    )
    named = {
        "context_image_token": "<IMG_CONTEXT>",
        "end_image_token": "</img>",
        "start_image_token": "<img>",
        "video_token": "<video>",
    }
    picture = {
        **_DONE,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "processor_class": "InternVLProcessor",
        "resample": 3,
        "size": {"height": 32, "width": 32},
    }
    write(
        directory,
        lambda: InternVLForConditionalGeneration(config),
        tokenizer,
        {**_chatml([*QWEN_SPECIAL[1:], *own]), "extra_special_tokens": named, **named},
        ends,
        {
            "chat_template.jinja": TEMPLATE_INTERNVL,
            "preprocessor_config.json": {
                **picture,
                "crop_to_patches": False,
                "image_processor_type": "GotOcr2ImageProcessorFast",
                "max_patches": 4,
                "min_patches": 1,
            },
            "video_preprocessor_config.json": {
                **picture,
                "video_processor_type": "InternVLVideoProcessor",
            },
            "processor_config.json": {
                "image_seq_length": 4,
                "processor_class": "InternVLProcessor",
            },
        },
    )


JUDGES = (
    TinyJudge("InternVL3.5", "internvl", save_internvl, ("torchvision",), takes_clips=True),
    TinyJudge(
        *("LLaVA-OneVision", "llava_onevision", save_llava_onevision, ("torchvision",)),
        takes_clips=True,
        shows_first=True,
    ),
    TinyJudge("LLaVA-NeXT", "llava_next", save_llava_next, shows_first=True),
    TinyJudge("LLaVA", "llava", save_llava, shows_first=True),
)
