import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.matchups import matchup
from factory.ranking import Bracket, Noise, Pointwise, RandomPairs, fuse, strategy_of
from schemas.recipe import Rank
from tests.factory.simulated import SimulatedJudge, duel, score, unreadable

NOISE = Noise(score_sd=0.5, duel_sd=0.4, logits_per_point=2.0)


def scored(*values):
    return [score(f"c{index}", value) for index, value in enumerate(values)]


def play(strategy, scores, verdict):
    """Play a strategy to its end; `verdict(i, j)` is the log-odds for `i` shown first."""
    duels, rounds = [], []
    while matches := strategy.plan(scores, duels):
        rounds.append(matches)
        assert len(rounds) < 10, "the strategy does not come to an end"
        duels += [
            duel(scores[i].candidate_id, scores[j].candidate_id, verdict(i, j)) for i, j in matches
        ]
    return duels, rounds


# ---------------------------------------------------------------------------------------- fusion


def test_fusion_of_two_candidates_is_the_precision_weighted_mean():
    scores = scored(3.0, 2.0)
    order = fuse(scores, [duel("c0", "c1", 4.0), duel("c1", "c0", -4.0)], NOISE)
    by_scores, by_duel = 1 / (2 * 0.5**2), 1 / 0.4**2  # precisions of the difference
    assert order.margin(0, 1) == pytest.approx(
        (1.0 * by_scores + 2.0 * by_duel) / (by_scores + by_duel)
    )
    assert order.difference_sd(0, 1) == pytest.approx(1 / math.sqrt(by_scores + by_duel))
    # A duel says nothing about the level.
    assert sum(order.strengths) == pytest.approx(5.0)


def test_fusion_agrees_with_weighted_least_squares():
    rng = np.random.default_rng(0)
    values = rng.normal(size=6)
    matches = {(0, 1): 1.3, (1, 2): -0.4, (4, 5): 2.2, (0, 5): 3.0, (2, 4): 0.1}
    scores = scored(*values)
    duels = [
        one
        for (i, j), logit in matches.items()
        for one in (duel(f"c{i}", f"c{j}", logit), duel(f"c{j}", f"c{i}", -logit))
    ]
    design = np.vstack([np.eye(6), *[np.eye(6)[i] - np.eye(6)[j] for i, j in matches]])
    observed = np.concatenate([values, [logit / 2.0 for logit in matches.values()]])
    sds = np.array([0.5] * 6 + [0.4] * len(matches))
    wanted = np.linalg.lstsq(design / sds[:, None], observed / sds, rcond=None)[0]
    order = fuse(scores, duels, NOISE)
    assert order.strengths == pytest.approx(wanted)
    assert order.ranking == tuple(np.argsort(-wanted))


def test_the_standard_deviations_are_those_of_the_errors():
    rng = np.random.default_rng(1)
    judge = SimulatedJudge(rng, score_sd=0.5, duel_sd=0.4, logits_per_point=2.0)
    ids, standardised = [f"c{i}" for i in range(5)], []
    for _ in range(1500):
        quality = rng.normal(size=5) * 0.5
        duels = judge.duels(ids, quality, list(itertools.permutations(range(4), 2)))
        order = fuse(judge.scores(ids, quality), duels, NOISE)
        for i, j in ((0, 1), (0, 4)):
            error = order.margin(i, j) - (quality[i] - quality[j])
            standardised.append(error / order.difference_sd(i, j))
    # 3000 standard normal numbers: the sd of their sd is 0.013
    assert np.std(standardised) == pytest.approx(1.0, abs=0.05)


def test_a_position_bias_does_not_reach_the_order():
    scores = scored(3.0, 2.9, 1.0)
    fair = [duel("c0", "c1", 0.5), duel("c1", "c0", -0.5)]
    biased = [duel("c0", "c1", 0.5 + 1.0), duel("c1", "c0", -0.5 + 1.0)]
    assert fuse(scores, biased, NOISE).strengths == pytest.approx(
        fuse(scores, fair, NOISE).strengths
    )
    one_order = fuse(scores, biased[:1], NOISE)
    assert one_order.strengths == fuse(scores, (), NOISE).strengths


def test_an_unreadable_score_is_left_out_and_never_a_low_one():
    scores = [score("c0", 3.0), score("c1", math.nan, "no score"), score("c2", 2.0)]
    # A stale number beside an error counts as little as NaN does.
    scores += [score("c3", 0.0, "parse failure"), score("c4", math.nan)]
    duels = [duel("c0", "c1", -5), duel("c1", "c0", 5)]
    for strategy in (Bracket(2), Pointwise(), RandomPairs()):
        order = strategy.order(scores, duels)
        assert set(order.ranking) == {0, 2}
        assert order.candidate_ids == ("c0", "c1", "c2", "c3", "c4")
        assert all(math.isnan(order.strengths[index]) for index in (1, 3, 4))
    assert fuse(scores, duels, NOISE).strengths[0] == 3.0


def test_an_unreadable_duel_changes_nothing():
    scores = scored(3.0, 3.0)
    order = fuse(scores, [unreadable("c0", "c1"), unreadable("c1", "c0")], NOISE)
    assert order.margin(0, 1) == 0.0


@pytest.mark.parametrize("scores", [[], [score("c0", math.nan, "no")], scored(2.0)])
def test_groups_without_an_order(scores):
    for strategy in (Bracket(2), Pointwise(), RandomPairs()):
        assert strategy.plan(scores, []) == []
        assert len(strategy.order(scores, []).ranking) < 2


@given(st.permutations(range(6)))
def test_the_order_of_candidates_changes_nothing(permutation):
    values = [2.0, 3.5, 1.0, 4.0, 2.5, 3.0]
    duels = [duel("c1", "c3", 2.0), duel("c3", "c1", -2.0), duel("c0", "c2", 0.3)]
    wanted = fuse(scored(*values), duels, NOISE)
    order = fuse([score(f"c{i}", values[i]) for i in permutation], duels, NOISE)
    assert [order.candidate_ids[i] for i in order.ranking] == [
        wanted.candidate_ids[i] for i in wanted.ranking
    ]
    shuffled = {order.candidate_ids[i]: order.strengths[i] for i in order.ranking}
    assert [shuffled[f"c{i}"] for i in range(6)] == pytest.approx(wanted.strengths)


def test_equal_strengths_keep_the_order_of_the_group():
    assert fuse(scored(2.0, 2.0, 3.0, 2.0), [], NOISE).ranking == (2, 0, 1, 3)
    # Two times one candidate that beats three: equal only up to the last bits of the solver.
    duels = [
        one
        for best in (0, 4)
        for other in range(best + 1, best + 4)
        for one in (duel(f"c{best}", f"c{other}", 1.1), duel(f"c{other}", f"c{best}", -1.1))
    ]
    order = fuse(scored(*[2.1] * 8), duels, NOISE)
    assert len(set(order.strengths)) > 2
    assert order.ranking == (0, 4, 1, 2, 3, 5, 6, 7)


# --------------------------------------------------------------------------------------- bracket


def test_the_bracket_of_eight_costs_six_duels():
    scores = scored(5, 4, 3, 8, 1, 7, 6, 2)  # best 3 and 5, worst 7 and 4
    duels, rounds = play(Bracket(2), scores, lambda i, j: scores[i].value - scores[j].value)
    assert rounds == [[(3, 5), (5, 3), (7, 4), (4, 7)], [(3, 4), (4, 3)]]
    assert len(scores) + len(duels) == 8 + 2 + 2 + 2


def test_the_final_is_between_the_winner_of_the_top_and_the_loser_of_the_bottom():
    scores = scored(4.0, 3.9, 3.0, 2.1, 2.0)

    def upside_down(i, j):
        return 2.0 * (scores[j].value - scores[i].value) * 20

    _, rounds = play(Bracket(2), scores, upside_down)
    assert rounds[-1] == [(1, 3), (3, 1)]


def test_brackets_of_few_candidates_overlap_without_a_match_twice():
    scores = scored(3, 2, 1)
    _, rounds = play(Bracket(2), scores, lambda i, j: scores[i].value - scores[j].value)
    assert rounds == [[(0, 1), (1, 0), (1, 2), (2, 1)], [(0, 2), (2, 0)]]
    _, rounds = play(Bracket(2), scored(3, 2), lambda i, j: 1.0)
    assert rounds == [[(0, 1), (1, 0)]]
    _, rounds = play(Bracket(1), scored(3, 2, 1), lambda i, j: 0.0)
    assert rounds == [[(0, 2), (2, 0)]]


@given(
    st.lists(st.one_of(st.none(), st.integers(1, 5)), max_size=12),
    st.integers(1, 4),
    st.integers(0, 2**32),
)
@settings(deadline=None)
def test_a_bracket_ends_and_plays_every_match_once_in_both_orders(values, k, seed):
    scores = [
        score(f"c{i}", math.nan if value is None else value, "no" if value is None else None)
        for i, value in enumerate(values)
    ]
    rng = np.random.default_rng(seed)
    duels, rounds = play(Bracket(k), scores, lambda i, j: rng.normal() * 4)
    matches = [match for one in rounds for match in one]
    assert len(set(matches)) == len(matches)
    assert {(j, i) for i, j in matches} == set(matches)
    assert all(i != j for i, j in matches)
    assert all(values[i] is not None for match in matches for i in match)
    num_valid = sum(value is not None for value in values)
    if num_valid >= 2 * k:
        assert len(duels) == (2 * k * (k - 1) + 2 if num_valid > 2 or k == 1 else 2)


def test_unreadable_duels_are_not_asked_for_again():
    scores = scored(4, 3, 2, 1)
    duels = []
    for _ in range(2):
        duels += [unreadable(f"c{i}", f"c{j}") for i, j in Bracket(2).plan(scores, duels)]
    assert len(duels) == 6
    assert Bracket(2).plan(scores, duels) == []


def test_a_lost_final_thins_the_margin_and_keeps_the_finalists():
    scores = scored(5, 4, 3, 2, 1)

    def lost(i, j):
        """The first round goes by score; in the final the worst wins."""
        sign = -1 if {i, j} == {0, 4} else 1
        return sign * (scores[i].value - scores[j].value)

    strategy = Bracket(2, NOISE)
    duels, rounds = play(strategy, scores, lost)
    assert rounds[-1] == [(0, 4), (4, 0)]
    order = strategy.order(scores, duels)
    assert (order.ranking[0], order.ranking[-1]) == (0, 4)
    assert order.margin(0, 4) < 1 < strategy.order(scores, duels[:-2]).margin(0, 4)


def simulate(strategy, num_groups, rng):
    """The simulation that chose the bracket: for each group the true margin of best over worst,
    whether the two have met, and the number of judge calls."""
    judge = SimulatedJudge(rng, score_sd=0.8, duel_sd=0.5, item_sd=0.3, position=1.0)
    ids, margins, have_met, num_calls = [f"c{i}" for i in range(10)], [], [], set()
    for _ in range(num_groups):
        quality = rng.standard_normal(10)
        seen = judge.seen(quality)
        scores, duels = judge.scores(ids, seen), []
        while matches := strategy.plan(scores, duels):
            duels += judge.duels(ids, seen, matches)
        ranking = strategy.order(scores, duels).ranking
        best, worst = ranking[0], ranking[-1]
        margins.append(quality[best] - quality[worst])
        have_met.append(matchup(duels, ids[best], ids[worst]) is not None)
        num_calls.add(len(scores) + len(duels))
    return np.mean(margins), np.mean(have_met), num_calls


def test_duels_where_they_matter_make_better_pairs():
    noise = Noise(score_sd=0.8, duel_sd=0.5, logits_per_point=2.0)
    rng = np.random.default_rng(2)
    pointwise, _, num_pointwise = simulate(Pointwise(noise), 600, rng)
    bracket, has_met, num_bracket = simulate(Bracket(2, noise), 600, rng)
    assert (num_pointwise, num_bracket, has_met) == ({10}, {16}, 1.0)
    # Long runs give 2.33 and 2.65; the standard error of each is about 0.04 here.
    assert (pointwise, bracket) == (pytest.approx(2.33, abs=0.15), pytest.approx(2.65, abs=0.15))


# ------------------------------------------------------------------------------------- baselines


def test_pointwise_looks_at_scores_alone():
    scores = scored(2, 4, 3)
    assert Pointwise().plan(scores, []) == []
    order = Pointwise(NOISE).order(scores, [duel("c0", "c1", 9), duel("c1", "c0", -9)])
    assert order.ranking == (1, 2, 0)
    assert order.margin(1, 0) == pytest.approx(2.0)
    assert order.difference_sd(1, 0) == pytest.approx(0.5 * math.sqrt(2))


def test_random_order_depends_on_ids_alone_and_makes_no_claim():
    scores = scored(5, 4, 3, 2, 1)
    order = RandomPairs().order(scores, [])
    again = RandomPairs().order([score(one.candidate_id, 0.0) for one in scores[::-1]], [])
    assert [order.candidate_ids[i] for i in order.ranking] == [
        again.candidate_ids[i] for i in again.ranking
    ]
    assert math.isnan(order.margin(0, 1))
    assert math.isnan(order.difference_sd(0, 1))


def test_random_order_favours_no_place():
    places = [
        RandomPairs().order([score(f"{group}-{i}", i) for i in range(4)], []).ranking[0]
        for group in range(800)
    ]
    # 200 of each are expected, with a standard deviation of 12
    assert np.bincount(places, minlength=4) == pytest.approx([200] * 4, abs=60)


def test_the_recipe_names_the_strategy():
    rank = Rank(bracket_size=3, score_sd=0.1, duel_sd=0.2, logits_per_point=4)
    noise = Noise(0.1, 0.2, 4)
    assert strategy_of(rank) == Bracket(3, noise)
    assert strategy_of(rank.model_copy(update={"strategy": "pointwise"})) == Pointwise(noise)
    assert strategy_of(rank.model_copy(update={"strategy": "random"})) == RandomPairs()
