"""Contests of twins: who met whom, and how often either model is wrong."""

import math
from dataclasses import replace

import pytest

from factory.evaluation.contest import Result, errors, failures, results, sides, win_bound
from schemas.rows import Candidate, Duel, Group, Prompt, Score

JUDGE = "oracle@0"


def group(name: str, old: list[float], new: list[float]) -> Group:
    """A contest group whose candidates got these points; NaN is a score that could not be read."""
    candidates = [Candidate(f"{name} {at}", "g@0", at) for at in range(len(old) + len(new))]
    scores = [
        Score(one.candidate_id, JUDGE, value, 0.0, "unreadable" if math.isnan(value) else None)
        for one, value in zip(candidates, [*old, *new], strict=True)
    ]
    other = [Score(one.candidate_id, "judge@1", 1.0, 0.0) for one in candidates]
    return Group(Prompt.of(name), tuple(candidates), (*other, *scores))


def test_errors_are_counted_over_twins_that_could_both_be_judged():
    nan = math.nan
    found = errors(
        [
            group("a", [1.0, 5.0], [5.0, 5.0]),
            group("b", [3.0, 4.9], [3.0, 5.0]),
            group("c", [5.0, nan], [1.0, 1.0]),  # the second pair of twins is invalid
            group("d", [1.0], [5.0]),
        ],
        JUDGE,
        5.0,
    )
    # Champion: wrong in a1, b1, b2, d1 of 6; challenger: in b1, c1.
    assert (found.num, found.num_invalid) == (6, 1)
    assert found.champion.value == pytest.approx(4 / 6)
    assert found.challenger.value == pytest.approx(2 / 6)
    assert found.reduction.value == pytest.approx(0.5)
    assert found.reduction.low <= found.reduction.value <= found.reduction.high


def test_a_share_of_mended_errors_needs_errors():
    nan = math.nan
    perfect = errors([group(str(at), [5.0], [5.0]) for at in range(3)], JUDGE, 5.0)
    assert perfect.champion.value == 0.0
    assert math.isnan(perfect.reduction.value)
    unread = errors([group("a", [nan], [5.0])], JUDGE, 5.0)
    assert (unread.num, unread.num_invalid) == (0, 1)
    assert math.isnan(unread.champion.value)


def test_equal_models_mend_nothing_within_the_interval():
    groups = [group(str(at), [5.0 - at % 2], [5.0 - (at // 2) % 2]) for at in range(200)]
    found = errors(groups, JUDGE, 5.0)
    assert found.champion.value == found.challenger.value == 0.5
    assert found.reduction.low < 0.0 < found.reduction.high


def test_a_twin_is_won_by_the_duels_and_scores_of_one_judge():
    """The challenger's first twin wins, its second could not be read in either way."""
    met = group("a", [2.0, 3.0], [4.5, math.nan])
    (old, _), (new, _) = sides(met)
    ids = new.candidate_id, old.candidate_id
    duels = [Duel(*ids, JUDGE, 0.9, 0.1, 0.0), Duel(*ids[::-1], JUDGE, 0.2, 0.8, 0.0)]
    duels += [Duel(*ids, "judge@1", 0.1, 0.9, 0.0), Duel(*ids[::-1], "judge@1", 0.9, 0.1, 0.0)]
    first, second = results(
        Group(Prompt.of("a", tags={"k": "v"}), met.candidates, met.scores, tuple(duels)), JUDGE
    )
    assert (first.outcome, first.score_gain, first.tags) == ("first", 2.5, {"k": "v"})
    assert (second.outcome, math.isnan(second.score_gain)) == (None, True)


def failed(one: Candidate) -> Candidate:
    return replace(one, error="no end")


def test_failing_alone_is_a_loss_and_failing_both_is_a_tie():
    met = group("a", [5.0, 5.0, 5.0], [1.0, 1.0, 1.0])
    old, new = sides(met)
    candidates = (failed(old[0]), old[1], failed(old[2]), new[0], *map(failed, new[1:]))
    told = results(replace(met, candidates=candidates), JUDGE)
    assert [one.outcome for one in told] == ["first", "second", "tie"]
    assert [one.has_failed for one in told] == [(True, False), (False, True), (True, True)]
    found = errors([replace(met, candidates=candidates)], JUDGE, 5.0)
    assert (found.num, found.champion.value, found.challenger.value) == (3, pytest.approx(2 / 3), 1)
    counted = failures(told)
    assert (counted.champion.value, counted.excess.value, counted.num) == (
        pytest.approx(2 / 3),
        pytest.approx(0.0),
        3,
    )


def test_a_few_prompts_that_agree_promote_nobody():
    def bound(num: int, level: float) -> float:
        return win_bound([Result(f"p{at}", "first", 1.0) for at in range(num)], level).low

    assert bound(5, 0.025) == 0.0  # 1 of 32
    assert bound(6, 0.025) == 1.0
    assert bound(6, 0.001) == 0.0


def test_ties_do_not_make_evidence_of_a_few_wins():
    """Of five prompts that are no ties a fair coin gives all to one side in 1 of 32."""

    def bound(wins: int, losses: int, level: float) -> float:
        outcomes = ["first"] * wins + ["second"] * losses + ["tie"] * (240 - wins - losses)
        return win_bound([Result(f"p{at}", one, 0.0) for at, one in enumerate(outcomes)], level).low

    assert bound(5, 0, 0.025) == 0.5
    assert 0.5 < bound(6, 0, 0.025) < 0.51
    assert bound(7, 0, 0.0045) == 0.5  # 1 of 128
    assert bound(8, 0, 0.0045) > 0.5
    assert bound(0, 0, 0.025) == 0.5
    assert bound(2, 3, 0.025) < 0.5
