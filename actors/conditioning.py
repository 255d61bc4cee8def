"""What a diffusers pipeline is called with for a prompt: its text, and the picture that an edit or
a clip starts from.

A pipeline takes a source picture where its call has an argument `image` and none for a mask, and
draws from a text alone otherwise. Which it is, its class says, before any weights are loaded. All
goes by keyword: some pipelines have the text first and others the picture.
"""

from __future__ import annotations

from typing import Any

from PIL import Image

from actors.calling import arguments_of, frames_argument, needs_picture
from factory.media.clips import decode_still
from factory.prompt_parts import Need, PartsError, check_needs, needs_of
from schemas.rows import Prompt


def call_inputs(pipeline: Any, prompt: Prompt, num: int) -> dict[str, Any]:
    """What a pipeline's call takes of a prompt, by keyword, to draw `num` candidates in one batch.

    Raises:
        MediaError: the source picture cannot be read.
        PartsError: the prompt has parts that the pipeline would leave out, or lacks the picture
            that it starts from; says which.
    """
    kind = type(pipeline)
    check_needs(needs_of(prompt), takes(kind), kind.__name__)
    given: dict[str, Any] = {"prompt": [prompt.text] * num}
    for media in prompt.media_of("source"):
        # One picture for all: of a list, some pipelines would take each as one more reference.
        given["image"] = Image.fromarray(decode_still(media.data))
    if "image" not in given and needs_picture(kind):
        raise PartsError(
            f"{kind.__name__} starts from a picture, and this prompt has no part of role 'source'"
        )
    return given


def takes(pipeline: type) -> frozenset[Need]:
    """What a prompt may ask a pipeline of this class for, beside its text."""
    arguments = arguments_of(pipeline)
    if "image" not in arguments or "mask_image" in arguments:
        return frozenset()
    return frozenset({"source"} if frames_argument(pipeline) is None else {"start"})
