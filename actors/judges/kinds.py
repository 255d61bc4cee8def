"""Which families transformers has for pictures and text, and what each needs here: told from their
names alone, before any file of a checkpoint but its `config.json` is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from actors.processors import missing_for_clips, missing_packages, to_install
from factory.judge_kinds import check_family
from factory.judging.specification import SpecificationError

#: Families without a chat template whose published prompt their processor makes of marks and text.
MEDIA_FIRST = ("paligemma",)


def judging_classes() -> Mapping[str, str]:
    """The `model_type` of each image-text-to-text family of transformers, and its class."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    )

    return dict(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)


def check_config(path: str, config: bytes, *, brings_code: bool = False) -> None:
    """Refuse a model that cannot judge, or not here, by its `config.json`.

    Raises:
        SpecificationError: as `check_family`; or a package is missing that its processor needs.
    """
    check_family(path, config, judging_classes(), brings_code=brings_code)
    if brings_code:
        return
    kind = json.loads(config)["model_type"]
    missing = [] if _is_fast(kind) else missing_packages(kind)
    if missing:
        raise SpecificationError(
            f"{path}: the processor of a model of type {kind!r} needs {' and '.join(missing)}: "
            f"{to_install(missing)}"
        )


def writes_own_prompt(config: bytes) -> bool:
    """Whether a family without a chat template has a published prompt, by its `config.json`."""
    return json.loads(config).get("model_type") in MEDIA_FIRST


def check_clips(path: str, config: bytes) -> None:
    """Refuse clips where the family has a place for them and the half of its processor that reads
    them cannot be built here: as pictures in a row they would be another question.

    Args:
        path: of the model, for the message.
        config: its `config.json`.

    Raises:
        SpecificationError: names the package.
    """
    kind = json.loads(config).get("model_type", "")
    missing = [] if _is_fast(kind) else missing_for_clips(kind)
    if missing:
        raise SpecificationError(
            f"{path}: a model of type {kind!r} judges pictures here, and for clips needs "
            f"{' and '.join(missing)}: {to_install(missing)}"
        )


def _is_fast(kind: str) -> bool:
    """Whether a family takes the fast path, which does without the stock processor."""
    from actors.judges.eyes import FAMILIES

    return kind in FAMILIES
