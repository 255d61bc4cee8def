"""Which kind of generator a model is, and whether it can be aligned: told from its directory's
small files, before any weights are loaded, or by the recipe for a hub name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from factory.alignment.pipelines import PipelineParts, check_followed, check_parts
from factory.prompt_parts import QUESTIONS, Need
from schemas.places import Place
from schemas.plugins import is_plugin
from schemas.recipe import Align, Answering, GeneratorSpec
from schemas.rows import UNDERSTANDING, Task

#: A diffusers pipeline that draws, or a transformers vision-language model that answers.
GeneratorKind = Literal["pipeline", "answering"]

#: The file by which each is known.
MARKERS: dict[GeneratorKind, str] = {"pipeline": "model_index.json", "answering": "config.json"}
#: Pipelines that draw from a text alone and take all knobs that a recipe has for what they draw,
#: with whether that is clips.
PLAIN = {
    "AnimateDiffPipeline": True,
    "LatentConsistencyModelPipeline": False,
    "StableDiffusion3Pipeline": False,
    "StableDiffusionPipeline": False,
    "StableDiffusionXLPipeline": False,
    "WanPipeline": True,
}
#: The tasks whose candidates each makes.
TASKS: dict[GeneratorKind, tuple[Task, ...]] = {
    "pipeline": ("image_generation", "video_generation"),
    "answering": UNDERSTANDING,
}


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
        check_followed(spec.call)
        if directory.is_dir():
            try:
                check_parts(_parts(directory))
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None
        return
    if align.timesteps == "sampler":
        raise ValueError("align.timesteps is for diffusion: a model that answers has none")
    asked = spec.answering.question if spec.answering else None
    if asked is None and directory.is_dir() and not _has_chat_template(directory):
        raise ValueError(
            f"{path} has no chat template: say in generator.answering.question how it is asked, "
            "as 'image : {media} question : {prompt} answer :'"
        )


def _parts(directory: Place) -> PipelineParts:
    """What the small files of a pipeline say. Code that comes with a checkpoint is named by a file
    and a class, of which nothing is known before it is loaded.
    """
    index = _read(directory / MARKERS["pipeline"])
    named = index.get("_class_name")
    kinds = {
        name: entry[1]
        for name, entry in index.items()
        if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], str)
    }
    return PipelineParts(
        (named,) if isinstance(named, str) else (),
        {one: kinds[one] for one in ("unet", "transformer", "transformer_2") if one in kinds},
        kinds.get("vae"),
        kinds.get("scheduler"),
        index,
        _read(directory / "vae" / "config.json"),
        _read(directory / "scheduler" / "scheduler_config.json"),
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
