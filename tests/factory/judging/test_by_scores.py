"""Verdicts that follow from scores: Rao and Kupper's rule, its fit, and a judge without duels."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from factory.judging import by_scores
from factory.judging.by_scores import JudgeByScores, RaoKupper, RulesError, met_with_scores
from schemas.rows import Candidate, Duel, Prompt, Score


def test_the_rule_is_rao_and_kuppers() -> None:
    slope, k = 2.0, 3.0
    p = RaoKupper(slope, k).probabilities(np.array([0.5, 0.0, -0.5]))
    e = math.exp(slope * 0.5)
    assert p[0] == pytest.approx([e / (e + k), 1 / (1 + k * e), 1 - e / (e + k) - 1 / (1 + k * e)])
    assert p[1, 2] == pytest.approx((k - 1) / (k + 1))
    assert p[2].tolist() == pytest.approx([p[0, 1], p[0, 0], p[0, 2]])
    assert p.sum(axis=1) == pytest.approx([1, 1, 1])


def test_the_fit_finds_the_rule_that_made_the_verdicts() -> None:
    differences = np.random.default_rng(0).normal(size=300)
    for rule in (RaoKupper(2.5, 1.8), RaoKupper(0.4, 6.0)):
        found = by_scores.fit(differences, rule.probabilities(differences))
        assert found.slope == pytest.approx(rule.slope, rel=0.01)
        assert found.tie_odds == pytest.approx(rule.tie_odds, rel=0.01)


@pytest.mark.parametrize("differences", [[], [math.nan]])
def test_nothing_is_fitted_to_nothing(differences: list[float]) -> None:
    with pytest.raises(RulesError, match="one duel or more, of finite numbers"):
        by_scores.fit(differences, [(0.5, 0.3, 0.2)] * len(differences))


def test_duels_are_matched_with_the_scores_of_their_sides() -> None:
    scores = [
        Score("a", "j@1", 4.0, 0),
        Score("b", "j@1", 2.5, 0),
        Score("c", "j@1", 0, 0, "broken"),
    ]
    both = [Duel("a", "b", "j@1", 0.7, 0.2, 0.1), Duel("b", "a", "j@1", 0.2, 0.7, 0.1)]
    alone = [Duel("b", "a", "j@1", 0.2, 0.7, 0.1)]
    unscored = [Duel("a", "c", "j@1", 0.7, 0.2, 0.1), Duel("c", "a", "j@1", 0.2, 0.7, 0.1)]
    ((met, difference),) = met_with_scores(scores, [*both, *unscored])
    assert (met.first_id, met.second_id, met.p_first) == ("a", "b", pytest.approx(0.7))
    assert difference == 1.5
    assert met_with_scores(scores, alone) == []


def test_the_rules_lie_beside_the_weights(tmp_path: Path) -> None:
    assert by_scores.load(tmp_path) is None
    rules = {"image_generation": RaoKupper(2.0, 1.5), "video_generation": RaoKupper(1.0, 5.0)}
    by_scores.save(rules, tmp_path)
    assert by_scores.load(tmp_path) == rules
    (tmp_path / by_scores.FILE).write_text('{"image_generation": {"slope": 2}}')
    with pytest.raises(RulesError, match=r"verdict_rules\.json: no rules"):
        by_scores.load(tmp_path)


@dataclass
class Counting:
    """A judge whose scores are given; it counts how often it is asked, and cannot duel."""

    values: tuple[float, ...]
    name: str = "counting@1"
    num_asked: int = 0

    def sit(self, prompt: Prompt, candidates: object) -> "Counting":
        return self

    def about(self, prompt: Prompt) -> "Counting":
        return self

    def scores(self) -> list[Score]:
        self.num_asked += 1
        return [
            Score(str(at), self.name, value, 0.1, None if value == value else "broken media")
            for at, value in enumerate(self.values)
        ]

    def duels(self, matches: object) -> list[Duel]:
        raise AssertionError("its duels are not asked for")


def test_such_a_judge_scores_once_and_its_verdicts_know_no_order() -> None:
    judge = Counting((4.0, 2.0, math.nan))
    rule = RaoKupper(1.5, 2.0)
    candidates = [Candidate(str(at), "g@0", 0) for at in range(3)]
    sitting = JudgeByScores(judge, {"image_generation": rule}).sit(Prompt.of("a"), candidates)
    first, second, broken = sitting.duels([(0, 1), (1, 0), (1, 2)])
    assert [one.value for one in sitting.scores()][:2] == [4.0, 2.0]
    assert judge.num_asked == 1
    wanted = rule.probabilities(np.array([2.0]))[0]
    assert (first.p_first, first.p_second, first.p_tie) == pytest.approx(tuple(wanted))
    assert first == second.swap()
    assert first.preference == "first"
    assert broken.error == "broken media"
    assert math.isnan(broken.p_first)
    assert sitting.duels([]) == []
    assert sitting.about(Prompt.of("b")).duels([(0, 1)]) == [first]


def test_a_task_that_it_was_not_made_for_is_named() -> None:
    judge = JudgeByScores(Counting((1.0,)), {"image_generation": RaoKupper(1, 2)})
    with pytest.raises(RulesError, match="made for image_generation, not for video_generation"):
        judge.sit(Prompt.of("a", "video_generation"), [])
