import random

import pytest

from actors.sandbox.tokenizer import UNK, build_tokenizer
from factory.sandbox.questions import (
    QuestionError,
    ask,
    check_answer,
    correctness,
    facts,
    wrong_facts,
)
from factory.sandbox.world import parse, sample_scene

SCENE = parse(
    "a small red circle at the top left and a large blue cross at the bottom right "
    "on a grey background moving left slowly"
)


def questions(num=200):
    for seed in range(num):
        rng = random.Random(seed)
        scene = sample_scene(rng, moving=seed % 2 == 0)
        yield scene, ask(scene, rng)


def test_each_answer_is_as_right_as_the_question_says():
    for scene, question in questions():
        assert question.answers[0].correctness == 1.0
        for answer in question.answers:
            right = check_answer(scene, question.text, answer.text)
            assert correctness(right) == pytest.approx(answer.correctness)
            assert len(wrong_facts(scene, question.text, answer.text)) == right.count(False)
        assert len({answer.text for answer in question.answers}) == len(question.answers)


@pytest.mark.parametrize(
    ("moving", "background", "direction", "motion"),
    [(False, 1 / 6, 0.0, 0.0), (True, 1 / 9, 1 / 9, 2 / 9)],
)
def test_kinds_of_questions_have_their_shares(moving, background, direction, motion):
    """What cannot be asked of a scene gives way to a count, which every scene has."""
    asked = []
    for seed in range(1500):
        rng = random.Random(seed)
        asked.append(ask(sample_scene(rng, moving=moving), rng, num_answers=1).text)
    for text, share in (
        ("what colour is the background ?", background),
        ("which direction is it moving ?", direction),
        ("how is it moving ?", motion),
    ):
        assert asked.count(text) / len(asked) == pytest.approx(share, abs=0.03)
    num = len(asked) / (9 if moving else 6)
    assert num < asked.count("how many things are there ?") < 2.5 * num
    assert sum(text.startswith("which thing is at the") for text in asked) > num
    assert sum(text.startswith("what shape is the") for text in asked) > 0.5 * num


def test_facts_are_read_back_from_the_question():
    asked = "which thing is at the bottom right ?"
    assert [one.truth for one in facts(SCENE, asked)] == ["large", "blue", "cross"]
    assert wrong_facts(SCENE, asked, "large red circle") == [
        "it should be blue",
        "it should be a cross",
    ]
    assert check_answer(SCENE, asked, "large") == (True, False, False)
    assert wrong_facts(SCENE, "how is it moving ?", "left fast") == ["it should be moving slowly"]
    assert wrong_facts(SCENE, "how many things are there ?", "one") == [
        "there should be two things"
    ]


@pytest.mark.parametrize(
    "text", ["what colour is the square ?", "who is there ?", "which thing is at the center ?"]
)
def test_what_cannot_be_asked_of_the_scene_is_refused(text):
    with pytest.raises(QuestionError):
        facts(SCENE, text)


def test_questions_answers_and_corrections_keep_to_the_vocabulary():
    tokenizer = build_tokenizer(256, closed=False)
    unknown = tokenizer.convert_tokens_to_ids(UNK)
    for scene, question in questions():
        for answer in question.answers:
            told = wrong_facts(scene, question.text, answer.text)
            for text in (question.text, answer.text, *told):
                assert unknown not in tokenizer(text).input_ids, text
