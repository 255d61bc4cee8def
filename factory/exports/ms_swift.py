"""ms-swift: DPO on answers about pictures or clips, and reward models of pictures.

`messages` end in the better answer, `rejected_messages` in the other, and the media of each come
in the order of its marks `<image>` and `<video>`. (`rejected_response` alone would be shorter, and
rows that have null there are deleted on loading.) Of generated pictures the caption is the
user's turn and the picture the assistant's: `images` holds the better one and `rejected_images` the
other, which is for `--rlhf_type rm` (a loss on words, as DPO's, would find none). `margin` is read
by reward models alone. Other columns are dropped by ms-swift itself.

Written after its "Custom dataset" page and `swift/dataset/preprocessor/core.py`. Media inline are
dicts of bytes and path there, so the table is not described as Hugging Face's: pictures that are
decoded already would not go through. A clip can only be named by its path.
"""

from __future__ import annotations

import pyarrow as pa

from factory.exports.columns import PROVENANCE, MediaMode, medium
from factory.exports.record import (
    Options,
    Record,
    Unfit,
    has_mark,
    misfit,
    more_than_caption,
    provenance,
    shown_media,
    spoken,
)
from schemas.rows import Pair, Task

NAME = "ms-swift"
LOADS = (
    "ROOT_IMAGE_DIR={out} swift rlhf --rlhf_type dpo --use_hf true "
    "--dataset {out}/{split}/*.parquet"
)
_TASKS: tuple[Task, ...] = ("image_understanding", "video_understanding", "image_generation")
_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


def schema(media: MediaMode) -> pa.Schema:
    """The table's columns."""
    return pa.schema(
        [
            ("messages", _MESSAGES),
            ("rejected_messages", _MESSAGES),
            ("images", pa.list_(medium(media))),
            ("rejected_images", pa.list_(medium(media))),
            ("videos", pa.list_(pa.string())),
            ("rejected_videos", pa.list_(pa.string())),
            *PROVENANCE,
        ]
    )


def project(pair: Pair, options: Options) -> list[Record] | Unfit:
    """One pair."""
    if (unfit := misfit(pair, _TASKS)) is not None:
        return unfit
    if pair.prompt.task == "image_generation":
        return _pictures(pair)
    is_video = pair.prompt.task == "video_understanding"
    if is_video and options.media == "inline":
        return Unfit("clip inline", "ms-swift takes clips by their paths alone: --media files")
    mark = "<video>" if is_video else "<image>"
    said = spoken(pair.prompt, mark)
    if isinstance(said, Unfit):
        return said
    chosen, rejected = str(pair.chosen.answer), str(pair.rejected.answer)
    if mark in chosen or mark in rejected:
        return has_mark(mark, "answer")
    shown = shown_media(pair.prompt)
    messages = [{"role": speaker, "content": text} for speaker, text in said]
    images, videos = (None, shown) if is_video else (shown, None)
    return [
        {
            "messages": [*messages, {"role": "assistant", "content": chosen}],
            "rejected_messages": [*messages, {"role": "assistant", "content": rejected}],
            "images": images,
            "rejected_images": images,
            "videos": videos,
            "rejected_videos": videos,
            **provenance(pair),
        }
    ]


def _pictures(pair: Pair) -> list[Record] | Unfit:
    if (unfit := more_than_caption(pair.prompt)) is not None:
        return unfit
    if "<image>" in pair.prompt.text:
        return has_mark("<image>", "prompt")
    messages = [
        {"role": "user", "content": pair.prompt.text},
        {"role": "assistant", "content": "<image>"},
    ]
    return [
        {
            "messages": messages,
            "rejected_messages": messages,
            "images": [pair.chosen.media],
            "rejected_images": [pair.rejected.media],
            "videos": None,
            "rejected_videos": None,
            **provenance(pair),
        }
    ]
