"""VL-RewardBench (Li et al. 2024): two answers to a question about a picture, and which is better.

Reads `id`, `query`, `image`, `response` (two), and `human_ranking`, 0 for the better of the two.
The benchmark tells its three categories by how the id begins, up to the first hyphen or underscore:
they become the tag `category` (general 183, hallucination 749, reasoning 318 of its 1,250), and its
macro accuracy is their mean. `hallucination_pair-…` are those from POVID; ids of VLFeedback begin
in any way, and belong to general with those of WildVision.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from factory.labels.draft import Draft
from factory.labels.record import Record
from schemas.rows import Prompt

NAME = "vl-rewardbench"
COLUMNS = ("id", "query", "image", "response", "human_ranking")
_CATEGORIES = {
    "rlaif": "hallucination",
    "rlhf": "hallucination",
    "hallucination": "hallucination",
    "povid": "hallucination",
    "mathverse": "reasoning",
    "mmmu": "reasoning",
}


def parse(record: Record) -> Iterator[Draft]:
    """One pair of answers, in the order of the file."""
    answers = [record.as_text("response", one) for one in record.items("response", num=2)]
    ranking = [
        record.as_number("human_ranking", one, 0, 1) for one in record.items("human_ranking", num=2)
    ]
    if sorted(ranking) != [0, 1]:
        raise record.fault("human_ranking", f"is {ranking}, not an order of two")
    asked = record.text("query").replace("<image>", "").strip()
    if not asked:
        raise record.fault("query", "asks nothing")
    prefix = re.split(r"[-_]", record.text("id"))[0].lower()
    yield Draft(
        Prompt.of(
            asked,
            "image_understanding",
            tags={"source": NAME, "category": _CATEGORIES.get(prefix, "general")},
            media=record.medium("image"),
        ),
        NAME,
        first_answer=answers[0],
        second_answer=answers[1],
        preference="first" if ranking[0] == 0 else "second",
    )
