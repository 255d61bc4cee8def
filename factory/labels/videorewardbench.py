"""VideoRewardBench (Zhang et al. 2025): two answers to a question about a clip, the better first.

The paper (arXiv 2509.00484) tells what a row is, a triplet of a clip with a question, a chosen and
a rejected answer, and in which of five subsets it lies: long-form perception 283, short-form
perception 413, knowledge 238, reasoning 278 and safety 351 of the 1,563. Neither its data card nor
its loader could be read here: **the names of the columns are not verified**. Those below are looked
for, and a row without them is a fault that names the columns that it has; then the format `table`
reads the same files, as in

    --format table --map prompt=QUESTION,media=CLIP,first_answer=CHOSEN,second_answer=REJECTED,…

The subset becomes the tag `subset`. Clips are files below `--media`. Sides are shuffled, or a judge
would be right that always says "first".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from factory.labels.draft import Draft, shuffled
from factory.labels.record import Record
from schemas.rows import Prompt

NAME = "videorewardbench"
_QUESTION = ("question", "prompt", "query")
_CLIP = ("video", "video_path")
_CHOSEN = ("chosen", "chosen_response")
_REJECTED = ("rejected", "rejected_response")
_SUBSET = ("dimension", "category", "subset", "aspect")
COLUMNS = (*_QUESTION, *_CLIP, *_CHOSEN, *_REJECTED, *_SUBSET)


def parse(record: Record) -> Iterator[Draft]:
    """One pair of answers, in an order that depends on what they say."""
    subset = re.sub(r"[\s_]+", " ", record.text(*_SUBSET)).lower()
    asked = record.text(*_QUESTION).replace("<video>", "").strip()
    if not asked:
        raise record.fault(_QUESTION[0], "asks nothing")
    prompt = Prompt.of(
        asked,
        "video_understanding",
        tags={"source": NAME, "subset": subset},
        media=record.medium(*_CLIP, is_video=True),
    )
    chosen, rejected = record.text(*_CHOSEN), record.text(*_REJECTED)
    draft = Draft(prompt, NAME, first_answer=chosen, second_answer=rejected, preference="first")
    yield shuffled(draft, prompt.prompt_id, chosen, rejected)
