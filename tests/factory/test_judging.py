"""Reading verdicts: branches of the published label formats, and hand-computed probabilities."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from factory.judging.specification import (
    DEFAULT,
    FILE,
    JudgeSpecification,
    SpecificationError,
    find,
    published,
)
from factory.judging.verdicts import VerdictTree, expected_score
from schemas.rows import Task

# A made-up vocabulary: Image 0, 1 1, 2 2, is 3, better 4, Both 5, equal 6.
ANSWERS = {"first": [0, 1, 3, 4], "second": [0, 2, 3, 4], "tie": [5, 6]}


def test_the_chain_holds_every_branch() -> None:
    tree = VerdictTree.of(ANSWERS)
    assert tree.chain == (0,)
    assert tree.tokens == {"first": (0, 1), "second": (0, 2), "tie": (5,)}


def test_probabilities_are_products_along_the_branches() -> None:
    p = np.full((1, 2, 7), 1e-12)
    p[0, 0, 0], p[0, 0, 5], p[0, 0, 6] = 0.6, 0.2, 0.2  # Image, Both, something else
    p[0, 1, 1], p[0, 1, 2] = 0.75, 0.25  # 1, 2
    found = VerdictTree.of(ANSWERS).probabilities(np.log(p))
    # 0.6 * 0.75, 0.6 * 0.25 and 0.2, renormalised over their sum of 0.8
    assert found[0] == pytest.approx([0.5625, 0.1875, 0.25])


def test_single_token_answers_need_no_chain() -> None:
    tree = VerdictTree.of({"first": [1], "second": [2], "tie": [5]})
    assert tree.chain == ()
    even = tree.probabilities(np.zeros((2, 1, 7)))
    assert even == pytest.approx(np.full((2, 3), 1 / 3))


@pytest.mark.parametrize(
    "answers",
    [
        {"first": [1], "second": [1, 2], "tie": [5]},  # one begins the other
        {"first": [1], "second": [1], "tie": [5]},
    ],
)
def test_answers_that_cannot_be_told_apart_are_refused(answers: dict[str, list[int]]) -> None:
    with pytest.raises(SpecificationError):
        VerdictTree.of(answers)  # type: ignore[arg-type]


def test_answers_may_branch_late() -> None:
    answers = {"first": [0, 1], "second": [0, 2, 7], "tie": [0, 2, 8]}
    tree = VerdictTree.of(answers)  # type: ignore[arg-type]
    assert tree.chain == (0, 2)
    assert tree.tokens == {"first": (0, 1), "second": (0, 2, 7), "tie": (0, 2, 8)}


def test_the_expected_score_uses_the_scales_tokens_alone() -> None:
    logits = np.full((1, 10), -50.0)
    logits[0, 2], logits[0, 4] = np.log(0.25), np.log(0.75)
    logits[0, 9] = 100.0  # a token that is no score must not count
    mean, spread = expected_score(logits, [1, 2, 3, 4, 5], [1, 2, 3, 4, 5])
    assert mean[0] == pytest.approx(0.25 * 2 + 0.75 * 4)
    assert spread[0] == pytest.approx(np.sqrt(0.25 * 1.5**2 + 0.75 * 0.5**2))


def test_ten_is_more_than_nine() -> None:
    """Scores are numbers: `max(["9", "10"])` of a published script is "9"."""
    logits = np.log(np.array([[0.2, 0.8]]))
    mean, _ = expected_score(logits, [0, 1], [9, 10])
    assert mean[0] == pytest.approx(9.8)


def test_a_specification_travels_with_the_model(tmp_path: Path) -> None:
    DEFAULT.save(tmp_path)
    assert JudgeSpecification.load(tmp_path) == DEFAULT
    assert find(str(tmp_path)) == find("elsewhere", str(tmp_path / FILE)) == DEFAULT
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(SpecificationError, match="not a judge specification"):
        JudgeSpecification.load(tmp_path)
    with pytest.raises(SpecificationError, match="unifiedreward-llava-onevision"):
        JudgeSpecification.load(tmp_path / "absent")


def test_the_shipped_base_is_asked_as_it_was_before_there_were_four_tasks() -> None:
    shipped = find("factory/sandbox/weights/base")
    assert shipped.task("image_generation").num_frames == 1
    assert shipped.task("image_generation").reading == "logits"
    one = "image 1 : {media} caption : {prompt} . final score :"
    assert DEFAULT.task("image_generation").pointwise == one


@pytest.mark.parametrize("name", ["unifiedreward-llava-onevision", "unifiedreward-qwen2.5-vl"])
def test_published_label_formats_are_those_of_the_paper(name: str) -> None:
    found = find("anywhere", name)
    assert name in published()
    assert found.is_chat
    scales = {task: (one.scale[0], one.scale[-1]) for task, one in found.tasks.items()}
    assert scales == {
        "image_generation": (1, 5),
        "video_generation": (1, 10),
        "image_understanding": (0, 100),
        "video_understanding": (1, 5),
    }
    picture, clip = found.task("image_generation"), found.task("video_generation")
    than = "" if "qwen" in name else " than Image 2"
    assert picture.answers["first"] == f"Image 1 is better{than}."
    assert picture.answers["tie"] == "Both images are equally good."
    assert clip.num_frames == 8
    assert [(one.low, one.high) for one in clip.dimensions] == [(1, 4)] * 5
    answers = found.task("image_understanding").answers
    assert answers["second"] == "Overall Judgment: Answer 2 is better than Answer 1."
    assert all(one.score == "Final Score: {score}" for one in found.tasks.values())


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        ("image_generation", {"pointwise": "{media}"}, "has no {prompt}"),
        ("image_generation", {"pairwise": "{media} {prompt}"}, "needs {media} 2 time"),
        ("image_generation", {"pointwise": "{media} {prompt} {answer}"}, "needs {answer} 0 time"),
        ("video_understanding", {"pairwise": "{media} {prompt} {answer}"}, "needs {answer} 2"),
        ("image_generation", {"pointwise": "{media} {prompt} {caption}"}, "unknown slot {caption}"),
        ("image_generation", {"scale": (5, 1)}, "rising"),
        ("image_generation", {"scale": (1,)}, "two numbers"),
        ("image_generation", {"answers": {"first": "1"}}, "needs first, second, tie"),
        ("image_generation", {"reading": "tea leaves"}, "neither logits nor text"),
        ("image_generation", {"score": "Score:"}, "needs {score} once"),
        ("video_generation", {"num_frames": 0}, "less than one"),
    ],
)
def test_what_could_not_be_asked_or_read_is_refused(
    task: Task, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecificationError, match=re.escape(message)):
        JudgeSpecification({task: replace(DEFAULT.task(task), **change)})


def test_a_task_that_a_judge_was_not_made_for_is_refused() -> None:
    only = JudgeSpecification({"image_generation": DEFAULT.task("image_generation")})
    with pytest.raises(SpecificationError, match="video_generation"):
        only.task("video_generation")
    with pytest.raises(SpecificationError, match="unknown task 'poetry'"):
        JudgeSpecification({"poetry": DEFAULT.task("image_generation")})  # type: ignore[dict-item]
