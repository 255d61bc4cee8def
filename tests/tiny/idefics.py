"""Idefics3 and SmolVLM2, tiny.

Their chat template is one and the same but for the token that it begins with, as in
`DEFAULT_CHAT_TEMPLATE` of transformers' `models/smolvlm/processing_smolvlm.py`. What Idefics3's
renders to is in its repository @000c8ea, `tests/models/idefics3/test_processing_idefics3.py`.
Keys of the processors' files are those that transformers 5.23 reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tests.tiny.checkpoints import TinyJudge, decoder, tower, write
from tests.tiny.words import byte_level

#: Of a picture in up to 6 x 6 tiles.
_TILES = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
_OWN = ["<fake_token_around_image>", "<image>", "<end_of_utterance>"]


def template(begin: str) -> str:
    """The chat template; `begin` stands once, before all turns."""
    return (
        begin + "{% for message in messages %}{{ message['role'] | capitalize }}"
        "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
        "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
        "{% elif part['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}"
        "<end_of_utterance>\n{% endfor %}"
        "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
    )


def _picture(name: str) -> dict[str, Any]:
    return {
        "do_convert_rgb": True,
        "do_image_splitting": True,
        "do_normalize": True,
        "do_pad": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": f"{name}ImageProcessor",
        "image_std": [0.5, 0.5, 0.5],
        "max_image_size": {"longest_edge": 32},
        "processor_class": f"{name}Processor",
        "resample": 1,
        "rescale_factor": 0.00392156862745098,
        "size": {"longest_edge": 64},
    }


def _ends(tokenizer: Tokenizer, begin: str, end: str, pad: str) -> dict[str, Any]:
    return {
        "bos_token_id": tokenizer.token_to_id(begin),
        "eos_token_id": tokenizer.token_to_id(end),
        "pad_token_id": tokenizer.token_to_id(pad),
    }


def _tokenizer_config(begin: str, end: str, pad: str, **more: Any) -> dict[str, Any]:
    return {
        "additional_special_tokens": _OWN,
        "bos_token": begin,
        "clean_up_tokenization_spaces": False,
        "eos_token": end,
        "model_max_length": 8192,
        "pad_token": pad,
        **more,
    }


def save_idefics3(directory: Path) -> None:
    """As HuggingFaceM4/Idefics3-8B-Llama3: 4 tokens a tile."""
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration

    begin, end = "<|begin_of_text|>", "<|end_of_text|>"
    tokenizer = byte_level([begin, end, *_OWN], ["<global-img>", *_TILES], bos=begin)
    ends = _ends(tokenizer, begin, "<end_of_utterance>", end)
    config = Idefics3Config(
        vision_config=tower(image_size=32),
        text_config={"model_type": "llama", **decoder(tokenizer), **ends},
        image_token_id=tokenizer.token_to_id("<image>"),
        scale_factor=2,
        **{"pad_token_id": ends["pad_token_id"]},
    )
    write(
        directory,
        lambda: Idefics3ForConditionalGeneration(config),
        tokenizer,
        _tokenizer_config(begin, end, end, tokenizer_class="PreTrainedTokenizerFast"),
        {**ends, "eos_token_id": [ends["eos_token_id"], tokenizer.token_to_id(end)]},
        {
            "chat_template.json": {"chat_template": template(begin)},
            "preprocessor_config.json": _picture("Idefics3"),
            "processor_config.json": {
                "image_seq_len": 4,
                "processor_class": "Idefics3Processor",
            },
        },
    )


def save_smolvlm(directory: Path) -> None:
    """As HuggingFaceTB/SmolVLM2-2.2B-Instruct: 4 tokens a tile, one tile a frame."""
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration

    begin, end = "<|im_start|>", "<end_of_utterance>"
    special = ["<|endoftext|>", begin, "<|im_end|>", *_OWN, "<global-img>", *_TILES]
    tokenizer = byte_level(special)
    ends = _ends(tokenizer, begin, end, "<|im_end|>")
    config = SmolVLMConfig(
        vision_config=tower(image_size=32),
        text_config={"model_type": "llama", **decoder(tokenizer), **ends},
        image_token_id=tokenizer.token_to_id("<image>"),
        scale_factor=2,
        **{"pad_token_id": ends["pad_token_id"]},
    )
    named = {
        "end_of_utterance_token": "<end_of_utterance>",
        "fake_image_token": "<fake_token_around_image>",
        "global_image_token": "<global-img>",
        "image_token": "<image>",
    }
    sampling = {"fps": 1, "max_frames": 64, "video_size": {"longest_edge": 32}}
    write(
        directory,
        lambda: SmolVLMForConditionalGeneration(config),
        tokenizer,
        _tokenizer_config(
            *(begin, end, "<|im_end|>"),
            add_prefix_space=False,
            extra_special_tokens=named,
            processor_class="SmolVLMProcessor",
            tokenizer_class="GPT2Tokenizer",
            unk_token="<|endoftext|>",
            **named,
        ),
        ends,
        {
            "chat_template.json": {"chat_template": template(begin)},
            "preprocessor_config.json": {**_picture("SmolVLM"), "video_sampling": sampling},
            "processor_config.json": {
                "image_seq_len": 4,
                "processor_class": "SmolVLMProcessor",
            },
        },
    )


JUDGES = (
    TinyJudge(
        *("SmolVLM2", "smolvlm", save_smolvlm, ("torchvision", "num2words")), takes_clips=True
    ),
    TinyJudge("Idefics3", "idefics3", save_idefics3),
)
