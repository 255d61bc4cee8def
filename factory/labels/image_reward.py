"""ImageRewardDB (Xu et al. 2023): one row a picture, the pictures of a prompt one after another.

Reads `prompt_id`, `prompt`, `image` or `image_path`, `rank` (1 for the best; equal ranks are ties)
and `overall_rating` (1 to 7). Every two pictures of a prompt are a pair, and every picture has its
points. `classification` becomes a tag. The JSON of the authors' repository has a prompt a row:
`prompt`, `generations` (paths) and `ranking`, which is all that its pairs need.

A picture that cannot be read costs its points and its own pairs, and not its group. Which side of a
pair comes first is decided by the bytes of the two, so that the order of the rows decides nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from factory.labels import ranked
from factory.labels.draft import Draft, Scale
from factory.labels.record import LabelError, Record
from schemas.rows import Media, Prompt

NAME = "image-reward"
SCALE: Scale = (1, 7)
#: Rows with the same value here are parsed together.
GROUP = "prompt_id"
COLUMNS = (
    *(GROUP, "prompt", "image", "image_path", "rank", "overall_rating", "classification"),
    *("id", "generations", "ranking"),
)


def parse(records: Sequence[Record]) -> Iterator[Draft | LabelError]:
    """The points and the pairs of one prompt's pictures, and a fault for each that is unusable."""
    if records[0].has("generations"):
        for record in records:
            yield from _of_ranking(record)
        return
    shown = []
    for record in records:
        try:
            shown.append(_shown(record))
        except LabelError as error:
            yield error
    shown.sort(key=lambda one: (hashlib.sha256(one.picture.data).digest(), one.rank, one.rating))
    for one in shown:
        yield Draft(one.prompt, NAME, first=one.picture, rating=one.rating, scale=SCALE)
    if shown:
        yield from ranked.pairs(
            shown[0].prompt, NAME, [one.picture for one in shown], [-one.rank for one in shown]
        )


@dataclass(frozen=True)
class _Shown:
    """What a row says of its picture."""

    prompt: Prompt
    picture: Media
    rank: float
    rating: float


def _shown(record: Record) -> _Shown:
    tags = {"source": NAME}
    if record.has("classification"):
        tags["classification"] = record.text("classification")
    return _Shown(
        Prompt.of(record.text("prompt"), tags=tags),
        record.medium("image", "image_path"),
        record.number("rank", 1, 1000),
        record.number("overall_rating", *SCALE),
    )


def _of_ranking(record: Record) -> Iterator[Draft | LabelError]:
    prompt = Prompt.of(record.text("prompt"), tags={"source": NAME})
    paths = record.items("generations")
    ranks = [
        record.as_number("ranking", one, 1, 1000) for one in record.items("ranking", num=len(paths))
    ]
    pictures = record.pictures("generations", paths)
    yield from (picture for picture in pictures if isinstance(picture, LabelError))
    yield from ranked.pairs(prompt, NAME, pictures, [-rank for rank in ranks])
