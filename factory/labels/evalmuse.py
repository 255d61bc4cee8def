"""EvalMuse-40K (Han et al. 2024): JSON, one generated picture a row.

Reads `prompt`, `img_path` and `total_score`, how well the picture fits the prompt from 1 to 5 by
each of several annotators: each of them gives one label. The scores of single elements
(`element_score`) are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.labels.draft import Draft, Scale
from factory.labels.record import Record
from schemas.rows import Prompt

NAME = "evalmuse"
SCALE: Scale = (1, 5)


def parse(record: Record) -> Iterator[Draft]:
    """One label for each annotator."""
    tags = {"source": NAME}
    if record.has("type"):
        tags["type"] = record.text("type")
    prompt = Prompt.of(record.text("prompt"), tags=tags)
    ratings = record.items("total_score")
    if not ratings:
        raise record.fault("total_score", "is empty")
    picture = record.medium("img_path")
    for number, rating in enumerate(ratings, start=1):
        yield Draft(
            prompt,
            f"{NAME}:{number}",
            first=picture,
            rating=record.as_number("total_score", rating, *SCALE),
            scale=SCALE,
        )
