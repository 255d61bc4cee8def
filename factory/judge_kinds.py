"""Which models can judge, told from a checkpoint's `config.json` before any weights are loaded.

Every type of transformers' image-text-to-text models may judge whose class is the one that the
configuration names; the library is asked which these are (`actors.judges.kinds`).
Those that are known not to judge are refused by name, with the reason. What only a checkpoint's
files tell (no chat template, a processor that cannot be built) is refused when it is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from factory.judging.specification import SpecificationError

#: Names that a message lists.
_FEW = 3

_READS_FIRST = (
    "it reads a picture and a text first and writes with another network, so an answer's words do "
    "not follow the prompt's"
)
#: Types of the library's mapping that do not judge, and why not (their code in transformers 5.23).
REFUSED = {
    "blip": "it writes captions, and a prompt is the caption's beginning",
    "diffusion_gemma": "it fills in blocks of text at once, so no word has a probability after "
    "those before it",
    "evolla": "it reads proteins, not pictures",
    "florence2": _READS_FIRST,
    "git": "it writes captions, and has no prompt",
    "pi0": "it gives a robot's movements, not text",
    "pix2struct": _READS_FIRST,
    "pp_formulanet": _READS_FIRST,
    "shieldgemma2": "it classifies pictures by policies, each of which its own processor asks for",
    "t5gemma2": _READS_FIRST,
    "udop": _READS_FIRST,
    "vision-encoder-decoder": _READS_FIRST,
}


def check_family(
    path: str, config: bytes, classes: Mapping[str, str], *, brings_code: bool = False
) -> None:
    """Refuse a model of a family that cannot judge, or one whose weights are of another class than
    its family's: repositories of LLaVA's own code call themselves `llava` too, and a reward model
    with a head for numbers would lose that head and answer without it.

    Args:
        path: of the model, for messages.
        config: the contents of its `config.json`.
        classes: transformers' `model_type` of each image-text-to-text family, and the class that
            its weights are of.
        brings_code: whether its own classes are trusted, which may be of any name.

    Raises:
        SpecificationError: says what to do instead.
    """
    try:
        told = json.loads(config)
        kind, named = told["model_type"], told.get("architectures") or []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpecificationError(
            f"{path}: no transformers model: its config.json cannot be read: {error!r}"
        ) from None
    if kind in REFUSED:
        raise SpecificationError(
            f"{path}: a model of type {kind!r} is no judge: {REFUSED[kind]}. Name another model"
        )
    if kind not in classes and not brings_code:
        few = ", ".join([*classes][:_FEW])
        raise SpecificationError(
            f"{path}: a judge of model type {kind!r} cannot be read: it is none of the "
            f"{len(classes)} image-text-to-text types of the transformers that is installed "
            f"({few} …). Convert it to one of these formats, or serve it behind an "
            "OpenAI-compatible endpoint"
        )
    wanted = classes.get(kind)
    if named and wanted not in named and not brings_code:
        raise SpecificationError(
            f"{path}: its config.json says that the weights are of {', '.join(map(str, named))}, "
            f"and a judge of model type {kind!r} is a {wanted}: what the two do not share "
            "would be dropped, or filled at random. Name a conversion to transformers' own format "
            "(such repositories often end in -hf)"
        )
