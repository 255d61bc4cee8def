"""VL-RewardBench (Li et al. 2024): two answers to a question about a picture, and which is better.

Reads `id`, `query`, `image`, `response` (two), and `human_ranking`, 0 for the better of the two.
The benchmark's three categories are told by the beginning of the id and become the tag `category`;
its macro accuracy is their mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from factory.labels.draft import Draft
from factory.labels.record import Record
from schemas.rows import Prompt

NAME = "vl-rewardbench"
_CATEGORIES = {
    "rlaif": "hallucination",
    "rlhf": "hallucination",
    "povid": "hallucination",
    "mathverse": "reasoning",
    "mmmu": "reasoning",
}


def parse(record: Record) -> Iterator[Draft]:
    """One pair of answers, in the order of the file."""
    answers = record.items("response", num=2)
    ranking = [
        record.as_number("human_ranking", one, 0, 1) for one in record.items("human_ranking", num=2)
    ]
    if sorted(ranking) != [0, 1]:
        raise record.fault("human_ranking", f"is {ranking}, not an order of two")
    if not all(isinstance(answer, str) and answer.strip() for answer in answers):
        raise record.fault("response", "holds an answer that is no text")
    prefix = re.split(r"[-_]", record.text("id"))[0].lower()
    yield Draft(
        Prompt.of(
            record.text("query").replace("<image>", "").strip(),
            "image_understanding",
            tags={"source": NAME, "category": _CATEGORIES.get(prefix, "general")},
            media=record.medium("image"),
        ),
        NAME,
        first_answer=answers[0],
        second_answer=answers[1],
        preference="first" if ranking[0] == 0 else "second",
    )
