"""Which kind of generator a model is, and whether it can be aligned: told from its directory's
small files, before any weights are loaded, or by the recipe for a hub name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from factory.prompt_parts import QUESTIONS, Need
from schemas.places import Place
from schemas.plugins import is_plugin
from schemas.recipe import Align, Answering, GeneratorSpec
from schemas.rows import UNDERSTANDING, Task

#: A diffusers pipeline that draws, or a transformers vision-language model that answers.
GeneratorKind = Literal["pipeline", "answering"]

#: The file by which each is known.
MARKERS: dict[GeneratorKind, str] = {"pipeline": "model_index.json", "answering": "config.json"}
#: The tasks whose candidates each makes.
TASKS: dict[GeneratorKind, tuple[Task, ...]] = {
    "pipeline": ("image_generation", "video_generation"),
    "answering": UNDERSTANDING,
}
#: The models in a pipeline that can be aligned, by diffusers' names of their classes.
ALIGNABLE = (
    "FluxTransformer2DModel",
    "SD3Transformer2DModel",
    "UNet2DConditionModel",
    "UNet3DConditionModel",
    "UNetMotionModel",
    "WanTransformer3DModel",
)


def generator_kind(path: str | Place, spec: GeneratorSpec) -> GeneratorKind:
    """The kind of the model at `path`: the recipe's own, or a later version of it.

    Raises:
        ValueError: a directory that holds neither, or another kind than the recipe describes.
    """
    directory = Path(path) if isinstance(path, str) else path
    if not directory.is_dir():
        return "pipeline" if spec.answering is None else "answering"
    for kind, marker in MARKERS.items():
        if (directory / marker).is_file():
            if kind == "pipeline" and spec.answering is not None:
                raise ValueError(
                    f"generator.answering is for models that answer questions, but {path} is a "
                    "diffusers pipeline: remove the section or change generator.path"
                )
            return kind
    raise ValueError(
        f"generator.path: {path} is a directory but no model: it has no {MARKERS['pipeline']} "
        f"(a diffusers pipeline) and no {MARKERS['answering']} (a transformers model)"
    )


def takes_of_questions(asking: Answering) -> frozenset[Need]:
    """What a question may ask an answering model for, beside a text and a medium before it: the
    turns and places of its chat template, or those of the recipe's words.
    """
    return QUESTIONS if asking.question is None else frozenset({"media"})


def check_alignable(path: str | Place, spec: GeneratorSpec, align: Align) -> None:
    """Refuse what the trainers would refuse, as far as small files tell.

    Raises:
        ValueError: names the key of the recipe and says what to do.
    """
    if is_plugin(spec.path):
        raise ValueError(
            f"generator.path: {spec.path!r} is code of your own: it draws, and has no weights here "
            "that could be aligned; run the stages up to `curate` one by one, or give a diffusers "
            "pipeline or a transformers model"
        )
    kind = generator_kind(path, spec)
    directory = Path(path) if isinstance(path, str) else path
    if kind == "pipeline":
        if align.is_length_normalised:
            raise ValueError("align.is_length_normalised is for answers: a picture has no length")
        if directory.is_dir():
            _check_parts(path, _read(directory / MARKERS["pipeline"]))
        return
    if align.timesteps == "sampler":
        raise ValueError("align.timesteps is for diffusion: a model that answers has none")
    asked = spec.answering.question if spec.answering else None
    if asked is None and directory.is_dir() and not _has_chat_template(directory):
        raise ValueError(
            f"{path} has no chat template: say in generator.answering.question how it is asked, "
            "as 'image : {media} question : {prompt} answer :'"
        )


def _check_parts(path: str | Place, index: dict[str, Any]) -> None:
    parts = {
        name: entry[1]
        for name, entry in index.items()
        if name in ("unet", "transformer", "transformer_2") and isinstance(entry, list)
    }
    if parts.get("transformer_2") is not None:
        raise ValueError(f"{path}: a pipeline of two transformers cannot be aligned")
    if not set(parts.values()) & set(ALIGNABLE):
        found = ", ".join(f"{name}: {kind}" for name, kind in parts.items()) or "no model"
        raise ValueError(
            f"{path}: this pipeline ({found}) cannot be aligned; these can: {', '.join(ALIGNABLE)}"
        )


def _has_chat_template(directory: Place) -> bool:
    files = ("chat_template.jinja", "chat_template.json")
    if any((directory / name).is_file() for name in files):
        return True
    configs = ("tokenizer_config.json", "processor_config.json")
    return any(_read(directory / name).get("chat_template") for name in configs)


def _read(path: Place) -> dict[str, Any]:
    """A JSON object; empty where there is no such file.

    Raises:
        ValueError: the file is not JSON.
    """
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
    return found if isinstance(found, dict) else {}
