"""ImageRewardDB (Xu et al. 2023): one row a picture, the pictures of a prompt one after another.

Reads `prompt_id`, `prompt`, `image` or `image_path`, `rank` (1 for the best; equal ranks are ties)
and `overall_rating` (1 to 7). Every two pictures of a prompt are a pair, and every picture has its
points. `classification` becomes a tag.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from factory.labels.draft import Draft, Scale
from factory.labels.record import Record
from schemas.rows import Preference, Prompt

NAME = "image-reward"
SCALE: Scale = (1, 7)
#: Rows with the same value here are parsed together.
GROUP = "prompt_id"


def parse(records: Sequence[Record]) -> Iterator[Draft]:
    """The points and the pairs of one prompt's pictures."""
    pictures = [record.medium("image", "image_path") for record in records]
    ranks = [record.number("rank", 1, 1000) for record in records]
    prompts = [_prompt(record) for record in records]
    for record, prompt, picture in zip(records, prompts, pictures, strict=True):
        rating = record.number("overall_rating", *SCALE)
        yield Draft(prompt, NAME, first=picture, rating=rating, scale=SCALE)
    for one, other in itertools.combinations(range(len(records)), 2):
        preference: Preference = "tie"
        if ranks[one] != ranks[other]:
            preference = "first" if ranks[one] < ranks[other] else "second"
        yield Draft(
            prompts[one],
            NAME,
            first=pictures[one],
            second=pictures[other],
            preference=preference,
        )


def _prompt(record: Record) -> Prompt:
    tags = {"source": NAME}
    if record.has("classification"):
        tags["classification"] = record.text("classification")
    return Prompt.of(record.text("prompt"), tags=tags)
