"""How many tokens stand for a picture, said without looking at it, against what a look gives."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    SiglipVisionConfig,
)

from actors.judges.eyes import LlavaEyes
from actors.judges.looks import Look
from actors.sandbox.base_vlm import build_model, build_processor

TOWER = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}


def llava(tower: Any, strategy: str) -> LlavaForConditionalGeneration:
    return LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=tower,
            text_config=LlamaConfig(
                vocab_size=8,
                hidden_size=16,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
            ),
            image_token_index=7,
            vision_feature_layer=-1,
            vision_feature_select_strategy=strategy,
        )
    )


@pytest.mark.parametrize(
    ("tower", "strategy", "expected"),
    [
        (CLIPVisionConfig(**TOWER), "default", 16),  # its class token is dropped
        (CLIPVisionConfig(**TOWER), "full", 17),
        (SiglipVisionConfig(**TOWER, vision_use_head=False), "full", 16),  # it has none
    ],
)
def test_tokens_are_those_of_a_look(tower: Any, strategy: str, expected: int) -> None:
    processor = SimpleNamespace(image_processor=build_processor().image_processor, image_token_id=7)
    check(LlavaEyes(llava(tower, strategy), processor), expected)


def test_tokens_of_the_sandbox_base_are_those_of_a_look() -> None:
    processor = build_processor()
    check(LlavaEyes(build_model(processor.tokenizer), processor), 16)


def check(eyes: LlavaEyes, expected: int) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    look = Look(frames, 0.1)
    tokens = eyes.tokens((look, True))
    assert len(tokens) == 3 * expected
    (seen,) = eyes.encode([look], True)
    assert seen.ids == tokens
    assert len(seen.features) == len(tokens)
