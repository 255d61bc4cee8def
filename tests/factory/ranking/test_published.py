"""The published construction, and the defects of its scripts that are not repeated."""

import math

import numpy as np
import pytest

from factory.curation.curator import Curator
from factory.filters import ThinMargin
from factory.ranking import Pairwise, Paper
from schemas.rows import Duel, Group, Prompt
from tests.factory.simulated import (
    JUDGE,
    SimulatedJudge,
    candidates_of,
    constants,
    duel,
    score,
    unreadable,
)
from tests.factory.simulated import play as play_out

NOISE = constants(score_sd=0.5, duel_sd=0.4, logits_per_point=2.0)


def scored(*values):
    return [score(f"c{index}", value) for index, value in enumerate(values)]


def matches_of(scores):
    return Paper().plan(scores, [])


def winning(scores, winners, logit=3.0):
    """Each planned duel, won by whichever side is in `winners`."""
    ids = [one.candidate_id for one in scores]
    return [duel(ids[i], ids[j], logit if i in winners else -logit) for i, j in matches_of(scores)]


@pytest.mark.parametrize("num", [2, 5, 10])
def test_half_as_many_disjoint_duels_in_one_order(num):
    matches = matches_of(scored(*range(num)))
    assert len(matches) == num // 2
    assert len({index for match in matches for index in match}) == 2 * (num // 2)
    assert Paper().plan(scored(*range(num)), winning(scored(*range(num)), {0})) == []


def test_no_place_is_shown_first_more_often():
    firsts = np.zeros(4)
    for group in range(800):
        for first, _ in Paper().plan([score(f"{group}-{i}", 3.0) for i in range(4)], []):
            firsts[first] += 1
    # 400 of each are expected, with a standard deviation of 14.
    assert firsts == pytest.approx([400] * 4, abs=70)


def test_the_best_winner_against_the_worst_loser():
    scores = scored(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    (a, b), (c, d), (e, f) = matches_of(scores)
    values = {index: scores[index].value for index in (a, b, c, d, e, f)}
    order = Paper(NOISE).order(scores, winning(scores, {a, d, e}))
    winners = sorted((a, d, e), key=values.__getitem__, reverse=True)
    losers = sorted((b, c, f), key=values.__getitem__, reverse=True)
    assert order.ranking == (*winners, *losers)
    assert order.margin(winners[0], losers[-1]) == values[winners[0]] - values[losers[-1]]


@pytest.mark.parametrize("strategy", [Paper(NOISE), Pairwise(NOISE)], ids=str)
def test_a_tie_or_an_unreadable_verdict_makes_neither_side_a_winner(strategy):
    """Published scripts keep whichever is shown first."""
    scores = scored(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    ids = [one.candidate_id for one in scores]
    (a, b), (c, d), (e, f) = matches_of(scores)
    duels = [
        Duel(ids[a], ids[b], JUDGE, 0.25, 0.15, 0.6),
        unreadable(ids[c], ids[d]),
        duel(ids[e], ids[f], -2.0),
    ]
    assert strategy.plan(scores, duels) == []
    assert strategy.order(scores, duels).ranking == (f, e)
    assert strategy.order(scores, duels[:2]).ranking == ()


@pytest.mark.parametrize("strategy", [Paper(NOISE), Pairwise(NOISE)], ids=str)
def test_a_prompt_without_a_winner_is_marked_and_not_dropped(strategy):
    candidates = candidates_of(Prompt.of("a red circle"), 2)
    scores = tuple(score(one.candidate_id, 3.0) for one in candidates)
    group = Group(Prompt.of("a red circle"), candidates, scores)
    (pair,) = Curator(strategy, ())(group)
    assert pair.verdict == "invalid"
    assert pair.objections == ("no duel with a winner: 2 of 2 could be judged",)


def test_a_prompt_whose_winner_has_the_lower_score_is_objected_to():
    candidates = candidates_of(Prompt.of("a red circle"), 2)
    scores = [score(candidates[0].candidate_id, 4.0), score(candidates[1].candidate_id, 2.0)]
    group = Group(Prompt.of("a red circle"), candidates, tuple(scores), tuple(winning(scores, {1})))
    (pair,) = Curator(Paper(NOISE), (ThinMargin(0.0),))(group)
    assert (pair.verdict, pair.margin) == ("rejected", -2.0)


def test_pairwise_takes_the_clearest_duel_whatever_the_scores():
    scores = scored(6.0, 5.0, 4.0, 3.0, 2.0, 1.0)
    ids = [one.candidate_id for one in scores]
    (a, b), (c, d), (e, f) = matches_of(scores)
    duels = [duel(ids[i], ids[j], lead) for i, j, lead in ((a, b, 1), (c, d, -4), (e, f, 2))]
    order = Pairwise(NOISE).order(scores, duels)
    assert order.ranking == (d, e, a, b, f, c)
    assert order.margin(d, c) == pytest.approx(4 / 2.0, rel=1e-3)
    assert order.difference_sd(d, c) == pytest.approx(0.4)
    # Two that did not meet: half a difference of each duel, with independent errors.
    assert order.difference_sd(d, e) == pytest.approx(math.sqrt(0.4**2 / 2))


def test_one_order_lets_a_position_bias_through():
    """The reason why no other strategy plays one order only."""
    rng = np.random.default_rng(0)
    fair, biased = (
        SimulatedJudge(rng, score_sd=0.8, duel_sd=0.5, position=position) for position in (0.0, 6.0)
    )
    ids = [f"c{index}" for index in range(10)]

    def first_wins(judge):
        won, num = 0, 0
        for _ in range(60):
            quality = rng.standard_normal(10)
            duels, _ = play_out(
                Paper(NOISE),
                judge.scores(ids, quality),
                lambda matches, quality=quality: judge.duels(ids, quality, matches),
            )
            won += sum(one.preference == "first" for one in duels)
            num += len(duels)
        return won / num

    assert first_wins(fair) == pytest.approx(0.5, abs=0.12)
    assert first_wins(biased) > 0.9
