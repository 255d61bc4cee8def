"""Reading verdicts: branches of the published label formats, and hand-computed probabilities."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special

from factory.judging.specification import (
    DEFAULT,
    FILE,
    JudgeSpecification,
    SpecificationError,
    find,
    published,
)
from factory.judging.verdicts import AnswerTree, expected_score, log_softmax
from schemas.rows import Task

# A made-up vocabulary: Image 0, 1 1, 2 2, is 3, better 4, Both 5, equal 6.
ANSWERS = {"first": [0, 1, 3, 4], "second": [0, 2, 3, 4], "tie": [5, 6]}


def test_the_chain_holds_every_branch() -> None:
    tree = AnswerTree.of(ANSWERS)
    assert tree.chain == (0,)
    assert tree.tokens == {"first": (0, 1), "second": (0, 2), "tie": (5,)}


def test_probabilities_are_products_along_the_branches() -> None:
    p = np.full((1, 2, 7), 1e-12)
    p[0, 0, 0], p[0, 0, 5], p[0, 0, 6] = 0.6, 0.2, 0.2  # Image, Both, something else
    p[0, 1, 1], p[0, 1, 2] = 0.75, 0.25  # 1, 2
    found = AnswerTree.of(ANSWERS).probabilities([np.log(p)])
    # 0.6 * 0.75, 0.6 * 0.25 and 0.2, renormalised over their sum of 0.8
    assert found[0] == pytest.approx([0.5625, 0.1875, 0.25])


def test_single_token_answers_need_no_chain() -> None:
    tree = AnswerTree.of({"first": [1], "second": [2], "tie": [5]})
    assert tree.chain == ()
    even = tree.probabilities([np.zeros((2, 1, 7))])
    assert even == pytest.approx(np.full((2, 3), 1 / 3))


@pytest.mark.parametrize(
    "answers",
    [
        {"first": [1], "second": [1, 2], "tie": [5]},  # one begins the other
        {"first": [1], "second": [1], "tie": [5]},
        {"first": [], "second": [1], "tie": [5]},
    ],
)
def test_answers_that_cannot_be_told_apart_are_refused(answers: dict[str, list[int]]) -> None:
    with pytest.raises(SpecificationError):
        AnswerTree.of(answers)
    if answers["second"] == [1]:
        with pytest.raises(SpecificationError):
            AnswerTree.of(answers, may_begin_another=True)


def test_an_answer_is_read_no_further_than_it_has_to_be() -> None:
    tree = AnswerTree.of({"first": [0, 3, 4], "second": [1, 3, 4], "tie": [5, 6]})
    assert tree.tokens == {"first": (0,), "second": (1,), "tie": (5,)}
    assert tree.chain == ()


def test_answers_may_branch_late() -> None:
    answers = {"first": [0, 1], "second": [0, 2, 7], "tie": [0, 2, 8]}
    tree = AnswerTree.of(answers)
    assert tree.chain == (0, 2)
    assert tree.tokens == {"first": (0, 1), "second": (0, 2, 7), "tie": (0, 2, 8)}


def spelt(numbers: range, lead: tuple[int, ...] = ()) -> dict[float, list[int]]:
    """Numbers digit by digit, digit d as token d, after the tokens of a label."""
    return {number: [*lead, *map(int, str(number))] for number in numbers}


def test_one_is_told_from_ten_by_what_comes_next() -> None:
    """Digits 0 to 9; token 10 is anything else. One chain, ("1",), holds both branches."""
    tree = AnswerTree.of(spelt(range(1, 11)), may_begin_another=True)
    assert tree.chain == (1,)
    assert tree.ends == {1: (0,)}
    p = np.full((1, 2, 11), 1e-12)
    p[0, 0, 1], p[0, 0, 9], p[0, 0, 10] = 0.6, 0.3, 0.1
    p[0, 1, 0], p[0, 1, 5], p[0, 1, 10] = 0.7, 0.1, 0.2  # 10; 15 is off the scale; 1 and the end
    found = dict(zip(tree.tokens, tree.probabilities([np.log(p)])[0], strict=True))
    assert found[10] == pytest.approx(0.6 * 0.7 / 0.9)
    assert found[1] == pytest.approx(0.6 * 0.3 / 0.9)
    assert found[9] == pytest.approx(0.3 / 0.9)


@pytest.mark.parametrize("lead", [(), (11, 12)])
def test_a_scale_of_many_digits_against_sampling_its_model(lead: tuple[int, ...]) -> None:
    """0 to 100 under a made-up model in which each token depends on all tokens before it."""
    tree = AnswerTree.of(spelt(range(101), lead), may_begin_another=True)
    assert len(tree.chains) == 9
    assert (*lead, 1, 0) in tree.chains

    def log_p(prefix: tuple[int, ...]) -> np.ndarray:
        rng = np.random.default_rng([97, *prefix])
        return np.log(rng.dirichlet(np.ones(13)))

    logits = [
        np.stack([log_p(chain[:size]) for size in range(len(chain) + 1)])[None]
        for chain in tree.chains
    ]
    found = dict(zip(tree.tokens, tree.probabilities(logits)[0], strict=True))
    assert sum(found.values()) == pytest.approx(1)

    def exact(number: int) -> float:
        """All ways to write the number and then something that does not go on to another."""
        ids = (*lead, *map(int, str(number)))
        p = np.exp(sum(log_p(ids[:at])[token] for at, token in enumerate(ids)))
        longer = {10 * number + digit for digit in range(10)} if number else set()
        goes_on = [one % 10 for one in longer if one <= 100]
        return float(p * (1 - np.exp(log_p(ids))[goes_on].sum()))

    total = sum(exact(number) for number in range(101))
    for number in range(101):
        assert found[number] == pytest.approx(exact(number) / total)


def test_log_probabilities_are_exact_for_any_logits() -> None:
    """Beyond what an exponential can hold, and in what a model computed in."""
    logits = np.array([[0.0, 1.0, 2.0], [-2000.0, 0.0, 2000.0], [5.0, 5.0, 5.0]])
    found = log_softmax(logits)
    assert found == pytest.approx(special.log_softmax(logits, axis=-1))
    assert np.isfinite(found).all()
    assert log_softmax(logits.astype(np.float16)).dtype == np.float64


def test_the_expected_score_is_a_mean_and_its_spread() -> None:
    p = np.array([[0.0, 0.25, 0.0, 0.75, 0.0]])
    mean, spread = expected_score(p, [1, 2, 3, 4, 5])
    assert mean[0] == pytest.approx(0.25 * 2 + 0.75 * 4)
    assert spread[0] == pytest.approx(np.sqrt(0.25 * 1.5**2 + 0.75 * 0.5**2))


def test_tokens_that_are_no_score_do_not_count() -> None:
    logits = np.full((1, 1, 10), -50.0)
    logits[0, 0, 2], logits[0, 0, 4] = np.log(0.25), np.log(0.75)
    logits[0, 0, 9] = 20.0
    tree = AnswerTree.of({value: [value] for value in range(1, 6)})
    assert expected_score(tree.probabilities([logits]), range(1, 6))[0][0] == pytest.approx(3.5)


def test_ten_is_more_than_nine() -> None:
    """Scores are numbers: `max(["9", "10"])` of a published script is "9"."""
    mean, _ = expected_score(np.array([[0.2, 0.8]]), [9, 10])
    assert mean[0] == pytest.approx(9.8)


def test_a_specification_travels_with_the_model(tmp_path: Path) -> None:
    DEFAULT.save(tmp_path)
    assert JudgeSpecification.load(tmp_path) == DEFAULT
    assert find(str(tmp_path)) == find("elsewhere", str(tmp_path / FILE)) == DEFAULT
    raw = json.loads((tmp_path / FILE).read_text())
    for is_chat in (True, False):
        (tmp_path / FILE).write_text(json.dumps({**raw, "is_chat": is_chat}))
        assert JudgeSpecification.load(tmp_path).is_chat is is_chat
    (tmp_path / FILE).write_text(json.dumps({"tasks": raw["tasks"]}))  # of before there was a chat
    assert JudgeSpecification.load(tmp_path) == replace(DEFAULT, is_chat=False)
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
        ("image_generation", {"reason_confidence": 1.0}, "1.0 is no probability below 1"),
        ("image_generation", {"score": "Score:"}, "needs {score} once"),
        ("video_generation", {"num_frames": 0}, "less than one"),
        ("image_generation", {"source": "before"}, "needs {source} once"),
        ("image_generation", {"source": "{source} {prompt}"}, "and no other slot"),
        ("image_understanding", {"source": "{source}"}, "is for image_generation alone"),
        ("image_generation", {"reason_confidence": -0.1}, "-0.1 is no probability below 1"),
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
