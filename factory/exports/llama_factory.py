"""LLaMA-Factory: DPO on answers about pictures or clips, in its ShareGPT form.

`conversations` are turns of "human" and "gpt" that end with a human's, `chosen` and `rejected` one
turn each; `images` and `videos` come in the order of the marks `<image>` and `<video>`, one for
each. `dataset_info.json` beside the tables says so, with `ranking: true`. Written after
`data/README.md`, `data/converter.py` and `data/mm_plugin.py` of LLaMA-Factory. Pictures inline are
dicts of bytes and path; a clip can only be named by its path, relative to `media_dir`, which is
`dataset_dir` where nothing else is said.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa

from factory.exports.columns import PROVENANCE, MediaMode, medium
from factory.exports.record import (
    Options,
    Record,
    Unfit,
    has_mark,
    misfit,
    provenance,
    shown_media,
    spoken,
)
from schemas.rows import Pair, Task

NAME = "llama-factory"
LOADS = "llamafactory-cli train … stage=dpo dataset_dir={out} dataset=preference_{split}"
_TASKS: tuple[Task, ...] = ("image_understanding", "video_understanding")
_TURN = pa.struct([("from", pa.string()), ("value", pa.string())])
_SPEAKERS = {"user": "human", "assistant": "gpt"}


def schema(media: MediaMode) -> pa.Schema:
    """The table's columns."""
    return pa.schema(
        [
            ("conversations", pa.list_(_TURN)),
            ("chosen", _TURN),
            ("rejected", _TURN),
            ("images", pa.list_(medium(media))),
            ("videos", pa.list_(pa.string())),
            *PROVENANCE,
        ]
    )


def project(pair: Pair, options: Options) -> list[Record] | Unfit:
    """One pair of answers."""
    if (unfit := misfit(pair, _TASKS)) is not None:
        return unfit
    is_video = pair.prompt.task == "video_understanding"
    if is_video and options.media == "inline":
        return Unfit("clip inline", "LLaMA-Factory takes clips by their paths: --media files")
    mark = "<video>" if is_video else "<image>"
    said = spoken(pair.prompt, mark)
    if isinstance(said, Unfit):
        return said
    answers = [str(side.answer) for side in (pair.chosen, pair.rejected)]
    if any(mark in answer for answer in answers):
        return has_mark(mark, "answer")
    shown = shown_media(pair.prompt)
    chosen, rejected = ({"from": "gpt", "value": answer} for answer in answers)
    return [
        {
            "conversations": [{"from": _SPEAKERS[who], "value": text} for who, text in said],
            "chosen": chosen,
            "rejected": rejected,
            "images": None if is_video else shown,
            "videos": shown if is_video else None,
            **provenance(pair),
        }
    ]


def companions(splits: Sequence[str]) -> dict[str, str]:
    """`dataset_info.json`: a data set for each split, `preference_SPLIT`."""
    columns = {name: name for name in ("chosen", "rejected", "images", "videos")}
    info = {
        f"preference_{split}": {
            "file_name": split,
            "formatting": "sharegpt",
            "ranking": True,
            "columns": {"messages": "conversations", **columns},
        }
        for split in splits
    }
    return {"dataset_info.json": json.dumps(info, indent=2) + "\n"}
