import math
from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.ranking.matchups import (
    MAX_LOGIT,
    is_readable,
    log_odds,
    matchup,
    matchups,
    meeting,
    score_of,
    slices,
)
from schemas.rows import Duel, Opinion, Score
from tests.factory.simulated import duel, unreadable


def probabilities():
    shares = st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda p: sum(p) > 0.01)
    return shares.map(lambda p: [one / sum(p) for one in p])


def test_a_position_bias_cancels():
    fair = matchup([duel("a", "b", 0.8), duel("b", "a", -0.8)], "a", "b")
    biased = matchup([duel("a", "b", 0.8 + 1.5), duel("b", "a", -0.8 + 1.5)], "a", "b")
    assert biased.logit == pytest.approx(fair.logit) == pytest.approx(0.8)
    assert (fair.logit_position, biased.logit_position) == pytest.approx((0, 1.5))
    assert (fair.is_flipped, fair.first_slot_rate) == (False, 0.5)
    assert (biased.is_flipped, biased.first_slot_rate) == (True, 1.0)


def test_the_probabilities_are_the_normalised_geometric_mean_of_both_orders():
    met = matchup(
        [Duel("a", "b", "j", 0.5, 0.3, 0.2), Duel("b", "a", "j", 0.1, 0.8, 0.1)], "a", "b"
    )
    weights = [math.sqrt(0.5 * 0.8), math.sqrt(0.3 * 0.1), math.sqrt(0.2 * 0.1)]
    assert (met.p_first, met.p_second, met.p_tie) == pytest.approx(
        tuple(weight / sum(weights) for weight in weights)
    )
    # The logit counts a tie half, in each order: (0.6 to 0.4), (0.85 to 0.15).
    assert met.logit == pytest.approx((math.log(0.6 / 0.4) + math.log(0.85 / 0.15)) / 2)
    assert met.preference == "first"


@given(probabilities(), probabilities())
def test_telling_it_from_the_other_side_changes_nothing(ahead, back):
    duels = [Duel("a", "b", "j", *ahead), Duel("b", "a", "j", *back)]
    met, told = matchup(duels, "a", "b"), matchup(duels, "b", "a")
    assert astuple(told.swap())[:2] == astuple(met)[:2]
    assert astuple(told.swap())[2:7] == pytest.approx(astuple(met)[2:7])
    assert (told.is_flipped, told.first_slot_rate) == (met.is_flipped, met.first_slot_rate)
    assert met.p_first + met.p_second + met.p_tie == pytest.approx(1)
    assert abs(met.logit) <= MAX_LOGIT
    assert met.is_flipped or met.first_slot_rate == 0.5


def test_a_tie_picks_neither_side():
    tie = matchup([duel("a", "b", 0, p_tie=0.6), duel("b", "a", 0, p_tie=0.6)], "a", "b")
    assert (tie.preference, tie.logit, tie.p_better) == ("tie", 0, 0.5)
    assert (tie.is_flipped, tie.first_slot_rate) == (False, 0.5)


def test_a_tie_in_one_order_only_is_a_flip_and_half_a_slot():
    met = matchup([duel("a", "b", 1.0), duel("b", "a", 0, p_tie=0.6)], "a", "b")
    assert (met.is_flipped, met.first_slot_rate) == (True, 0.75)


def test_opposite_and_equally_sure_orders_are_a_tie():
    met = matchup([duel("a", "b", 2.0), duel("b", "a", 2.0)], "a", "b")
    assert (met.preference, met.p_better, met.is_flipped) == ("tie", 0.5, True)


@pytest.mark.parametrize(
    "duels",
    [
        [],
        [duel("a", "b", 3)],
        [duel("a", "b", 3), duel("a", "b", 3)],
        [duel("a", "b", 3), unreadable("b", "a")],
        [duel("a", "b", 3), Duel("b", "a", "j", math.nan, math.nan, math.nan)],
        [duel("a", "b", 3), duel("b", "c", 3)],
    ],
)
def test_an_unreadable_or_missing_order_is_no_matchup(duels):
    assert matchup(duels, "a", "b") is None
    assert matchups(duels) == []


def test_certainty_is_clipped():
    certain = Duel("a", "b", "j", 1.0, 0.0, 0.0)
    assert log_odds(certain) == MAX_LOGIT
    assert log_odds(certain.swap()) == -MAX_LOGIT
    met = matchup([certain, certain.swap()], "a", "b")
    assert (met.logit, met.preference) == (MAX_LOGIT, "first")
    assert math.isfinite(met.p_first)


def test_several_duels_of_one_order_count_as_one():
    once = matchup([duel("a", "b", 2), duel("b", "a", 1)], "a", "b")
    often = matchup([*[duel("a", "b", 2)] * 5, duel("b", "a", 1)], "a", "b")
    assert (once.logit, often.logit) == pytest.approx((0.5, 0.5), abs=1e-4)


def test_matchups_finds_each_once_in_order_of_appearance():
    duels = [
        duel("c", "a", 1),
        duel("a", "b", 1),
        duel("a", "c", -1),
        duel("b", "a", -1),
        unreadable("b", "c"),
    ]
    assert [(one.first_id, one.second_id) for one in matchups(duels)] == [("c", "a"), ("a", "b")]


def test_readable_needs_three_numbers_and_no_error():
    assert is_readable(duel("a", "b", 0))
    assert not is_readable(unreadable("a", "b"))
    assert not is_readable(Duel("a", "b", "j", 0.5, 0.5, math.nan))
    assert not is_readable(Duel("a", "b", "j", 0.5, 0.3, 0.2, "timed out"))


def opinion(duels=(), scores=(), tags=None, task="image_generation"):
    return Opinion("l", "p", task, tags or {}, "j", "first", None, tuple(scores), tuple(duels))


def test_a_label_is_met_in_its_own_order():
    duels = duel("0", "1", 1.2), duel("1", "0", -0.8)
    assert meeting(opinion(duels)) == matchup(duels, "0", "1")
    assert meeting(opinion(duels)).logit == pytest.approx(1.0)
    assert meeting(opinion(duels[:1])) is None


def test_the_score_of_a_side_is_its_own_and_readable():
    first, second = Score("0", "j", 4.0, 0.5), Score("1", "j", 2.0, 0.5)
    both = opinion(scores=(first, second))
    assert (score_of(both, 0), score_of(both, 1)) == (first, second)
    assert score_of(opinion(scores=(first,)), 1) is None
    for unread in (Score("1", "j", math.nan, 0.5), Score("1", "j", 2.0, 0.5, "timed out")):
        assert score_of(opinion(scores=(first, unread)), 1) is None


def test_opinions_are_sliced_by_task_or_by_a_tag():
    north, none = opinion(tags={"region": "north"}), opinion(task="video_generation")
    assert slices([none, north]) == {"image_generation": [north], "video_generation": [none]}
    assert slices([north, none, north], "region") == {"": [none], "north": [north, north]}
