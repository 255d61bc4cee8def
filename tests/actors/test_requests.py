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
from schemas.rows import Candidate, Media, Part, Prompt
from tests.tiny.spelt import SAVERS

#: Of the pointwise and the pairwise request.
GOLDEN: dict[str, dict[str, tuple[str, str]]] = {
    "llava": {
        "pictures": ("00589a7dbca62e43", "f33b0f44e6edfad9"),
        "answers": ("f5a4e5928fc43519", "9172dc67fe2b6e72"),
        "dialogue": ("e6f383e1ae152fb9", "a1412f6aac25e669"),
        "edit": ("b775de4b2871dcca", "e827083ff330587b"),
    },
    "unifiedreward-llava-onevision": {
        "pictures": ("80ef9062a30b53e1", "4d5b6ecfbc47cc99"),
        "answers": ("6e8166f81f36f414", "cc6f8df8a71d7788"),
        "dialogue": ("854e38cfdda76509", "908c8e49dec862bd"),
    },
    "unifiedreward-qwen2.5-vl": {
        "pictures": ("8469bbef0539dad3", "aa457296bda298b7"),
        "answers": ("4eaf83eb9b5f7e4a", "3c8d01e374545d10"),
        "dialogue": ("3de4199d7a935be4", "6e3bf7b0201d2021"),
    },
    "endpoint": {
        "pictures": ("6fa8be8c75668731", "ec7280743c301256"),
        "answers": ("3a507289e3c8a51b", "505dd073df9ddc87"),
        "dialogue": ("8b64daf04cecac81", "e97186685eacb706"),
    },
}


def test_the_version_of_our_asking() -> None:
    assert keys.ASKING == 2, "then all of GOLDEN is of another version: make it anew"


def picture(level: int) -> Media:
    return Media(encode_png(np.full((24, 24, 3), level, np.uint8)), 24, 24)


PICTURES = [Candidate(str(level), "g@0", 0, picture(level)) for level in (50, 200)]
ANSWERS = [Candidate(said, "g@0", 0, answer=said) for said in ("red", "a light blue")]
DIALOGUE = [
    *(Part("question", media=picture(level)) for level in (50, 200)),
    Part("user", "what colour are they ?"),
    Part("assistant", "grey"),
    Part("user", "which is lighter ?"),
]
EDIT = [Part("source", media=picture(90)), Part("user", "make it darker")]
CASES: dict[str, tuple[Prompt, list[Candidate]]] = {
    "pictures": (Prompt.of("a red circle {media} <image>"), PICTURES),
    "answers": (Prompt.of("what colour ?", "image_understanding", media=picture(50)), ANSWERS),
    "dialogue": (Prompt.of_parts(DIALOGUE, "image_understanding"), ANSWERS),
    "edit": (Prompt.of_parts(EDIT), PICTURES),
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
    for name in GOLDEN[family]:
        sitting = judge.sit(*CASES[name])
        texts = (sitting.point(0), sitting.pair((0, 1)))
        sent = tuple(digest((text.ids, text.media)) for text in texts)
        assert sent == GOLDEN[family][name]


def test_an_endpoint_is_sent_the_same_words_around_the_same_pictures() -> None:
    asked = "unifiedreward-qwen2.5-vl"
    spec = EndpointSpec(url="http://localhost", model="m", specification=asked)
    judge = EndpointJudge(spec.judge)
    for name in GOLDEN["endpoint"]:
        sitting = judge.sit(*CASES[name])
        templates = (sitting.task.pointwise, sitting.task.pairwise)
        sent = []
        for template, sides in zip(templates, ([0], [0, 1]), strict=True):
            body = judge.body(sitting.content(template, sides), sitting.task.max_tokens)
            # The bytes of a picture hang on the library that wrote them.
            body["messages"][0]["content"] = [
                part.get("text", part["type"]) for part in body["messages"][0]["content"]
            ]
            sent.append(digest(body))
        assert tuple(sent) == GOLDEN["endpoint"][name]
