"""Small tokenizers and text encoders in the classes of the published ones, with random weights.

Every token is a letter or a byte, so that no vocabulary is needed and long prompts are long.
"""

from __future__ import annotations

import string
from typing import Any

import transformers
from tokenizers import pre_tokenizers, processors
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Qwen2Tokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
    UMT5Config,
    UMT5EncoderModel,
)

WIDTH = 16  # of every text encoder
_LETTERS = string.ascii_lowercase + string.digits + string.punctuation
_BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
_TURNS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_SEEN = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def clip_tokenizer() -> Any:
    """A letter is a token, in another form at the end of a word."""
    start, end = "<|startoftext|>", "<|endoftext|>"
    pieces = [*_BYTES, *(f"{one}</w>" for one in _BYTES), start, end]
    vocab = {piece: at for at, piece in enumerate(pieces)}
    return CLIPTokenizer(vocab=vocab, merges=[], model_max_length=77)


def clip(*, is_projected: bool = False) -> tuple[Any, Any]:
    """CLIP's text encoder and its tokenizer, which reads 77 tokens."""
    tokenizer = clip_tokenizer()
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    kind = CLIPTextModelWithProjection if is_projected else CLIPTextModel
    return kind(config).eval(), tokenizer


def t5(*, is_multilingual: bool = False, width: int = WIDTH) -> tuple[Any, Any]:
    """T5's or UMT5's encoder and a tokenizer without a length of its own."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    tokenizer = T5Tokenizer(vocab=[*pieces, *((one, -3.0) for one in _LETTERS)], extra_ids=0)
    settings = {
        "vocab_size": len(tokenizer),
        "d_model": width,
        "d_kv": 8,
        "d_ff": 16,
        "num_layers": 1,
        "num_heads": 2,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    if is_multilingual:
        return UMT5EncoderModel(UMT5Config(**settings)).eval(), tokenizer
    return T5EncoderModel(T5Config(**settings)).eval(), tokenizer


def byte_tokenizer() -> Any:
    """Qwen's: a byte is a token, and turns are marked."""
    vocab = {piece: at for at, piece in enumerate((*_BYTES, *_TURNS, *_SEEN))}
    tokenizer = Qwen2Tokenizer(vocab=vocab, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": [*_TURNS[1:], *_SEEN]})
    tokenizer.chat_template = _TEMPLATE
    return tokenizer


def decoder(kind: str, *, begins: bool = False, **more: Any) -> tuple[Any, Any]:
    """A language model that stands as a text encoder, of transformers' class of this name.

    Args:
        kind: the class.
        begins: whether its tokenizer begins each text with a token, as GLM's does.
        more: of the model's configuration.
    """
    tokenizer = byte_tokenizer()
    if begins:
        start = (_TURNS[0], tokenizer.convert_tokens_to_ids(_TURNS[0]))
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{start[0]} $A", special_tokens=[start]
        )
    model = getattr(transformers, kind)
    config = model.config_class(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=2048,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        **{"num_hidden_layers": 2, **more},
    )
    return model(config).eval(), tokenizer


def qwen_vl() -> tuple[Any, Any]:
    """Qwen2.5-VL, of which a pipeline reads the hidden states."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    tokenizer = byte_tokenizer()
    ids = dict(zip(_SEEN, tokenizer.convert_tokens_to_ids(list(_SEEN)), strict=True))
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": WIDTH,
            "intermediate_size": WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]},
        },
        vision_config={
            "depth": 1,
            "hidden_size": WIDTH,
            "intermediate_size": WIDTH,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
            "fullatt_block_indexes": [0],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    return Qwen2_5_VLForConditionalGeneration(config).eval(), tokenizer
