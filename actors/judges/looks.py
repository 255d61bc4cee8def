"""What a judge gets to see of a prompt's candidates, or why it sees nothing.

A medium that is unreadable, or too long and narrow for judges to be shown, is an error of its
candidate: it must not take those beside it along. Where the medium belongs to the prompt, it is an
error of all of them. Media are shown in the order in which the prompt lists them. How many frames
of a clip are shown, as what, and how large, is said by the judge's specification.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from factory.judging.specification import TaskSpecification
from factory.media.clips import Frames, decode_clip, decode_still, describe
from factory.media.pictures import MediaError
from factory.media.shape import shape_fault
from schemas.rows import UNDERSTANDING, Candidate, Media, Prompt

#: Frames by time come in twos, as models of clips merge them: the published sampler of the Qwen
#: family rounds so too (`smart_nframes` of its `vision_process.py`, FRAME_FACTOR).
_FRAMES_TOGETHER = 2


@dataclass(frozen=True)
class Look:
    """One medium, decoded: frames [T, H, W, 3], and the seconds from one to the next."""

    frames: Frames
    seconds: float = 0.0


@dataclass(frozen=True)
class SeenSide:
    """One candidate before a judge.

    looks: indices among the sitting's looks of what is shown of it: its own medium, or all media of
        the question that it answers; a clip that is shown as pictures has one for each frame. None
        where it cannot be judged.
    answer: what is judged where the media are the prompt's.
    error: why it cannot be judged.
    sources: indices of what its edit starts from.
    """

    looks: tuple[int, ...]
    answer: str | None = None
    error: str | None = None
    sources: tuple[int, ...] = ()


def look_at(
    prompt: Prompt, candidates: Sequence[Candidate], task: TaskSpecification
) -> tuple[list[Look], list[SeenSide]]:
    """Decode what there is to see, each medium once."""
    is_video = prompt.task.startswith("video")
    looks: list[Look] = []

    def see(media: Sequence[Media], whose: str) -> tuple[tuple[int, ...], str | None]:
        if not media:
            return (), f"{whose} has no media"
        before = len(looks)
        try:
            seen = [_clip(one, task) if is_video else _picture(one) for one in media]
        except MediaError as error:
            return (), f"broken media: {error}"
        for look in seen:
            height, width = look.frames.shape[1:3]
            if fault := shape_fault(width, height):
                return (), f"not shown: {fault}"
        for look in seen:
            fitting = Look(_fitted(look.frames, task), look.seconds)
            looks.extend(_pictures(fitting) if is_video and task.is_pictures else [fitting])
        return tuple(range(before, len(looks))), None

    sides = []
    asked: tuple[int, ...] = ()
    sources: tuple[int, ...] = ()
    fault: str | None = None
    if prompt.task in UNDERSTANDING:
        asked, fault = see(prompt.media_of("question"), "the prompt")
    elif edited := prompt.media_of("source"):
        sources, fault = see(edited, "the prompt")
    for one in candidates:
        if one.error is not None:
            sides.append(SeenSide((), error=f"not generated: {one.error}"))
        elif prompt.task not in UNDERSTANDING:
            shown, error = see([one.media] if one.media else [], "the candidate")
            sides.append(SeenSide(shown, error=fault or error, sources=sources))
        elif not (one.answer or "").strip():
            sides.append(SeenSide((), error="no answer"))
        else:
            sides.append(SeenSide(asked, one.answer, fault))
    return looks, sides


def num_shown(task: TaskSpecification, num_frames: int, fps: float) -> int:
    """How many frames of a clip are shown.

    Args:
        task: frames by count, or by time within bounds.
        num_frames: of the clip.
        fps: of the clip.
    """
    if not task.fps or fps <= 0:
        return task.num_frames
    by_time = math.floor(num_frames / fps * task.fps)
    by_time -= by_time % _FRAMES_TOGETHER
    return max(task.num_frames, min(by_time, task.max_frames))


def _picture(media: Media) -> Look:
    return Look(decode_still(media.data)[np.newaxis])


def _clip(media: Media, task: TaskSpecification) -> Look:
    known = media if media.fps > 0 else describe(media.data)
    num = num_shown(task, known.num_frames, known.fps)
    return Look(decode_clip(media.data, num), known.num_frames / known.fps / num)


def _pictures(look: Look) -> list[Look]:
    """The frames of a clip, each as a picture."""
    return [Look(frame[np.newaxis]) for frame in look.frames]


def _fitted(frames: Frames, task: TaskSpecification) -> Frames:
    """Frames [T, H, W, 3] within the specification's pixels, their shape kept to whole pixels."""
    height, width = frames.shape[1:3]
    scale = 1.0
    if task.max_pixels and height * width > task.max_pixels:
        scale = math.sqrt(task.max_pixels / (height * width))
    elif task.min_pixels and height * width < task.min_pixels:
        scale = math.sqrt(task.min_pixels / (height * width))
    if scale == 1.0:
        return frames
    whole = math.floor if scale < 1 else math.ceil
    size = max(1, whole(width * scale)), max(1, whole(height * scale))
    resized = [
        np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BICUBIC)) for one in frames
    ]
    return np.stack(resized)
