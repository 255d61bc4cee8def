"""Gemma 3, Gemma 4 and PaliGemma, tiny.

Chat templates are in the shape of the published ones, without tools: of Gemma 3 as in
huggingface/transformers @0d7e95d, `models/gemma3/convert_gemma3_weights.py`; of Gemma 4 as in
ggml-org/llama.cpp @3240d8f, `models/templates/google-gemma-4-31B-it-interleaved.jinja`, less the
empty thought that the large models' has after the model's head. PaliGemma has none: its prompt is
its pictures, "<bos>", the text and a line's end (`models/paligemma/processing_paligemma.py`).
Sizes of Gemma 4's parts follow its small models ("e2b"), layers that share keys and values among
them (`models/gemma4/convert_gemma4_weights.py` @0f3f063); its tower of sound is left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tests.tiny.checkpoints import WIDTH, TinyJudge, decoder, tower, write
from tests.tiny.words import sentence_pieces

_FIRST = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]

TEMPLATE_3 = (
    "{{ bos_token }}{%- if messages[0]['role'] == 'system' -%}"
    "{%- set before = messages[0]['content'][0]['text'] + '\n\n' -%}"
    "{%- set turns = messages[1:] -%}{%- else -%}"
    "{%- set before = '' -%}{%- set turns = messages -%}{%- endif -%}"
    "{%- for message in turns -%}"
    "{%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}"
    "{{ '<start_of_turn>' + role + '\n' + (before if loop.first else '') }}"
    "{%- if message['content'] is string -%}{{ message['content'] | trim }}{%- else -%}"
    "{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' -%}{{ '<start_of_image>' }}"
    "{%- elif part['type'] == 'text' -%}{{ part['text'] | trim }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}{{ '<end_of_turn>\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}"
)
TEMPLATE_4 = (
    "{{- bos_token }}{%- set turns = messages -%}"
    "{%- if enable_thinking is defined and enable_thinking or messages[0]['role'] == 'system' -%}"
    "{{- '<|turn>system\n' -}}"
    "{%- if enable_thinking is defined and enable_thinking -%}{{- '<|think|>\n' -}}{%- endif -%}"
    "{%- if messages[0]['role'] == 'system' -%}{{- messages[0]['content'] | trim -}}"
    "{%- set turns = messages[1:] -%}{%- endif -%}{{- '<turn|>\n' -}}{%- endif %}"
    "{%- for message in turns -%}"
    "{%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}"
    "{{- '<|turn>' + role + '\n' }}"
    "{%- if message['content'] is string -%}{{- message['content'] | trim -}}{%- else -%}"
    "{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'text' -%}{{- part['text'] | trim -}}"
    "{%- elif part['type'] == 'image' -%}{{- '\n\n<|image|>\n\n' -}}"
    "{%- elif part['type'] == 'video' -%}{{- '\n\n<|video|>\n\n' -}}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}{{- '<turn|>\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|turn>model\n' -}}{%- endif -%}"
)
_HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
_NONE = {"image_mean": [0.0, 0.0, 0.0], "image_std": [1.0, 1.0, 1.0]}
_DONE = {
    "do_convert_rgb": True,
    "do_rescale": True,
    "do_resize": True,
    "rescale_factor": 0.00392156862745098,
}


def _tokenizer(special: list[str]) -> Tokenizer:
    return sentence_pieces(_FIRST, special, bos="<bos>", prefix_space=False)


def _tokenizer_config(named: dict[str, str], **more: Any) -> dict[str, Any]:
    return {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": "<bos>",
        "clean_up_tokenization_spaces": False,
        "eos_token": "<eos>",
        "extra_special_tokens": named,
        "mask_token": "<mask>",
        "model_max_length": 131072,
        "pad_token": "<pad>",
        "padding_side": "left",
        "processor_class": more.pop("processor"),
        "tokenizer_class": "GemmaTokenizer",
        "unk_token": "<unk>",
        **named,
        **more,
    }


def _generation(tokenizer: Tokenizer, end: str) -> dict[str, Any]:
    ends = [tokenizer.token_to_id("<eos>"), tokenizer.token_to_id(end)]
    return {"bos_token_id": 2, "eos_token_id": ends, "pad_token_id": 0}


def save_gemma3(directory: Path) -> None:
    """As google/gemma-3-4b-it: 4 tokens a picture, between two of its own."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    named = {
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
        "image_token": "<image_soft_token>",
    }
    tokenizer = _tokenizer(["<start_of_turn>", "<end_of_turn>", *named.values()])
    ids = {key: tokenizer.token_to_id(token) for key, token in named.items()}
    config = Gemma3Config(
        vision_config={
            "model_type": "siglip_vision_model",
            **tower(image_size=32, vision_use_head=False),
        },
        text_config=decoder(
            tokenizer,
            head_dim=16,
            query_pre_attn_scalar=16,
            sliding_window=64,
            layer_types=["sliding_attention", "full_attention"],
        ),
        mm_tokens_per_image=4,
        boi_token_index=ids["boi_token"],
        eoi_token_index=ids["eoi_token"],
        image_token_index=ids["image_token"],
    )
    write(
        directory,
        lambda: Gemma3ForConditionalGeneration(config),
        tokenizer,
        _tokenizer_config(named, processor="Gemma3Processor"),
        _generation(tokenizer, "<end_of_turn>"),
        {
            "chat_template.json": {"chat_template": TEMPLATE_3},
            "preprocessor_config.json": {
                **_DONE,
                **_HALF,
                "do_convert_rgb": None,
                "do_normalize": True,
                "do_pan_and_scan": None,
                "image_processor_type": "Gemma3ImageProcessor",
                "image_seq_length": 4,
                "pan_and_scan_max_num_crops": None,
                "pan_and_scan_min_crop_size": None,
                "pan_and_scan_min_ratio_to_activate": None,
                "processor_class": "Gemma3Processor",
                "resample": 2,
                "size": {"height": 32, "width": 32},
            },
            "processor_config.json": {
                "image_seq_length": 4,
                "processor_class": "Gemma3Processor",
            },
        },
    )


def save_gemma4(directory: Path) -> None:
    """As google/gemma-4-E2B-it: as many tokens as a picture has groups of 3 x 3 patches."""
    from transformers import Gemma4Config, Gemma4ForConditionalGeneration

    named = {
        "audio_token": "<|audio|>",
        "boa_token": "<|audio>",
        "boi_token": "<|image>",
        "eoa_token": "<audio|>",
        "eoi_token": "<image|>",
        "image_token": "<|image|>",
    }
    turns = ["<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>"]
    tokenizer = _tokenizer([*turns, *named.values(), "<|video|>"])
    ids = {f"{key}_id": tokenizer.token_to_id(token) for key, token in named.items()}
    ids["eoa_token_index"] = ids.pop("eoa_token_id")
    kinds = ["sliding_attention", "full_attention"]
    config = Gemma4Config(
        vision_config={
            "hidden_size": WIDTH,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "patch_size": 4,
            "pooling_kernel_size": 3,
            "position_embedding_size": 256,
        },
        text_config={
            **decoder(tokenizer, num_hidden_layers=4, head_dim=16, sliding_window=64),
            "global_head_dim": 32,
            "layer_types": kinds * 2,
            "num_kv_shared_layers": 2,
            "use_double_wide_mlp": True,
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": tokenizer.get_vocab_size(),
            "final_logit_softcapping": 30.0,
        },
        audio_config=None,
        video_token_id=tokenizer.token_to_id("<|video|>"),
        **ids,
    )
    picture = {
        **_DONE,
        **_NONE,
        "do_normalize": False,
        "max_soft_tokens": 70,
        "patch_size": 4,
        "pooling_kernel_size": 3,
        "resample": 3,
    }
    write(
        directory,
        lambda: Gemma4ForConditionalGeneration(config),
        tokenizer,
        _tokenizer_config(named, processor="Gemma4Processor"),
        _generation(tokenizer, "<turn|>"),
        {
            "chat_template.jinja": TEMPLATE_4,
            "processor_config.json": {
                "audio_ms_per_token": 40,
                "audio_seq_length": 750,
                "feature_extractor": {
                    "feature_extractor_type": "Gemma4AudioFeatureExtractor",
                    "sampling_rate": 16000,
                },
                "image_processor": {
                    **picture,
                    "image_processor_type": "Gemma4ImageProcessor",
                    "image_seq_length": 70,
                },
                "image_seq_length": 70,
                "processor_class": "Gemma4Processor",
                "video_processor": {
                    **picture,
                    "do_normalize": True,
                    "do_sample_frames": True,
                    "num_frames": 32,
                    "video_processor_type": "Gemma4VideoProcessor",
                },
            },
        },
    )


def save_paligemma(directory: Path) -> None:
    """As google/paligemma-3b-mix-224: pictures first, and a prompt that is seen from both sides."""
    from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration

    places = [f"<loc{place:04}>" for place in range(1024)]
    parts = [f"<seg{part:03}>" for part in range(128)]
    tokenizer = _tokenizer([*places, *parts, "<image>"])
    config = PaliGemmaConfig(
        vision_config={"model_type": "siglip_vision_model", **tower(vision_use_head=False)},
        text_config={"model_type": "gemma", **decoder(tokenizer, head_dim=16)},
        image_token_index=tokenizer.token_to_id("<image>"),
        projection_dim=WIDTH,
        hidden_size=WIDTH,
        vocab_size=tokenizer.get_vocab_size(),
    )
    write(
        directory,
        lambda: PaliGemmaForConditionalGeneration(config),
        tokenizer,
        {
            **_tokenizer_config({}, processor="PaliGemmaProcessor"),
            "additional_special_tokens": ["<image>"],
        },
        {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0},
        {
            "preprocessor_config.json": {
                **_DONE,
                **_HALF,
                "do_convert_rgb": None,
                "do_normalize": True,
                "image_processor_type": "SiglipImageProcessor",
                "image_seq_length": 9,
                "processor_class": "PaliGemmaProcessor",
                "resample": 3,
                "size": {"height": 24, "width": 24},
            },
        },
    )


JUDGES = (
    TinyJudge("Gemma 3", "gemma3", save_gemma3),
    TinyJudge("Gemma 4", "gemma4", save_gemma4, ("torchvision",), takes_clips=True),
    TinyJudge("PaliGemma", "paligemma", save_paligemma, has_template=False),
)
