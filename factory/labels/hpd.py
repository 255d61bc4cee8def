"""Human Preference Dataset v2 (Wu et al. 2023): JSON.

`train.json` has two pictures a row (`file_path` or `image_path`) and `human_preference`, 1 for the
preferred one. `test.json` has several pictures and the annotators' average `rank` of each, 1 for
the best: every two of them are a pair, and equal ranks are a tie.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from factory.labels.draft import Draft
from factory.labels.record import Record
from schemas.rows import Preference, Prompt

NAME = "hpd"


def parse(record: Record) -> Iterator[Draft]:
    """All pairs of the row's pictures."""
    prompt = Prompt.of(record.text("prompt"), tags={"source": NAME})
    paths = record.items("file_path", "image_path")
    if record.has("human_preference"):
        key, sign = "human_preference", 1  # more is better
    else:
        key, sign = "rank", -1  # less is better
    worth = [
        sign * record.as_number(key, one, 0, 1000) for one in record.items(key, num=len(paths))
    ]
    if len(paths) < 2:
        raise record.fault("image_path", f"has {len(paths)} pictures, and a pair needs two")
    user = record.row.get("user_hash")
    pictures = [record.as_medium("image_path", path) for path in paths]
    for one, other in itertools.combinations(range(len(paths)), 2):
        yield Draft(
            prompt,
            NAME if user is None else f"{NAME}:{user}",
            first=pictures[one],
            second=pictures[other],
            preference=_better(worth[one], worth[other]),
        )


def _better(first: float, second: float) -> Preference:
    if first == second:
        return "tie"
    return "first" if first > second else "second"
