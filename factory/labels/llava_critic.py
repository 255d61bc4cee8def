"""LLaVA-Critic-113k (Xiong et al. 2024): conversations about answers to questions on pictures.

Two answers are compared, or one is scored. Published as Parquet in two configurations, `pairwise`
(40,154 rows) and `pointwise` (72,782), with the picture in the row. Instructions come in several
layouts, of which those are read that say where the parts begin and end: named parts in square
brackets, the headings of LLaVA-Bench ("8 6") and of arenas ("[[A>B]]"), and captions of pictures,
which are answers here. Most of the labels were given by GPT-4o and not by people, which the
annotator's name says.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.labels import conversation
from factory.labels.draft import Draft
from factory.labels.record import Record

NAME = "llava-critic"
COLUMNS = conversation.COLUMNS
_FORM = conversation.Form(
    NAME,
    f"model:{NAME}",
    {"image_understanding": (0, 100), "video_understanding": (1, 5)},
    rates_captions=True,
)


def parse(record: Record) -> Iterator[Draft]:
    """The one label of a conversation."""
    return conversation.parse(record, _FORM)
