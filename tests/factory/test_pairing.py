import math
from dataclasses import replace

import numpy as np
import pytest

from factory.pairing import best_against_worst, invalid_pair, why_no_pair
from factory.ranking import Bracket, Noise, Pointwise, RandomPairs, fuse
from schemas.rows import Group, Prompt, content_id
from tests.factory.simulated import (
    JUDGE,
    SimulatedJudge,
    candidates_of,
    duel,
    score,
    unreadable,
)

PROMPT = Prompt.of("a red circle")
CANDIDATES = candidates_of(PROMPT, 4)
A, B, C, D = (one.candidate_id for one in CANDIDATES)
NOISE = Noise(0.5, 0.5, 2.0)


def group(scores, duels=(), candidates=CANDIDATES):
    return Group(PROMPT, candidates, tuple(scores), tuple(duels))


def pair_of(judged, strategy=None):
    strategy = strategy or Bracket(2, NOISE)
    return best_against_worst(judged, strategy.order(judged.scores, judged.duels))


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
        best_against_worst(group([score(A, 1), score(B, 2)]), order)
