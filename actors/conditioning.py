"""What a diffusers pipeline is called with for a prompt: its text, and the picture that an edit
starts from.

A pipeline takes a source picture where its call has an argument `image` and none for a mask, and
draws from a text alone otherwise. Which it is, its class says, before any weights are loaded.
"""

from __future__ import annotations

import inspect
import json
from typing import Any

from PIL import Image

from factory.generator_kinds import MARKERS
from factory.media.clips import decode_still
from factory.prompt_parts import Need, check_needs, needs_of
from schemas.places import Place
from schemas.rows import Prompt


def call_inputs(pipeline: Any, prompt: Prompt, num: int) -> dict[str, Any]:
    """What a pipeline's call takes of a prompt, by keyword, to draw `num` candidates in one batch.

    Raises:
        MediaError: the source picture cannot be read.
        PartsError: the prompt has parts that the pipeline would leave out; says which.
    """
    name = type(pipeline).__name__
    check_needs(needs_of(prompt), takes(type(pipeline)), name)
    given: dict[str, Any] = {"prompt": [prompt.text] * num}
    for media in prompt.media_of("source"):
        # One picture for all: of a list, some pipelines would take each as one more reference.
        given["image"] = Image.fromarray(decode_still(media.data))
    return given


def takes(pipeline: type) -> frozenset[Need]:
    """What a prompt may ask a pipeline of this class for, beside its text."""
    arguments = inspect.signature(pipeline.__call__).parameters
    is_edit = "image" in arguments and "mask_image" not in arguments
    return frozenset({"source"}) if is_edit else frozenset()


def pipeline_class(directory: Place) -> type | None:
    """The class of the pipeline in a directory; None where it is none of diffusers' own, or not
    here to be looked at. Imports diffusers.
    """
    index = directory / MARKERS["pipeline"]
    if not index.is_file():
        return None
    import diffusers

    name = json.loads(index.read_text()).get("_class_name")
    found = getattr(diffusers, str(name), None)
    return found if isinstance(found, type) else None
