"""TRL: `DPOTrainer` on answers about pictures, as Parquet that `load_dataset` opens.

`prompt`, `chosen` and `rejected` are message lists whose content is a list of parts, and `images`
holds the pictures in the order in which parts of type "image" show them: the trainer's collator for
vision fills them in one after the other (TRL's docs, "Dataset formats", and `trl/data_utils.py`).
It has one list of pictures for both sides, so only answers about the same pictures fit, and it
takes no clips.
"""

from __future__ import annotations

import pyarrow as pa

from factory.exports.columns import PROVENANCE, described
from factory.exports.record import Options, Record, Unfit, misfit, provenance, shown_media
from factory.prompt_parts import turns
from schemas.columns import IMAGE
from schemas.rows import Pair, Part

NAME = "trl"
LOADS = 'DPOTrainer(train_dataset=load_dataset("{out}", split="{split}"), …, max_length=None)'
_CONTENT = pa.list_(pa.struct([("type", pa.string()), ("text", pa.string())]))
_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", _CONTENT)]))
SCHEMA = described(
    pa.schema(
        [
            ("prompt", _MESSAGES),
            ("chosen", _MESSAGES),
            ("rejected", _MESSAGES),
            ("images", pa.list_(IMAGE)),
            *PROVENANCE,
        ]
    )
)


def project(pair: Pair, options: Options) -> list[Record] | Unfit:
    """One pair of answers."""
    if (unfit := misfit(pair, ("image_understanding",))) is not None:
        return unfit
    asked = [
        {"role": turn.speaker, "content": [_content(part) for part in turn.parts]}
        for turn in turns(pair.prompt)
    ]
    return [
        {
            "prompt": asked,
            "chosen": [_answer(pair.chosen.answer)],
            "rejected": [_answer(pair.rejected.answer)],
            "images": shown_media(pair.prompt),
            **provenance(pair),
        }
    ]


def _content(part: Part) -> Record:
    kind = "text" if part.media is None else "image"
    return {"type": kind, "text": part.text}


def _answer(text: str | None) -> Record:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}
