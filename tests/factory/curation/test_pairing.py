import itertools
import math
from collections import Counter
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.curation.pairing import Pairing, invalid_pair, pairing_of, why_no_pair
from factory.curation.pairing import pair_of as make_pair
from factory.filters.objection import judge_pair
from factory.filters.pictures import BrokenMedia
from factory.ranking import Bracket, Pointwise, RandomPairs, fuse
from schemas.recipe import Curate
from schemas.rows import Group, Prompt, Task, content_id
from tests.factory.simulated import (
    JUDGE,
    SimulatedJudge,
    candidates_of,
    constants,
    duel,
    score,
    unreadable,
)

PROMPT = Prompt.of("a red circle")
CANDIDATES = candidates_of(PROMPT, 4)
A, B, C, D = (one.candidate_id for one in CANDIDATES)
NOISE = constants(0.5, 0.5, 2.0)


def group(scores, duels=(), candidates=CANDIDATES):
    return Group(PROMPT, candidates, tuple(scores), tuple(duels))


def pair_of(judged, strategy=None):
    strategy = strategy or Bracket(2, NOISE)
    pairs = Pairing()(judged, strategy.order(judged.scores, judged.duels))
    return pairs[0] if pairs else None


def test_best_against_worst_with_all_that_an_auditor_asks_for():
    scores = [score(A, 2.0), score(B, 4.5), score(C, 1.0), score(D, 3.0)]
    judged = group(scores, [duel(B, C, 3.0), duel(C, B, -2.0)])
    pair = pair_of(judged)
    assert (pair.chosen.candidate_id, pair.rejected.candidate_id) == (B, C)
    assert pair.pair_id == content_id("pair", PROMPT.prompt_id, B, C)
    assert (pair.judge, pair.verdict, pair.objections) == (JUDGE, "kept", ())
    assert pair.score_margin == 3.5
    assert pair.p_chosen == pytest.approx(1 / (1 + math.exp(-2.5)), abs=1e-5)
    assert not pair.is_flipped
    # Scores say 3.5 with a variance of 0.5, the duel 1.25 with a variance of 0.25.
    assert pair.margin == pytest.approx((3.5 / 0.5 + 1.25 / 0.25) / (1 / 0.5 + 1 / 0.25), abs=1e-4)
    assert pair.margin_sd == pytest.approx(1 / math.sqrt(1 / 0.5 + 1 / 0.25))


def test_the_better_side_is_chosen_wherever_it_stands():
    rng = np.random.default_rng(0)
    for number in range(50):
        quality = rng.permutation([0.0, 1.0, 2.0, 3.0])
        judged = SimulatedJudge(rng, position=2.0).judge(number, quality)
        pair = pair_of(judged)
        assert pair.chosen == judged.candidates[int(np.argmax(quality))]
        assert pair.rejected == judged.candidates[int(np.argmin(quality))]


def test_a_pair_that_never_met_has_no_probability():
    pair = pair_of(group([score(A, 2), score(B, 4)]), Pointwise(NOISE))
    assert math.isnan(pair.p_chosen)
    assert not pair.is_flipped


def test_an_unreadable_duel_never_makes_a_winner():
    """Published scripts keep the first item as chosen where the verdict cannot be read."""
    scores = [score(A, 3.0), score(B, 3.0)]
    for duels in ([unreadable(A, B), unreadable(B, A)], [duel(A, B, 5.0), unreadable(B, A)]):
        pair = pair_of(group(scores, duels))
        assert pair.margin == 0.0
        assert math.isnan(pair.p_chosen)


def test_a_tie_never_makes_a_winner():
    duels = [duel(A, B, 0.0, p_tie=0.9), duel(B, A, 0.0, p_tie=0.9)]
    pair = pair_of(group([score(A, 3.0), score(B, 3.0)], duels))
    assert (pair.margin, pair.p_chosen, pair.score_margin) == (0.0, 0.5, 0.0)


def test_a_candidate_without_a_score_is_never_the_rejected_one():
    """Published scripts read a parse failure as 0, and the broken output is rejected."""
    scores = [score(A, 4), score(B, math.nan, "no number"), score(C, 2), score(D, 0, "timeout")]
    pair = pair_of(group(scores))
    assert (pair.chosen.candidate_id, pair.rejected.candidate_id) == (A, C)


@pytest.mark.parametrize("num_scored", [0, 1])
def test_too_few_candidates_leave_an_invalid_record(num_scored):
    scores = [
        score(one, 3.0) if index < num_scored else score(one, math.nan, "no media")
        for index, one in enumerate((A, B, C, D))
    ]
    judged = group(scores)
    for strategy in (Bracket(2, NOISE), Pointwise(NOISE), RandomPairs()):
        assert pair_of(judged, strategy) is None
    reason = why_no_pair(judged)
    assert reason == (
        f"too few candidates: {num_scored} of 4 could be judged; first error: no media"
    )
    record = invalid_pair(judged, reason)
    assert (record.verdict, record.objections, record.prompt) == ("invalid", (reason,), PROMPT)
    assert record.pair_id == invalid_pair(judged, reason).pair_id


def test_an_invalid_record_shows_nothing_to_train_on():
    record = invalid_pair(group([]), "no group: out of memory")
    for side in (record.chosen, record.rejected):
        assert (side.media, side.answer) == (None, None)
        assert side.error == "no group: out of memory"
    assert record.chosen.candidate_id != record.rejected.candidate_id
    other = invalid_pair(replace(group([]), prompt=Prompt.of("another")), "no group: out of memory")
    assert other.pair_id != record.pair_id


def test_why_no_pair_names_the_error_of_the_group_first():
    assert why_no_pair(replace(group([]), error="judge crashed")) == "no group: judge crashed"
    assert why_no_pair(group([])) == "too few candidates: 0 of 4 could be judged"
    broken = tuple(replace(one, error="out of memory") for one in CANDIDATES)
    assert why_no_pair(group([], candidates=broken)).endswith("first error: out of memory")


def test_an_order_of_other_candidates_is_refused():
    order = fuse([score("x", 1.0), score("y", 2.0)], [], NOISE)
    with pytest.raises(ValueError, match="not of the candidates"):
        make_pair(group([score(A, 1), score(B, 2)]), order, 0, 1)


# ----------------------------------------------------------------------------------------- modes

EIGHT = candidates_of(PROMPT, 8)
NUMBER = {one.candidate_id: number for number, one in enumerate(EIGHT)}


def sides(values, pairing, strategy=None):
    """The pairs of candidates with these scores, as (chosen, rejected) numbers, and the pairs."""
    scores = [score(one.candidate_id, value) for one, value in zip(EIGHT, values, strict=False)]
    judged = group(scores, (), EIGHT[: len(values)])
    strategy = strategy or Pointwise(NOISE)
    pairs = pairing(judged, strategy.order(judged.scores, judged.duels))
    return [
        (NUMBER[pair.chosen.candidate_id], NUMBER[pair.rejected.candidate_id]) for pair in pairs
    ], pairs


def test_best_against_worst_goes_inwards():
    values = [3.0, 4.0, 1.5, 2.5, 1.0]
    assert sides(values, Pairing(max_pairs=None))[0] == [(1, 4), (0, 2)]  # the fifth sits out
    assert sides(values, Pairing(max_pairs=1))[0] == [(1, 4)]
    # Twice each: the farthest apart in the ranking that still have a use left.
    assert sides(values, Pairing(max_pairs=4, max_uses=2))[0] == [(1, 4), (1, 2), (0, 4), (0, 2)]


def test_a_near_miss_is_the_nearest_that_is_weak_enough():
    values = [4.0, 3.8, 3.4, 3.3, 1.0]
    near, (pair,) = sides(values, Pairing("near_miss", min_margin=0.5))
    assert near == [(0, 2)]
    assert pair.margin == pytest.approx(0.6)
    assert pair.margin_sd == pytest.approx(0.5 * math.sqrt(2))
    assert sides(values, Pairing("near_miss", 0.0))[0] == [(0, 1)]
    assert sides(values, Pairing("near_miss", 0.65))[0] == [(0, 3)]
    # More of them: the next best against its own, or the same again where that is allowed.
    assert sides(values, Pairing("near_miss", 0.45, None))[0] == [(0, 2), (1, 3)]
    assert sides(values, Pairing("near_miss", 0.45, 2, max_uses=2))[0] == [(0, 2), (0, 3)]


def test_all_above_the_margin_are_the_largest_margins_first():
    values = [4.0, 1.0, 3.0, 3.7]
    everything = Pairing("all_above_margin", 0.9, None, None)
    assert sides(values, everything)[0] == [(0, 1), (3, 1), (2, 1), (0, 2)]
    assert sides(values, replace(everything, max_pairs=2))[0] == [(0, 1), (3, 1)]
    assert sides(values, replace(everything, max_uses=1))[0] == [(0, 1)]
    assert sides(values, replace(everything, max_uses=2))[0] == [(0, 1), (3, 1), (0, 2)]


def test_an_order_without_margins_has_pairs_by_rank_only():
    values = [4.0, 1.0, 3.0, 3.7]
    assert len(sides(values, Pairing(max_pairs=None), RandomPairs())[0]) == 2
    # Nothing is known to be above a margin: best and worst stand for the group.
    pairs = sides(values, Pairing("all_above_margin", 0.1, None), RandomPairs())[1]
    assert [math.isnan(pair.margin) for pair in pairs] == [True]


@given(
    st.lists(st.one_of(st.just(math.nan), st.integers(1, 5)), min_size=0, max_size=8),
    st.sampled_from(["best_against_worst", "near_miss", "all_above_margin"]),
    st.sampled_from([0.0, 0.5, 2.0]),
    st.sampled_from([1, 3, None]),
    st.sampled_from([1, 2, None]),
)
def test_what_holds_in_every_mode(values, mode, min_margin, max_pairs, max_uses):
    taken, pairs = sides(values, Pairing(mode, min_margin, max_pairs, max_uses))
    readable = [index for index, value in enumerate(values) if not math.isnan(value)]
    assert bool(taken) == (len(readable) > 1)
    assert len(taken) == len({frozenset(pair) for pair in taken})
    assert max_pairs is None or len(taken) <= max_pairs
    uses = Counter(index for pair in taken for index in pair)
    assert max_uses is None or max(uses.values(), default=0) <= max_uses
    for (better, worse), pair in zip(taken, pairs, strict=True):
        assert better != worse
        assert values[better] >= values[worse]
        assert pair.margin == pytest.approx(values[better] - values[worse])
        assert pair.margin_sd > 0
    if mode != "best_against_worst" and len(pairs) > 1:
        assert all(pair.margin >= min_margin for pair in pairs)
    if (mode, max_pairs, max_uses) == ("all_above_margin", None, None) and len(readable) > 1:
        gaps = [abs(values[i] - values[j]) for i, j in itertools.combinations(readable, 2)]
        assert len(pairs) == max(1, sum(gap >= min_margin for gap in gaps))


@given(st.permutations(range(6)), st.sampled_from(["near_miss", "all_above_margin"]))
def test_the_place_in_the_group_decides_no_pair(permutation, mode):
    values = [4, 4, 3, 3, 2, 2]
    scores = [score(EIGHT[index].candidate_id, value) for index, value in enumerate(values)]
    wanted = group(scores, (), EIGHT[:6])
    moved = group([scores[i] for i in permutation], (), tuple(EIGHT[i] for i in permutation))
    ids = [
        [pair.pair_id for pair in Pairing(mode, 0.5, 3)(one, Pointwise().order(one.scores, ()))]
        for one in (wanted, moved)
    ]
    assert ids[0] == ids[1]


def test_an_answer_without_an_end_is_rejected_beside_the_best_where_the_recipe_asks_for_it():
    """Without a margin, as no judge was asked; nothing is chosen that came to no end."""
    cut = replace(
        CANDIDATES[3], media=None, answer="red and", error="the answer does not end within 8 tokens"
    )
    candidates = (*CANDIDATES[:3], cut)
    failed = score(D, math.nan)
    judged = group([score(A, 2.0), score(B, 4.5), score(C, 1.0), failed], (), candidates)
    order = Pointwise().order(judged.scores, ())
    assert len(Pairing()(judged, order)) == 1
    whole, added = Pairing(reject_unfinished=True)(judged, order)
    assert (whole.chosen.candidate_id, whole.rejected.candidate_id) == (B, C)
    assert (added.chosen.candidate_id, added.rejected) == (B, cut)
    assert math.isnan(added.margin)
    alone = group([score(A, 2.0), failed], (), (CANDIDATES[0], cut))
    order = Pointwise().order(alone.scores, ())
    (only,) = Pairing(reject_unfinished=True)(alone, order)
    assert (only.chosen.candidate_id, only.rejected) == (A, cut)
    nobody = Pointwise().order([failed], ())
    assert Pairing(reject_unfinished=True)(group([failed], (), (cut,)), nobody) == []
    assert judge_pair(only, (BrokenMedia(),)).verdict != "kept"  # the chosen one has no media here
    assert "rejected" not in " ".join(judge_pair(only, (BrokenMedia(),)).objections)


def test_the_recipe_names_the_pairing():
    curate = Curate(
        pairing="near_miss", pairs_per_prompt=None, max_uses=2, objections={"min_margin": 0.4}
    )
    tasks = get_args(Task)
    assert pairing_of(curate) == Pairing("near_miss", dict.fromkeys(tasks, 0.4), None, 2)
    units = dict.fromkeys(tasks, 4.0)
    by_share = Pairing("best_against_worst", dict.fromkeys(tasks, 0.3), 3, 1)
    assert pairing_of(Curate(pairs_per_prompt=3), units) == by_share
    with pytest.raises(ValueError, match=r"needs margins, which rank\.strategy: random has not"):
        Curate(pairing="near_miss", rank={"strategy": "random"})
