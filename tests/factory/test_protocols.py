"""A sitting is asked about some of its candidates, or, where it cannot be, about all."""

import math
from collections.abc import Sequence

import pytest

from factory.judging.by_scores import JudgeByScores, RaoKupper
from factory.judging.calibrated import CalibratedJudge
from factory.judging.calibration import Calibration
from factory.judging.criteria import CriteriaJudge
from factory.judging.signed import SignedJudge
from factory.protocols import Judge, scores_of
from factory.sandbox.planted_judge import PlantedJudge
from schemas.recipe import Criteria, Criterion
from schemas.rows import Candidate, Prompt, Score

PROMPT = Prompt.of("a mug")
CANDIDATES = [Candidate(name, "g@0", 0, answer=name) for name in "abc"]


class Counting:
    """Scores by place, and writes down about whom it was asked."""

    name = "counting@0"

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> "Counting":
        self.candidates = candidates
        return self

    def about(self, prompt: Prompt) -> "Counting":
        return self

    def scores(self, indices: Sequence[int] | None = None) -> list[Score]:
        wanted = list(range(len(self.candidates)) if indices is None else indices)
        self.asked.append(wanted)
        return [Score(self.candidates[at].candidate_id, self.name, at + 1.0, 0.0) for at in wanted]


class Whole(Counting):
    """One of somebody else's: it can only be asked about all."""

    def scores(self, verbose: bool = False) -> list[Score]:
        return super().scores()


def test_a_sitting_that_takes_no_indices_is_asked_about_all() -> None:
    judge, whole = Counting(), Whole()
    for one, asked in ((judge, [[2, 0]]), (whole, [[0, 1, 2]])):
        found = scores_of(one.sit(PROMPT, CANDIDATES), [2, 0])
        assert [score.candidate_id for score in found] == ["c", "a"]
        assert one.asked == asked
        assert len(scores_of(one.sit(PROMPT, CANDIDATES))) == 3


@pytest.mark.parametrize(
    "around",
    [
        lambda judge: SignedJudge(judge, "signed@1"),
        lambda judge: CalibratedJudge(judge, Calibration({})),
        lambda judge: CriteriaJudge(judge, Criteria(named=[Criterion(name="x", text="Sharp?")])),
        lambda judge: JudgeByScores(judge, {PROMPT.task: RaoKupper(1.0, 2.0)}),
        lambda judge: PlantedJudge(judge, score_sd=0.0, item_sd=0.0),
    ],
)
@pytest.mark.parametrize("kind", [Counting, Whole])
def test_a_judge_around_another_scores_some_as_it_scores_all(around, kind) -> None:
    judge: Judge = around(kind())
    every = judge.sit(PROMPT, CANDIDATES).scores()
    assert [score.value for score in every] == [1.0, 2.0, 3.0]
    some = judge.sit(PROMPT, CANDIDATES).scores([2, 0])
    assert some == [every[2], every[0]]


def test_a_judge_by_scores_asks_about_the_sides_of_its_duels_alone_and_once() -> None:
    judge = Counting()
    sitting = JudgeByScores(judge, {PROMPT.task: RaoKupper(1.0, 2.0)}).sit(PROMPT, CANDIDATES)
    duel, _ = sitting.duels([(2, 0), (0, 2)])
    assert (duel.first_id, duel.preference) == ("c", "first")
    assert not math.isnan(duel.p_tie)
    assert len(sitting.scores()) == 3
    assert judge.asked == [[0, 2], [1]]
