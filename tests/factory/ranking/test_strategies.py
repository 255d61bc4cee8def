"""Which duels are played, and what comes of them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.ranking import (
    Bracket,
    Duels,
    Pairwise,
    Paper,
    Pointwise,
    RandomPairs,
    Ring,
    RoundRobin,
    fuse,
    strategy_of,
)
from factory.ranking.matchups import matchup
from schemas.recipe import Rank
from tests.factory import simulated
from tests.factory.simulated import SimulatedJudge, constants, duel, score, unreadable

NOISE = constants(score_sd=0.5, duel_sd=0.4, logits_per_point=2.0)


def scored(*values):
    return [score(f"c{index}", value) for index, value in enumerate(values)]


#: Every strategy that a recipe can name.
EVERY = [
    Bracket(2, NOISE),
    Bracket(2, constants(fusion="davidson", quality_sd=1.0)),
    Paper(NOISE),
    Pointwise(NOISE),
    Pairwise(NOISE),
    Ring(2, NOISE),
    Ring(4, NOISE),
    RoundRobin(NOISE),
    RandomPairs(),
]
every_strategy = pytest.mark.parametrize("strategy", EVERY, ids=str)


def play(strategy, scores, verdict):
    """Play a strategy to its end; `verdict(i, j)` is the log-odds for `i` shown first."""
    ids = [one.candidate_id for one in scores]
    return simulated.play(
        strategy, scores, lambda matches: [duel(ids[i], ids[j], verdict(i, j)) for i, j in matches]
    )


def test_an_unreadable_score_is_left_out_and_never_a_low_one():
    scores = [score("c0", 3.0), score("c1", math.nan, "no score"), score("c2", 2.0)]
    # A stale number beside an error counts as little as NaN does.
    scores += [score("c3", 0.0, "parse failure"), score("c4", math.nan)]
    duels = [duel("c0", "c1", -5), duel("c1", "c0", 5)]
    for strategy in EVERY:
        met, _ = play(strategy, scores, lambda i, j: scores[i].value - scores[j].value)
        order = strategy.order(scores, [*duels, *met])
        assert set(order.ranking) == {0, 2}
        assert order.candidate_ids == ("c0", "c1", "c2", "c3", "c4")
        assert all(math.isnan(order.strengths[index]) for index in (1, 3, 4))
    assert fuse(scores, duels, NOISE).strengths[0] == 3.0


@pytest.mark.parametrize("scores", [[], [score("c0", math.nan, "no")], scored(2.0)])
def test_groups_without_an_order(scores):
    for strategy in EVERY:
        assert strategy.plan(scores, []) == []
        assert len(strategy.order(scores, []).ranking) < 2


@every_strategy
@given(st.permutations(range(7)), st.integers(0, 2**32))
@settings(max_examples=20)
def test_the_place_in_the_group_changes_nothing(strategy, permutation, seed):
    """The same candidates in another order: the same matches by id, and the same order of ids.
    Scores are whole points, so that there are ties."""
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 5, 7)
    logits = rng.normal(size=(7, 7)) * 2

    def ranked(places):
        scores = [score(f"c{place}", float(values[place])) for place in places]
        duels, _ = play(strategy, scores, lambda i, j: logits[places[i], places[j]])
        order = strategy.order(scores, duels)
        strengths = dict(zip(order.candidate_ids, order.strengths, strict=True))
        played = {(one.first_id, one.second_id) for one in duels}
        return [order.candidate_ids[index] for index in order.ranking], strengths, played

    ranking, strengths, played = ranked(range(7))
    assert ranked(permutation)[0] == ranking
    assert ranked(permutation)[1] == pytest.approx(strengths, nan_ok=True)
    assert ranked(permutation)[2] == played


@pytest.mark.parametrize("strategy", [Bracket(2), Ring(2), Ring(4), RoundRobin()], ids=str)
@pytest.mark.parametrize("num", range(2, 8))
def test_every_match_is_played_once_in_each_order(strategy, num):
    duels, _ = play(strategy, scored(*range(num)), lambda i, j: float(i - j))
    shown = [(one.first_id, one.second_id) for one in duels]
    assert len(set(shown)) == len(shown) > 0
    assert {(second, first) for first, second in shown} == set(shown)
    assert all(first != second for first, second in shown)


@pytest.mark.parametrize(
    ("strategy", "num_forwards", "num_plans"),
    [
        (Pointwise(), 10, 0),
        (RandomPairs(), 10, 0),
        (Paper(), 15, 1),
        (Pairwise(), 15, 1),
        (Bracket(2), 16, 2),
        (Bracket(3), 24, 2),
        (Ring(2), 30, 1),
        (Ring(4), 50, 1),
        (RoundRobin(), 100, 1),
    ],
    ids=str,
)
def test_what_ten_candidates_cost(strategy, num_forwards, num_plans):
    scores = scored(*range(10))
    duels, plans = play(strategy, scores, lambda i, j: 2.0 * (i - j))
    assert (len(scores) + len(duels), len(plans)) == (num_forwards, num_plans)
    # A judge without noise: every strategy that looks at both finds the best and the worst.
    if not isinstance(strategy, RandomPairs | Pairwise):
        ranking = strategy.order(scores, duels).ranking
        assert (ranking[0], ranking[-1]) == (9, 0)


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
        ranking = Bracket(k).order(scores, duels).ranking
        has_met = {ranking[0], ranking[-1]} in [set(match) for match in rounds[0]]
        is_final_due = k == 1 or not has_met  # equal scores: both may come from one bracket
        assert len(duels) == (2 * k * (k - 1) + 2 if is_final_due else 2 * k * (k - 1))


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
        scores = judge.scores(ids, seen)
        duels, _ = simulated.play(
            strategy, scores, lambda matches, seen=seen: judge.duels(ids, seen, matches)
        )
        ranking = strategy.order(scores, duels).ranking
        best, worst = ranking[0], ranking[-1]
        margins.append(quality[best] - quality[worst])
        have_met.append(matchup(duels, ids[best], ids[worst]) is not None)
        num_calls.add(len(scores) + len(duels))
    return np.mean(margins), np.mean(have_met), num_calls


def test_duels_where_they_matter_make_better_pairs():
    noise = constants(score_sd=0.8, duel_sd=0.5, logits_per_point=2.0)
    rng = np.random.default_rng(2)
    pointwise, _, num_pointwise = simulate(Pointwise(noise), 600, rng)
    bracket, has_met, num_bracket = simulate(Bracket(2, noise), 600, rng)
    assert (num_pointwise, num_bracket, has_met) == ({10}, {16}, 1.0)
    # Long runs give 2.33 and 2.65; the standard error of each is about 0.04 here.
    assert (pointwise, bracket) == (pytest.approx(2.33, abs=0.15), pytest.approx(2.65, abs=0.15))


def test_a_ring_joins_neighbours_by_score():
    scores = scored(2.0, 5.0, 1.0, 4.0, 3.0)  # by score: 1 3 4 0 2
    _, ((*matches,),) = play(Ring(2), scores, lambda i, j: 0.0)
    assert matches[::2] == [(1, 3), (3, 4), (4, 0), (0, 2), (2, 1)]
    assert matches[1::2] == [(j, i) for i, j in matches[::2]]
    _, ((*wider,),) = play(Ring(4), scores, lambda i, j: 0.0)
    assert wider[10::2] == [(1, 4), (3, 0), (4, 2), (0, 1), (2, 3)]


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


def test_duels_alone_ask_for_no_scores_and_order_all_that_met():
    unasked = [score(f"c{at}", math.nan) for at in range(3)] + [score("c3", math.nan, "not drawn")]
    met, _ = play(Duels(NOISE), unasked, lambda i, j: 2.0 * (j - i))
    assert len(met) == 6  # both orders of three
    order = Duels(NOISE).order(unasked, met)
    assert [order.candidate_ids[at] for at in order.ranking] == ["c0", "c1", "c2"]


def test_the_recipe_names_the_strategy():
    rank = Rank(
        bracket_size=3, ring_degree=4, score_sd=0.1, duel_sd=0.2, logits_per_point=4, p_tie=0.3
    )
    noise = constants(0.1, 0.2, 4, math.inf, "least_squares", 0.3)
    assert strategy_of(rank) == Bracket(3, noise)
    named = {
        "paper": Paper(noise),
        "pointwise": Pointwise(noise),
        "pairwise": Pairwise(noise),
        "ring": Ring(4, noise),
        "round_robin": RoundRobin(noise),
        "duels": Duels(noise),
        "random": RandomPairs(),
    }
    for name, strategy in named.items():
        assert strategy_of(rank.model_copy(update={"strategy": name})) == strategy
    trusted = rank.model_copy(update={"fusion": "davidson", "quality_sd": 0.8})
    assert strategy_of(trusted) == Bracket(3, constants(0.1, 0.2, 4, 0.8, "davidson", 0.3))
