"""Which families transformers has for pictures and text: what `factory.judge_kinds` is told."""

from __future__ import annotations

from collections.abc import Mapping

from factory.judge_kinds import check_family


def judging_classes() -> Mapping[str, str]:
    """The `model_type` of each image-text-to-text family of transformers, and its class."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    )

    return dict(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)


def check_config(path: str, config: bytes, *, brings_code: bool = False) -> None:
    """Refuse a model that cannot judge, by its `config.json`; as `check_family`."""
    check_family(path, config, judging_classes(), brings_code=brings_code)
