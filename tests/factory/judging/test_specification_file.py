"""A specification as a user writes it: read key by key, refused by file and key."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from factory.judging.specification import (
    DEFAULT,
    PUBLISHED,
    JudgeSpecification,
    SpecificationError,
    asking_of,
    find,
    published,
)
from factory.judging.task_specification import Dimension
from factory.judging.verdicts import AnswerTree, expected_score
from factory.judging.votes import scores_together, verdicts_together
from schemas.rows import Media, Part, Prompt, Task

TASK: Task = "image_generation"
PAIR = "{media}{media}\nWhich one shows {prompt}?"
PLAIN: dict[str, Any] = {
    "pairwise": PAIR,
    "scale": [1, 5],
    "answers": {"first": "1", "second": "2", "tie": "0"},
    "reading": "text",
}


def read(
    change: dict[str, Any] | None = None, task: str = TASK, **whole: Any
) -> JudgeSpecification:
    text = json.dumps({"tasks": {TASK: {**PLAIN, **(change or {})}}, "is_chat": True, **whole})
    return JudgeSpecification.read(text, "mine.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pairwize": "x"}, "image_generation.pairwize: no such key; did you mean pairwise?"),
        ({"pairwise": 3}, "image_generation.pairwise: 3 is no text"),
        ({"pairwise": ""}, "has neither pointwise nor pairwise"),
        ({"scale": "1-5"}, "image_generation.scale: needs a list of numbers"),
        ({"scale": [1, "5"]}, "image_generation.scale: '5' is no number"),
        ({"num_frames": 2.5}, "image_generation.num_frames: 2.5 is no whole number"),
        ({"max_tokens": 0}, "image_generation.max_tokens: 0 is less than one"),
        ({"answers": []}, "image_generation.answers: needs an object"),
        ({"dimensions": [{"label": "A", "low": 1}]}, "image_generation.dimensions.0.high: is miss"),
        ({"dimensions": [{"label": "A", "low": 2, "high": 1}]}, "low 2 is not below high 1"),
        ({"dimensions": [{"label": "A", "low": 1, "hihg": 2}]}, "dimensions.0.hihg: no such key"),
        ({"overall": "mean"}, "image_generation.overall: the mean of the dimensions needs some"),
        ({"format": "xml"}, "image_generation.format: 'xml' is neither any nor tags"),
        ({"format": "dimensions"}, "image_generation.format: points for dimensions need"),
        ({"num_samples": 3}, "image_generation.num_samples: 3 answers at temperature 0 are one"),
        ({"temperature": -1}, "image_generation.temperature: -1 is negative"),
        ({"temperature": 1, "top_p": 0}, "image_generation.top_p: 0 is not above 0"),
        ({"temperature": 1, "reading": "logits"}, "logits are read and nothing is drawn"),
        ({"decimals": 1}, "image_generation.decimals: are read by logits"),
        ({"decimals": 4, "reading": "logits"}, "40001 numbers from 1 to 5 are more than 1001"),
        ({"fps": 2.0, "max_frames": 8}, "image_generation.fps: a picture has no time"),
        ({"fps": 2.0}, "belong together"),
        ({"min_pixels": 9, "max_pixels": 4}, "image_generation.max_pixels: 4 is less than min"),
        ({"pairwise": "{source}" + PAIR, "pointwise": "{media}{prompt}"}, "needs {source} 1 time"),
        ({"pairwise": "{source}" + PAIR, "source": "{source}"}, "either in the templates or in"),
        ({"system": {"pairwise": 1}}, "image_generation.system.pairwise: 1 is no text"),
        ({"system": {"duels": "x"}}, "image_generation.system.duels: no such key"),
    ],
)
def test_each_fault_names_file_task_and_key(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecificationError, match=re.escape(message)) as fault:
        read(change)
    assert str(fault.value).startswith("mine.json: ")


def test_faults_of_the_whole_name_their_key_too() -> None:
    for whole, message in (
        ({"turn": "no place"}, "turn: needs {user} once"),
        ({"tuern": "{user}"}, "tuern: no such key"),
        ({"source": {"repo": "x"}}, "source: "),
        ({"turn": "<s>{user}", "tasks": {TASK: {**PLAIN, "system": "x"}}}, "is the whole text"),
        ({"is_chat": False, "tasks": {TASK: {**PLAIN, "system": "x"}}}, "system: needs is_chat"),
    ):
        with pytest.raises(SpecificationError, match=re.escape(message)):
            read(**whole)


def test_what_was_written_before_there_was_more_to_say_is_written_the_same(tmp_path: Path) -> None:
    """Old files and keys of old replies stay as they are; what is new stands in them where it is
    used.
    """
    DEFAULT.save(tmp_path)
    first = json.loads((tmp_path / "judge.json").read_text())
    assert list(first["tasks"][TASK])[-2:] == ["prompt", "source"]
    assert set(first) == {"tasks", "is_chat"}
    told = DEFAULT.task(TASK)
    assert list(asking_of(told, True, "score")) == [
        *("template", "is_chat", "num_frames", "reading", "score", "scale"),
    ]
    words = replace(told, reading="text", format="tags", vote="median")  # how it is read
    assert asking_of(words, True, "duel") == asking_of(replace(told, reading="text"), True, "duel")
    for change in ({"between": "\n"}, {"system": {"duel": "x"}}, {"max_pixels": 9}):
        other = replace(told, **change)  # type: ignore[arg-type]
        assert asking_of(other, True, "duel") != asking_of(told, True, "duel")
    drawn = replace(words, temperature=0.7, num_samples=3)
    assert asking_of(drawn, True, "duel")["samples"] == {"num": 3, "at": 0.7, "top_p": 1.0}
    assert asking_of(told, True, "duel", "<s>{user}")["turn"] == "<s>{user}"


@pytest.mark.parametrize("name", published())
def test_each_shipped_specification_reads_back_as_it_is(name: str) -> None:
    shipped = find("", name)
    again = JudgeSpecification.read(json.dumps(shipped.to_json()), "again")
    assert again == shipped
    if shipped.source is None:
        assert name in ("unifiedreward-llava-onevision", "unifiedreward-qwen2.5-vl")
        return
    assert re.fullmatch(r"[0-9a-f]{40}", shipped.source.commit)
    assert shipped.source.files
    assert shipped.source.license
    assert all(task.reading == "text" for task in shipped.tasks.values())
    text = (PUBLISHED / f"{name}.json").read_text(encoding="utf-8")
    assert "\t" not in text


def test_a_kind_of_question_that_a_checkpoint_was_not_trained_for() -> None:
    told = read()
    assert told.task(TASK).kinds == {"duel"}
    told.check_kinds(TASK, ["duel"], "evaluation")
    with pytest.raises(SpecificationError, match="was not trained for pointwise questions of im"):
        told.check_kinds(TASK, ["score", "duel"], "curate.rank.strategy: bracket")


def test_a_judge_of_edits_alone_refuses_what_is_none() -> None:
    told = read({"pairwise": "{source}" + PAIR}).task(TASK)
    picture = Media(b"x", 1, 1)
    edit = Prompt.of_parts([Part("source", media=picture), Part("user", "darker")])
    assert told.for_prompt(edit) == told
    with pytest.raises(SpecificationError, match="is asked about edits alone"):
        told.for_prompt(Prompt.of("a red car"))


def test_numbers_with_decimals_are_those_of_the_scale() -> None:
    told = replace(DEFAULT.task(TASK), decimals=1)
    assert list(told.written.values())[:3] == ["1.0", "1.1", "1.2"]
    assert (len(told.written), list(told.written)[-1]) == (41, 5.0)
    assert DEFAULT.task(TASK).written == {1.0: "1", 2.0: "2", 3.0: "3", 4.0: "4", 5.0: "5"}


def test_a_dimension_is_called_by_its_label_where_it_has_no_name() -> None:
    names = ("Alignment Score (1-5)", "visual quality", "Score")
    assert [Dimension(one, 1, 5).key for one in names] == ["alignment", "visual quality", "score"]
    assert Dimension("physical/common-sense consistency", 1, 5, name="physics").key == "physics"


def test_several_answers_vote_and_their_disagreement_is_kept() -> None:
    first, second, tie = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
    assert verdicts_together([first, first, second]) == pytest.approx((2 / 3, 1 / 3, 0.0))
    assert verdicts_together([first, second]) == (0.5, 0.5, 0.0)
    assert verdicts_together([tie]) == tie
    assert scores_together([1.0, 2.0, 6.0]) == pytest.approx((3.0, (14 / 3) ** 0.5))
    assert scores_together([1.0, 2.0, 6.0], "median")[0] == 2.0


def test_decimals_are_weighed_digit_by_digit() -> None:
    """P(2.6) is the product of its digits' probabilities, among all numbers of one decimal."""
    told = replace(DEFAULT.task(TASK), scale=(1.0, 3.0), decimals=1)
    ids = {value: tuple(map(ord, text)) for value, text in told.written.items()}
    tree = AnswerTree.of(ids, may_begin_another=True)
    assert tree.chains == ((ord("1"), ord(".")), (ord("2"), ord(".")))  # 3.0 is told by its "3"
    whole, tenths = {"1": 0.2, "2": 0.5, "3": 0.3}, {"6": 0.75, "7": 0.25}

    def logits(*steps: dict[str, float]) -> np.ndarray:
        made = np.full((1, len(steps), 128), -1e9)
        for at, step in enumerate(steps):
            for digit, p in step.items():
                made[0, at, ord(digit)] = np.log(p)
        return made

    one = tree.probabilities([logits(whole, {".": 1.0}, tenths)] * 2)
    (mean,), _ = expected_score(one, list(told.written))
    assert mean == pytest.approx(0.2 * 1.625 + 0.5 * 2.625 + 0.3 * 3.0)
