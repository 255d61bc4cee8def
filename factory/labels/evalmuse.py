"""EvalMuse-40K (Han et al. 2024): JSON, one generated picture a row.

Reads `prompt`, `img_path` and `total_score`, how well the picture fits the prompt from 1 to 5: a
list by annotator, as `train_list.json` has it, gives one label for each of them, and the mean that
the authors' own script makes of it (`train.json`) one in all. The scores of single elements
(`element_score`) are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.labels.draft import Draft, Scale
from factory.labels.record import Record
from schemas.rows import Prompt

NAME = "evalmuse"
SCALE: Scale = (1, 5)
COLUMNS = ("prompt", "type", "img_path", "total_score")


def parse(record: Record) -> Iterator[Draft]:
    """One label for each annotator, or one of their mean."""
    tags = {"source": NAME}
    if record.has("type"):
        tags["type"] = record.text("type")
    prompt = Prompt.of(record.text("prompt"), tags=tags)
    ratings = _ratings(record)
    picture = record.medium("img_path")
    for annotator, rating in ratings.items():
        yield Draft(prompt, annotator, first=picture, rating=rating, scale=SCALE)


def _ratings(record: Record) -> dict[str, float]:
    """By annotator."""
    key, value = record.value("total_score")
    if isinstance(value, int | float | str):
        return {f"{NAME}:mean": record.as_number(key, value, *SCALE)}
    ratings = [record.as_number(key, one, *SCALE) for one in record.items(key)]
    if not ratings:
        raise record.fault(key, "is empty")
    return {f"{NAME}:{number}": rating for number, rating in enumerate(ratings, start=1)}
