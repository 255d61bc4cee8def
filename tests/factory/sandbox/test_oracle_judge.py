"""The oracle behind the judge's protocol: the truth in all four tasks, marks where it has none."""

import math
from dataclasses import replace

import pytest

from factory.media.pictures import encode_png
from factory.sandbox.drawing import draw
from factory.sandbox.four_tasks import drawn_cases, see
from factory.sandbox.oracle_judge import FULL, TIE, OracleJudge
from factory.sandbox.questions import QuestionError
from factory.sandbox.world import caption, sample_scene
from schemas.rows import Candidate, Media, Prompt

DRAWN = ("video_generation", "image_understanding", "video_understanding")


def candidates(sides):
    return [Candidate(str(at), "g@0", at, one.media, one.answer) for at, one in enumerate(sides)]


@pytest.mark.parametrize("task", DRAWN)
def test_scores_and_verdicts_are_what_the_oracle_sees(task):
    num_decided = 0
    for prompt, sides in drawn_cases(task, 9, 3, seed=3):
        truth = [see(prompt, side).quality for side in sides]
        sitting = OracleJudge().sit(prompt, candidates(sides))
        assert [one.value for one in sitting.scores()] == [1 + 4 * one for one in truth]
        first, back = sitting.duels([(0, 1), (1, 0)])
        assert back == replace(first.swap())
        lead = truth[0] - truth[1]
        wanted = "tie" if abs(lead) < TIE else "first" if lead > 0 else "second"
        assert first.preference == wanted
        num_decided += wanted != "tie"
    assert num_decided >= 3


def test_a_right_answer_has_full_marks_and_no_other():
    for prompt, sides in drawn_cases("image_understanding", 8, 4, seed=4):
        values = [one.value for one in OracleJudge().sit(prompt, candidates(sides)).scores()]
        assert sum(one == FULL for one in values) == 1


def test_what_cannot_be_measured_is_marked():
    import random

    scene = sample_scene(random.Random(0))
    prompt = Prompt.of(caption(scene))
    good = Media(encode_png(draw(scene, random.Random(0))), 32, 32)
    shown = [
        Candidate("0", "g@0", 0, good),
        Candidate("1", "g@0", 1, Media(b"no picture", 32, 32)),
        Candidate("2", "g@0", 2),
        Candidate("3", "g@0", 3, error="out of memory"),
        Candidate("4", "g@0", 4, answer="red"),  # of another task
    ]
    sitting = OracleJudge().sit(prompt, shown)
    errors = [one.error for one in sitting.scores()]
    assert errors[0] is None
    assert "broken media" in errors[1]
    assert errors[2:] == ["no media", "not generated: out of memory", "no media"]
    assert all(math.isnan(one.value) for one in sitting.scores()[1:])
    assert sitting.duels([(0, 1)])[0].error == errors[1]


def test_a_question_of_another_world_is_refused():
    (prompt, sides), *_ = drawn_cases("image_understanding", 1, 2, seed=1)
    strange = replace(prompt, text="why is it so ?")
    with pytest.raises(QuestionError, match="not a sandbox question"):
        OracleJudge().sit(strange, candidates(sides))
