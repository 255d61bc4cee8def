"""The fine-tuning form of UnifiedReward (Wang et al. 2025), which is LLaVA's: `conversations` from
a human and a judge, and `images`, or `image`, `video` and `videos` as its Qwen releases name them.

All four tasks and all releases: verdicts and scores of the first; of 2.0 the points of three
dimensions, whose mean is the label's and whose sum decides between two sides; and of Think the
verdict in answer tags after the reasoning, which becomes the justification. Scales are those of the
instructions.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.labels import conversation
from factory.labels.draft import Draft
from factory.labels.record import Record

NAME = "unified-reward"
COLUMNS = conversation.COLUMNS
_FORM = conversation.Form(
    NAME,
    NAME,
    {
        "image_generation": (1, 5),
        "video_generation": (1, 10),
        "image_understanding": (0, 100),
        "video_understanding": (1, 5),
    },
)


def parse(record: Record) -> Iterator[Draft]:
    """The one label of a conversation."""
    return conversation.parse(record, _FORM)
