"""Golden requests: what each family of judges is sent for one prompt, to the token.

Whoever changes what a judge gets to see for the same specification, prompt and candidates makes a
test here fail, and must then add 1 to `factory.keys.ASKING`: replies to the old requests answer
another question, and must not be taken for replies to the new ones. (The words of a specification
are in the key themselves: whoever only changes those makes GOLDEN anew.)
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.judges import TransformersJudge
from actors.judges.endpoint import EndpointJudge
from factory import keys
from factory.judging.specification import DEFAULT
from factory.media.pictures import encode_png
from schemas.recipe import EndpointSpec
from schemas.recipe_file import load
from schemas.rows import Candidate, Media, Prompt, Task
from tests.actors.tiny_checkpoints import SAVERS

#: Of the pointwise and the pairwise request: of two pictures, and of two answers to a question.
GOLDEN: dict[str, dict[Task, tuple[str, str]]] = {
    "llava": {
        "image_generation": ("70cd0459f5923fbf", "a460be0f56951251"),
        "image_understanding": ("aaa5cb704fb01b08", "39543a34eb42e2ba"),
    },
    "unifiedreward-llava-onevision": {
        "image_generation": ("68773a11ad141746", "93816f201eca01ae"),
        "image_understanding": ("e8ed1f5f15a38bdc", "3dfabe6bee43c99b"),
    },
    "unifiedreward-qwen2.5-vl": {
        "image_generation": ("cbc77373e4ffdf2b", "29731f81a64b9d0a"),
        "image_understanding": ("9d90481975f257f3", "7b0fbf021edb716b"),
    },
    "endpoint": {
        "image_generation": ("6fa8be8c75668731", "ec7280743c301256"),
        "image_understanding": ("3a507289e3c8a51b", "505dd073df9ddc87"),
    },
}


def test_the_version_of_our_asking() -> None:
    assert keys.ASKING == 1, "then all of GOLDEN is of another version: make it anew"


def picture(level: int) -> Media:
    return Media(encode_png(np.full((24, 24, 3), level, np.uint8)), 24, 24)


CASES: dict[Task, tuple[Prompt, list[Candidate]]] = {
    "image_generation": (
        Prompt.of("a red circle {media} <image>"),
        [Candidate(str(level), "g@0", 0, picture(level)) for level in (50, 200)],
    ),
    "image_understanding": (
        Prompt.of("what colour ?", "image_understanding", media=picture(50)),
        [Candidate(said, "g@0", 0, answer=said) for said in ("red", "a light blue")],
    ),
}


def digest(request: Any) -> str:
    return hashlib.sha256(json.dumps(request).encode()).hexdigest()[:16]


@pytest.mark.parametrize("family", ["llava", *SAVERS])
def test_a_judge_of_weights_reads_the_same_tokens(family: str, tmp_path: Path) -> None:
    if family == "llava":
        judge = TransformersJudge(
            load("jobs/recipes/laptop.yaml").judge.path, "judge@0", specification=DEFAULT
        )
    else:
        SAVERS[family](tmp_path)
        judge = TransformersJudge(str(tmp_path), "judge@0", specification=family)
    for task, (prompt, candidates) in CASES.items():
        sitting = judge.sit(prompt, candidates)
        sent = (digest(sitting.point(0).ids), digest(sitting.pair((0, 1)).ids))
        assert sent == GOLDEN[family][task]


def test_an_endpoint_is_sent_the_same_words_around_the_same_pictures() -> None:
    asked = "unifiedreward-qwen2.5-vl"
    judge = EndpointJudge(EndpointSpec(url="http://localhost", model="m", specification=asked))
    for task, (prompt, candidates) in CASES.items():
        sitting = judge.sit(prompt, candidates)
        templates = (sitting.task.pointwise, sitting.task.pairwise)
        sent = []
        for template, sides in zip(templates, ([0], [0, 1]), strict=True):
            body = judge.body(sitting.content(template, sides), sitting.task.max_tokens)
            # The bytes of a picture hang on the library that wrote them.
            body["messages"][0]["content"] = [
                part.get("text", part["type"]) for part in body["messages"][0]["content"]
            ]
            sent.append(digest(body))
        assert tuple(sent) == GOLDEN["endpoint"][task]
