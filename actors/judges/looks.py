"""What a judge gets to see of a prompt's candidates, or why it sees nothing.

A medium that is unreadable, or too long and narrow for judges to be shown, is an error of its
candidate: it must not take those beside it along. Where the medium belongs to the prompt, it is an
error of all of them. Media are shown in the order in which the prompt lists them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from factory.media.clips import Frames, decode_clip, decode_still, describe
from factory.media.pictures import MediaError
from factory.media.shape import shape_fault
from schemas.rows import UNDERSTANDING, Candidate, Media, Prompt


@dataclass(frozen=True)
class Look:
    """One medium, decoded: frames [T, H, W, 3], and the seconds from one to the next."""

    frames: Frames
    seconds: float = 0.0


@dataclass(frozen=True)
class SeenSide:
    """One candidate before a judge.

    looks: indices among the sitting's looks of what is shown of it: its own medium, or all media of
        the question that it answers; none where it cannot be judged.
    answer: what is judged where the media are the prompt's.
    error: why it cannot be judged.
    sources: indices of what its edit starts from.
    """

    looks: tuple[int, ...]
    answer: str | None = None
    error: str | None = None
    sources: tuple[int, ...] = ()


def look_at(
    prompt: Prompt, candidates: Sequence[Candidate], num_frames: int
) -> tuple[list[Look], list[SeenSide]]:
    """Decode what there is to see, each medium once."""
    is_video = prompt.task.startswith("video")
    looks: list[Look] = []

    def see(media: Sequence[Media], whose: str) -> tuple[tuple[int, ...], str | None]:
        if not media:
            return (), f"{whose} has no media"
        before = len(looks)
        try:
            seen = [_clip(one, num_frames) if is_video else _picture(one) for one in media]
        except MediaError as error:
            return (), f"broken media: {error}"
        for look in seen:
            height, width = look.frames.shape[1:3]
            if fault := shape_fault(width, height):
                return (), f"not shown: {fault}"
        looks.extend(seen)
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


def _picture(media: Media) -> Look:
    return Look(decode_still(media.data)[np.newaxis])


def _clip(media: Media, num_frames: int) -> Look:
    frames = decode_clip(media.data, num_frames)
    known = media if media.fps > 0 else describe(media.data)
    return Look(frames, known.num_frames / known.fps / num_frames)
