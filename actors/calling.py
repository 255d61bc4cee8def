"""What a pipeline's call takes, told from its class before any weights are loaded, and whether a
recipe calls it so.

    class, section of the recipe -> refused by name, or what is worth telling

Pipelines differ in what they call things and in what they cannot do without. An argument that one
does not know would fail in every row, and guidance that it does not read would change nothing
without a word. Left out: what the values of arguments do.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from schemas.recipe import GeneratorSpec

#: What pipelines call the number of frames of a clip.
_FRAMES = ("num_frames", "frames", "video_length")
#: Arguments that are set here, by what sets them.
_SET_BY = {
    "prompt": "the prompts file",
    "image": "a part of role `source` in the prompts file",
    "num_inference_steps": "{key}.num_inference_steps",
    "guidance_scale": "{key}.guidance_scale",
    "width": "{key}.width",
    "height": "{key}.height",
    **dict.fromkeys(_FRAMES, "{key}.num_frames"),
    "generator": "the recipe's seed",
    "num_images_per_prompt": "produce.num_candidates",
    "num_videos_per_prompt": "produce.num_candidates",
    "output_type": "the factory, which takes pixels",
    "return_dict": "the factory, which takes pixels",
}
#: Arguments that hold tensors or functions, which no recipe can say.
_UNSAYABLE = re.compile(r"embeds|latents|callback|_mask$|ip_adapter_image")
#: Texts, of which a batch has one for each candidate.
_TEXTS = re.compile(r"(negative_)?prompt(_[234])?")
#: Inputs that nothing here gives: pipelines with one of them cannot do without it.
_NEVER_GIVEN = (
    "conditioning_frames",
    "control_image",
    "control_video",
    "controls",
    "face_video",
    "hint",
    "mask_image",
    "pose_video",
)
#: And such as some can do without; their signatures say which.
_SOMETIMES_NEEDED = ("cond_image", "mask", "reference_image", "video")
#: Pipelines that start from a picture, by their names, also where a signature says None for it.
_STARTS_FROM_A_PICTURE = re.compile(r"Edit(?!ing)|Refiner")
#: Pipelines that draw no picture or clip, by their names.
_DRAWS_NONE = re.compile(r"Prior|Upsampl|Layered|DecoderPipeline|ShapE|DiffusionGemma|Onnx")
_KNOBS = ("num_inference_steps", "guidance_scale", "width", "height", "num_frames")


class CallError(ValueError):
    """A pipeline that cannot be drawn with, or not as a recipe says; names key and argument."""


def arguments_of(kind: type) -> Mapping[str, inspect.Parameter]:
    """The arguments of a pipeline's call, without itself."""
    every = inspect.signature(kind.__call__).parameters
    return {name: one for name, one in every.items() if name != "self"}


def frames_argument(kind: type) -> str | None:
    """What a pipeline of clips calls their length; None of one that draws pictures."""
    arguments = arguments_of(kind)
    return next((name for name in _FRAMES if name in arguments), None)


def needs_picture(kind: type) -> bool:
    """Whether a pipeline draws nothing without a picture to start from."""
    arguments = arguments_of(kind)
    image = arguments.get("image")
    if image is None or "conditions" in arguments:
        return False
    is_optional = image.default is None and _takes_none(image.annotation)
    return not is_optional or bool(_STARTS_FROM_A_PICTURE.search(kind.__name__))


def call_arguments(call: Mapping[str, Any], num: int) -> dict[str, Any]:
    """A recipe's arguments of a call that draws `num` candidates: each has a text of its own, since
    pipelines do not all spread one over a batch.
    """
    return {
        name: [value] * num if _TEXTS.fullmatch(name) and isinstance(value, str) else value
        for name, value in call.items()
    }


def check_call(kind: type, spec: GeneratorSpec, key: str = "generator") -> None:
    """Refuse a pipeline that cannot draw here, and a recipe that calls it wrongly.

    Args:
        kind: the class of the pipeline.
        spec: the section of the recipe.
        key: of the section.

    Raises:
        CallError: names what does not fit, and what to write in its place.
    """
    fault = next(_faults(kind, spec, key), None)
    if fault is not None:
        raise CallError(f"{key}: {kind.__name__} {fault}")


def _faults(kind: type, spec: GeneratorSpec, key: str) -> Iterator[str]:
    missing = getattr(kind, "_backends", None)  # diffusers' own mark of a class without these
    if missing:
        yield f"needs packages that are not all installed here: {', '.join(missing)}"
    if _calls_what_is_missing(kind):
        yield "cleans prompts by the package ftfy, which is not installed here: pip install ftfy"
    arguments = arguments_of(kind)
    if "prompt" not in arguments:
        yield "takes no `prompt`: it draws from something else than a text"
    is_pictures = any(one in arguments for one in ("width", "image", "num_images_per_prompt"))
    is_drawing = is_pictures or frames_argument(kind) is not None
    if not is_drawing or _DRAWS_NONE.search(kind.__name__):
        yield "draws no picture or clip from safetensors: it is a part of others, or of other media"
    for name, one in arguments.items():
        if _is_lacking(name, one, arguments):
            yield f"needs `{name}`, which nothing here can give it"
    if _STARTS_FROM_A_PICTURE.search(kind.__name__) and "image" not in arguments:
        yield "starts from pictures that nothing here can give it"
    for name in _KNOBS:
        argument = name if name != "num_frames" else frames_argument(kind)
        is_said = getattr(spec, name) != GeneratorSpec.model_fields[name].default
        if is_said and argument not in arguments:
            yield f"takes no {name}{_near(name, arguments)}: leave {key}.{name} out"
    for name, value in spec.call.items():
        yield from _argument_faults(name, value, arguments, key)


def _calls_what_is_missing(kind: type) -> bool:
    """Whether a pipeline's module calls ftfy without having imported it, and without asking whether
    it could: then each of its calls raises a NameError.
    """
    module = vars(sys.modules[kind.__module__])
    cleaning = getattr(module.get("basic_clean"), "__code__", None)
    if cleaning is None or "ftfy" in module:
        return False
    return "ftfy" in cleaning.co_names and "is_ftfy_available" not in cleaning.co_names


def _is_lacking(
    name: str, one: inspect.Parameter, arguments: Mapping[str, inspect.Parameter]
) -> bool:
    if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD) or name in ("prompt", "image"):
        return False
    if name in _NEVER_GIVEN or one.default is one.empty:
        return True
    if name == "video" and "image" in arguments:
        return False  # one of the two will do
    return name in _SOMETIMES_NEEDED and not _takes_none(one.annotation)


def _argument_faults(
    name: str, value: Any, arguments: Mapping[str, inspect.Parameter], key: str
) -> Iterator[str]:
    where = f"{key}.call.{name}"
    if name in _SET_BY:
        yield f"is called with `{name}` by {_SET_BY[name].format(key=key)}: leave {where} out"
    elif name not in arguments:
        yield f"has no argument `{name}`{_near(name, arguments)}: change {where}"
    elif _UNSAYABLE.search(name):
        yield f"takes tensors or functions as `{name}`, which no recipe can say: leave {where} out"
    elif _TEXTS.fullmatch(name) and not isinstance(value, str | None):
        yield f"is given one text for all candidates as `{name}`, not {value!r:.80}: change {where}"
    elif not _fits(value, arguments[name].annotation):
        wanted = _told(arguments[name].annotation)
        yield f"takes {wanted} as `{name}`, not {value!r:.80}: change {where}"


def _near(name: str, arguments: Mapping[str, Any]) -> str:
    known = [one for one in arguments if one not in _SET_BY and not _UNSAYABLE.search(one)]
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    near += [one for one in known if name in one and one not in near]
    return f" (it has {', '.join(near[:4])})" if near else ""


# --------------------------------------------------------------------------------- annotations

_PLAIN = (bool, int, float, str, list, tuple, dict, NoneType)


def _takes_none(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return "None" in annotation or "Optional" in annotation
    return annotation is None or NoneType in get_args(annotation)


def _options(annotation: Any) -> tuple[Any, ...]:
    is_union = get_origin(annotation) in (Union, UnionType)
    return get_args(annotation) if is_union else (annotation,)


def _fits(value: Any, annotation: Any) -> bool:
    """Whether a value is of a type that an argument takes, as far as its annotation says that in
    plain types. A list or mapping is not looked into.
    """
    kinds = [get_origin(one) or one for one in _options(annotation)]
    if not all(kind in _PLAIN for kind in kinds):
        return True
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, int):
        return int in kinds or float in kinds
    if isinstance(value, list):
        return list in kinds or tuple in kinds
    return type(value) in kinds


def _told(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


# --------------------------------------------------------------------------------- guidance


def guidance_notes(
    kind: type, spec: GeneratorSpec, is_distilled: bool | None, key: str
) -> list[str]:
    """What of a recipe's guidance a pipeline does not read, in sentences.

    Args:
        kind: the class of the pipeline.
        spec: the section of the recipe.
        is_distilled: whether its model is told of the guidance (`guidance_embeds`); None where that
            is not known.
        key: of the section.
    """
    arguments, name = arguments_of(kind), kind.__name__
    notes = []
    if "guidance_scale" not in arguments:
        near = _near("guidance_scale", arguments)
        notes.append(f"{key}.guidance_scale: {name} takes none, and is called without{near}")
    if "true_cfg_scale" not in arguments:
        return notes
    scale = spec.call.get("true_cfg_scale", arguments["true_cfg_scale"].default)
    is_on = isinstance(scale, int | float) and scale > 1
    has_negative = spec.call.get("negative_prompt") is not None
    if is_distilled is False and not (is_on and has_negative):
        notes.append(
            f"{key}.guidance_scale: does nothing in {name}, whose model is not told of it: it "
            f"draws without guidance. For guidance say {key}.call: "
            '{true_cfg_scale: 4, negative_prompt: " "}'
        )
    elif "true_cfg_scale" in spec.call and is_on and not has_negative:
        notes.append(
            f"{key}.call.true_cfg_scale: does nothing in {name} without a negative_prompt "
            'beside it; " " will do'
        )
    elif has_negative and not is_on:
        notes.append(
            f"{key}.call.negative_prompt: does nothing in {name} with true_cfg_scale {scale}: "
            "say one above 1"
        )
    return notes
