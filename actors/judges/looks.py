"""What a judge gets to see of a prompt's candidates, or why it sees nothing.

An unreadable medium is an error of its candidate. Where the medium belongs to the prompt, it is an
error of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from factory.media.clips import Frames, decode_clip, describe
from factory.media.pictures import MediaError, decode
from schemas.rows import UNDERSTANDING, Candidate, Media, Prompt


@dataclass(frozen=True)
class Look:
    """One medium, decoded: frames [T, H, W, 3], and the seconds from one to the next."""

    frames: Frames
    seconds: float = 0.0


@dataclass(frozen=True)
class SeenSide:
    """One candidate before a judge.

    look: index of its medium among the sitting's looks; None where it cannot be judged.
    answer: what is judged where the medium is the prompt's.
    error: why it cannot be judged.
    """

    look: int | None
    answer: str | None = None
    error: str | None = None


def look_at(
    prompt: Prompt, candidates: Sequence[Candidate], num_frames: int
) -> tuple[list[Look], list[SeenSide]]:
    """Decode what there is to see, each medium once."""
    is_video = prompt.task.startswith("video")
    looks: list[Look] = []

    def see(media: Media | None, whose: str) -> tuple[int | None, str | None]:
        if media is None:
            return None, f"{whose} has no media"
        try:
            looks.append(_clip(media, num_frames) if is_video else _picture(media))
        except MediaError as error:
            return None, f"broken media: {error}"
        return len(looks) - 1, None

    sides = []
    shared = see(prompt.media, "the prompt") if prompt.task in UNDERSTANDING else None
    for one in candidates:
        if one.error is not None:
            sides.append(SeenSide(None, error=f"not generated: {one.error}"))
        elif shared is None:
            look, error = see(one.media, "the candidate")
            sides.append(SeenSide(look, error=error))
        elif not (one.answer or "").strip():
            sides.append(SeenSide(None, error="no answer"))
        else:
            sides.append(SeenSide(shared[0], one.answer, shared[1]))
    return looks, sides


def _picture(media: Media) -> Look:
    return Look(decode(media.data)[np.newaxis])


def _clip(media: Media, num_frames: int) -> Look:
    frames = decode_clip(media.data, num_frames)
    known = media if media.fps > 0 else describe(media.data)
    return Look(frames, known.num_frames / known.fps / num_frames)
