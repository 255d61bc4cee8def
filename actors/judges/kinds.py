"""Which families transformers has for pictures and text, and what each needs here: told from their
names alone, before any file of a checkpoint but its `config.json` is looked at.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

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
    missing = missing_packages(kind)
    if missing:
        raise SpecificationError(
            f"{path}: the processor of a model of type {kind!r} needs {' and '.join(missing)}: "
            f"pip install {' '.join(missing)} (torchvision built for the torch that is installed), "
            "or preference-factory[vision]"
        )


def writes_own_prompt(config: bytes) -> bool:
    """Whether a family without a chat template has a published prompt, by its `config.json`."""
    return json.loads(config).get("model_type") in MEDIA_FIRST


def missing_packages(kind: str) -> list[str]:
    """The packages that a family's stock processor needs and that are not installed; none for a
    family on the fast path, which does without. What only a checkpoint's files tell is not known
    here.
    """
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES
    from transformers.utils import is_torchvision_available

    from actors.judges.eyes import FAMILIES

    name = PROCESSOR_MAPPING_NAMES.get(kind)
    if kind in FAMILIES or name is None:
        return []
    processor = getattr(transformers, name)
    try:
        # A processor is built with all of its parts, and each video processor is torchvision's.
        needs_torchvision = "video_processor" in processor.get_attributes()
    except ImportError as error:  # of what stands for a class that cannot be had
        return ["torchvision"] if "torchvision" in str(error).lower() else []
    missing = ["torchvision"] if needs_torchvision and not is_torchvision_available() else []
    if getattr(sys.modules[processor.__module__], "num2words", "") is None:
        missing.append("num2words")
    return missing
