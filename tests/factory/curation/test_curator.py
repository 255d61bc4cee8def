"""From a judged group to its pairs, and contests of two generators: small, hand-made groups."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from factory.bias.correction import Correction
from factory.curation.curator import Curator
from factory.curation.pairing import Pairing
from factory.evaluation.contest import Versus, results
from factory.filters import objections_of
from factory.ranking import Bracket, Pointwise
from schemas.recipe import Objections
from schemas.rows import Candidate, Duel, Group, Media, Prompt, Score
from tests.factory.simulated import constants

PROMPT = Prompt.of("a red circle")


def picture(seed: int) -> Media:
    pixels = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((32, 32), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return Media(buffer.getvalue(), 32, 32)


def group(values: list[float]) -> Group:
    """Candidates with these true values, judged without noise by all duels in both orders."""
    candidates = tuple(
        Candidate(f"c{index}", "generator@0", index, picture(index)) for index in range(len(values))
    )
    scores = tuple(Score(f"c{index}", "judge@1", value, 0.5) for index, value in enumerate(values))
    duels = []
    for i, first in enumerate(values):
        for j, second in enumerate(values):
            if i != j:
                p = 1 / (1 + math.exp(-2 * (first - second)))
                duels.append(Duel(f"c{i}", f"c{j}", "judge@1", p, 1 - p, 0.0))
    return Group(PROMPT, candidates, scores, tuple(duels))


CURATOR = Curator(Bracket(2, constants()), objections_of(Objections(min_margin=0.5)))


def test_the_best_is_chosen_and_the_worst_rejected() -> None:
    (pair,) = CURATOR(group([3.0, 4.0, 1.5, 2.5]))
    assert (pair.chosen.candidate_id, pair.rejected.candidate_id) == ("c1", "c2")
    assert pair.verdict == "kept"
    assert pair.margin == pytest.approx(2.5, abs=0.01)
    assert pair.p_chosen > 0.99


def test_more_pairs_of_a_prompt_use_no_candidate_twice() -> None:
    objections = objections_of(Objections(min_margin=0.5))
    curator = Curator(Bracket(2, constants()), objections, Pairing(max_pairs=3))
    pairs = curator(group([3.0, 4.0, 1.5, 2.5, 1.0]))
    sides = [(pair.chosen.candidate_id, pair.rejected.candidate_id) for pair in pairs]
    assert sides == [("c1", "c4"), ("c0", "c2")]  # the fifth has no partner
    assert [pair.verdict for pair in pairs] == ["kept", "kept"]
    assert pairs[0].margin > pairs[1].margin
    assert len({pair.pair_id for pair in pairs}) == 2


def test_a_thin_margin_is_rejected_with_its_reason() -> None:
    (pair,) = CURATOR(group([3.0, 3.1, 2.9]))
    assert pair.verdict == "rejected"
    assert [one.partition(":")[0] for one in pair.objections] == [
        "thin margin",
    ]


def test_no_pair_above_the_margin_leaves_a_thin_one_on_record() -> None:
    objections = objections_of(Objections(min_margin=0.5))
    for mode in ("near_miss", "all_above_margin"):
        curator = Curator(Bracket(2, constants()), objections, Pairing(mode, 0.5, None))
        (pair,) = curator(group([3.0, 3.1, 2.9]))
        assert (pair.chosen.candidate_id, pair.rejected.candidate_id) == ("c1", "c2")
        assert pair.verdict == "rejected"
        assert pair.objections[0].startswith("thin margin: ")
        assert pair.margin_sd > 0


def test_a_failed_group_is_invalid_and_not_rejected() -> None:
    (pair,) = CURATOR(Group(PROMPT, (), error="judge@1: RuntimeError: no"))
    assert pair.verdict == "invalid"
    assert pair.objections
    assert pair.prompt == PROMPT
    (alone,) = CURATOR(group([3.0]))
    assert alone.verdict == "invalid"


def test_a_corrected_pair_remembers_the_margin_that_the_judge_gave_it() -> None:
    judged = group([3.0, 4.0, 1.5, 2.5])
    correction = Correction({"brightness": 0.5})
    (pair,) = Curator(Pointwise(constants()), (), correction=correction)(judged)
    assert pair.margin_before == 2.5
    assert pair.margin != 2.5
    (plain,) = Curator(Pointwise(constants()), ())(judged)
    assert (plain.margin_before, plain.margin) == (None, 2.5)


def test_a_contest_plays_twins_in_both_orders_once() -> None:
    scores = [Score(str(index), "judge@1", 3.0, 0.1) for index in range(4)]
    plan = Versus(2).plan(scores, ())
    assert plan == [(0, 2), (2, 0), (1, 3), (3, 1)]
    assert Versus(2).plan(scores, [Duel("0", "2", "judge@1", 0.5, 0.5, 0.0)]) == []


def test_results_are_told_from_the_challengers_side() -> None:
    contest = group([2.0, 4.0, 3.0, 3.0])  # champions 2 and 4, challengers 3 and 3
    first, second = results(contest, "judge@1")
    assert (first.outcome, second.outcome) == ("first", "second")
    assert (first.score_gain, second.score_gain) == (1.0, -1.0)
    assert [one.outcome for one in results(contest, "other@1")] == [None, None]
