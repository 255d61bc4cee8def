"""LLaVA-Critic-113k (Xiong et al. 2024): conversations about answers to questions on pictures.

Two answers are compared, or one is scored from 0 to 100. Most of the labels were given by GPT-4o
and not by people, which the annotator's name says.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.labels import conversation
from factory.labels.draft import Draft
from factory.labels.record import Record

NAME = "llava-critic"
_FORM = conversation.Form(
    NAME,
    f"model:{NAME}",
    {"image_understanding": (0, 100), "video_understanding": (1, 5)},
)


def parse(record: Record) -> Iterator[Draft]:
    """The one label of a conversation."""
    return conversation.parse(record, _FORM)
