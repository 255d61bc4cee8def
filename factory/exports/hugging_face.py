"""Hugging Face `datasets`: pairs as a table that `load_dataset` opens with its pictures shown.

Columns at the top, so that the viewer of the hub shows them: `prompt`, the media that it is about,
`chosen` and `rejected` answers or pictures or clips, and all that is known of the pair. Groups have
the columns of `n_way`. Clips are of the feature `Video`, which needs torchcodec to be decoded.
"""

from __future__ import annotations

import pyarrow as pa

from factory.exports.columns import PROVENANCE, described
from factory.exports.record import (
    Options,
    Record,
    Unfit,
    is_clip,
    misfit,
    provenance,
    shown_media,
    words,
)
from schemas.columns import IMAGE
from schemas.rows import Media, Pair, Task

NAME = "datasets"
LOADS = 'load_dataset("{out}", split="{split}")'
_TASKS: tuple[Task, ...] = (
    "image_generation",
    "video_generation",
    "image_understanding",
    "video_understanding",
)
SCHEMA = described(
    pa.schema(
        [
            ("prompt", pa.string()),
            ("task", pa.string()),
            ("images", pa.list_(IMAGE)),
            ("video", IMAGE),
            ("chosen", pa.string()),
            ("rejected", pa.string()),
            ("chosen_image", IMAGE),
            ("rejected_image", IMAGE),
            ("chosen_video", IMAGE),
            ("rejected_video", IMAGE),
            *PROVENANCE,
        ]
    )
)


def project(pair: Pair, options: Options) -> list[Record] | Unfit:
    """One pair of any task."""
    if (unfit := misfit(pair, _TASKS)) is not None:
        return unfit
    media = shown_media(pair.prompt)
    clips = [one for one in media if is_clip(one)]
    if len(clips) > 1:
        return Unfit("too many media", f"a question about {len(clips)} clips: a row has one")
    return [
        {
            "prompt": words(pair.prompt),
            "task": pair.prompt.task,
            "images": [one for one in media if not is_clip(one)],
            "video": clips[0] if clips else None,
            "chosen": pair.chosen.answer,
            "rejected": pair.rejected.answer,
            **_side("chosen", pair.chosen.media),
            **_side("rejected", pair.rejected.media),
            **provenance(pair),
        }
    ]


def _side(name: str, media: Media | None) -> Record:
    is_video = media is not None and is_clip(media)
    return {
        f"{name}_image": None if is_video else media,
        f"{name}_video": media if is_video else None,
    }
