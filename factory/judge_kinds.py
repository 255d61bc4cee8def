"""Which models can judge, told from a checkpoint's `config.json` before any weights are loaded."""

from __future__ import annotations

import json

from factory.judging.specification import SpecificationError

#: transformers' `model_type` of each family that can judge, and the class that its weights are of.
FAMILIES = {
    "llava": "LlavaForConditionalGeneration",
    "llava_onevision": "LlavaOnevisionForConditionalGeneration",
    "qwen2_vl": "Qwen2VLForConditionalGeneration",
    "qwen2_5_vl": "Qwen2_5_VLForConditionalGeneration",
}


def check_family(path: str, config: bytes, *, brings_code: bool = False) -> None:
    """Refuse a model of a family that nothing here knows, or one whose weights are of another class
    than its family's: repositories of LLaVA's own code call themselves `llava` too, and a reward
    model with a head for numbers would lose that head and answer without it.

    Args:
        path: of the model, for messages.
        config: the contents of its `config.json`.
        brings_code: whether its own classes are trusted, which may be of any name.

    Raises:
        SpecificationError: says what to do instead.
    """
    try:
        told = json.loads(config)
        kind, classes = told["model_type"], told.get("architectures") or []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpecificationError(
            f"{path}: no transformers model: its config.json cannot be read: {error!r}"
        ) from None
    if kind not in FAMILIES:
        raise SpecificationError(
            f"{path}: a judge of model type {kind!r} cannot be read; known: "
            f"{', '.join(FAMILIES)}. Convert it to one of these formats, or serve it behind an "
            "OpenAI-compatible endpoint"
        )
    if classes and FAMILIES[kind] not in classes and not brings_code:
        raise SpecificationError(
            f"{path}: its config.json says that the weights are of {', '.join(map(str, classes))}, "
            f"and a judge of model type {kind!r} is a {FAMILIES[kind]}: what the two do not share "
            "would be dropped, or filled at random. Name a conversion to transformers' own format "
            "(such repositories often end in -hf)"
        )
