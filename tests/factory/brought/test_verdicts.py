"""What brought rows say of their candidates: scores on a named scale, preferences as duels."""

import math
from typing import Any

import pytest

from factory.brought.cells import RowFault, ScaleError
from factory.brought.verdicts import JudgedRowReader, together
from factory.curation.curator import Curator
from factory.ranking import Bracket, Noise, fuse, is_scored, scores_of
from factory.ranking.matchups import matchups
from schemas.rows import OVERALL, Group
from tests.factory.brought.test_candidates import png, read

TWO = {"prompt": "p", "media": ["a.png", "b.png"]}


def group(row: dict[str, Any], scale: Any = (1, 10), values: Any = None, **columns: Any) -> Group:
    reader = JudgedRowReader(columns, "image_generation", "ann@0", scale, values or {})
    return reader(row, read)


def outcome(row: dict[str, Any], **more: Any) -> tuple[float, float, float]:
    duel, swapped = group({**TWO, **row}, **more).duels
    assert swapped == duel.swap()  # nothing says which side was shown first
    return duel.p_first, duel.p_second, duel.p_tie


def test_scores_are_read_with_their_parts() -> None:
    said = {"Rating": "4", "Rationale": "fine"}
    parts = {"fit": said, "truth": {"Rating": "N/A"}, "style": 3}
    items = [{"media": "a.png", "score": "7.5", "breakdown": parts}, {"media": "b.png", "score": 2}]
    found = group({"prompt": "p", "of": items}, candidates="of")
    first, second = found.scores
    assert (first.value, second.value) == (7.5, 2)
    assert first.breakdown == {OVERALL: 7.5, "fit": 4, "style": 3}
    assert second.breakdown == {}
    assert first.judge == "ann@0"
    mean = group({**TWO, "breakdown": [parts, {"fit": 1}]})
    assert [one.value for one in mean.scores] == [3.5, 1]


def test_what_a_row_says_of_all_is_no_score_of_each() -> None:
    items = [{"media": "a.png", "score": 7}, {"media": "b.png"}]
    found = group({"prompt": "p", "of": items, "score": 9, "generator": "x"}, candidates="of")
    assert [one.value for one in found.scores] == [7]
    assert [one.generator for one in found.candidates] == ["x@0", "x@0"]


@pytest.mark.parametrize("value", ["8/10", 11, 0, True, math.inf, "good", [3]])
def test_what_is_no_number_of_the_scale_is_no_score(value: object) -> None:
    found = group({**TWO, "score": [value, 5]})
    assert not is_scored(found.scores[0])
    assert found.scores[0].error is not None
    assert "not a number from 1 to 10" in found.scores[0].error
    assert found.scores[1].value == 5


def test_scores_without_a_scale_are_refused_and_not_only_set_aside() -> None:
    with pytest.raises(ScaleError, match="'points' holds scores, and nothing says on which scale"):
        group({**TWO, "points": [3, 4]}, scale=None, score="points")
    assert outcome({"preference": "first"}, scale=None) == (1, 0, 0)


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({"preference": "first"}, (1, 0, 0)),
        ({"preference": "tie"}, (0, 0, 1)),
        ({"preference": "left"}, (1, 0, 0)),
        ({"preference": 1}, (0, 1, 0)),
        ({"preference": [1.0, 0.0]}, (1, 0, 0)),
        ({"preference": [0.5, 0.5]}, (0, 0, 1)),
        ({"preference": [3, 1]}, (0.75, 0.25, 0)),
        ({"rank": [2, 1]}, (0, 1, 0)),
        ({"rank": ["1", "1"]}, (0, 0, 1)),
    ],
)
def test_preferences_are_read(row: dict[str, Any], wanted: tuple[float, float, float]) -> None:
    assert outcome(row, values={"left": "first", "1": "second"}) == wanted


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({}, "'score and preference and rank and duels' are all empty"),
        ({"preference": "better"}, "is 'better'; known: first, second, tie"),
        ({"preference": [0, 0]}, "not two shares"),
        ({"preference": [-1, 2]}, "not two shares"),
        ({"preference": [1, None]}, "not two shares"),
        ({"preference": [1, 0, 0]}, "not two shares"),
        ({"preference": "first", "media": ["a.png"]}, "is of two sides, and the row has 1"),
        ({"score": 4}, "is one value, for 2 candidates"),
        ({"rank": ["best", 1]}, "is 'best', not a number"),
        ({"breakdown": [3, 4]}, "is int, not numbers by name"),
    ],
)
def test_a_row_that_says_nothing_that_can_be_read_is_a_fault(
    row: dict[str, Any], fault: str
) -> None:
    with pytest.raises(RowFault, match=fault):
        group({**TWO, **row})


def test_rows_of_one_prompt_are_put_together() -> None:
    swapped = {**TWO, "media": ["b.png", "a.png"]}
    rows = [
        group({**TWO, "preference": "first", "score": [4, 8]}),
        group({**swapped, "preference": "first"}),
        group({**TWO, "preference": "first", "score": [6, None]}),
        group({"prompt": "p", "media": [png(3), "a.png"], "preference": "tie"}),
    ]
    found = together(rows)
    assert len(found.candidates) == 3
    a, b, c = found.candidates
    mean, alone, missing = found.scores
    assert (mean.candidate_id, mean.value, mean.spread) == (a.candidate_id, 5, 1)
    assert alone.value == 8
    assert missing.error == "has no score in the table"
    met = {frozenset((one.first_id, one.second_id)): one for one in matchups(found.duels)}
    assert len(found.duels) == 2 * len(met) == 4  # each in both orders
    of_two = met[frozenset((a.candidate_id, b.candidate_id))]
    p_first = of_two.p_first if of_two.first_id == a.candidate_id else of_two.p_second
    assert p_first == pytest.approx(2 / 3)
    assert not of_two.is_flipped
    assert met[frozenset((a.candidate_id, c.candidate_id))].preference == "tie"
    assert not found.is_invalid


def test_duels_of_our_own_export_keep_the_order_in_which_sides_were_shown() -> None:
    said = {"p_first": 0.7, "p_second": 0.2, "p_tie": 0.1, "error": None}
    row = {
        "instruction": "p",
        "completions": [
            {"completion_id": "x", "image": "a.png", "annotations": [], "overall_score": 3.0},
            {
                "completion_id": "y",
                "image": "b.png",
                "overall_score": None,
                "annotations": [{"criterion": "fit", "rating": 2.0}],
            },
        ],
        "duels": [
            {"first_id": "x", "second_id": "y", **said},
            {"first_id": "y", "second_id": "x", **said},
            {"first_id": "y", "second_id": "x", **said, "p_tie": 0.9},
        ],
    }
    columns = {
        "prompt": "instruction",
        "candidates": "completions",
        "id": "completion_id",
        "media": "image",
        "score": "overall_score",
        "breakdown": "annotations",
    }
    found = together([group(row, **columns)])
    assert [one.value for one in found.scores] == [3, 2]
    (met,) = matchups(found.duels)
    assert met.is_flipped
    assert (met.p_first, met.first_slot_rate) == (pytest.approx(met.p_second), 1)
    third = group(row, **columns).duels[2]
    assert third.error == "[0.7, 0.2, 0.9] are no three probabilities"
    with pytest.raises(RowFault, match=r"'duels' is of \['x', 'z'\], which the `id` of the"):
        group({**row, "duels": [{"first_id": "x", "second_id": "z"}]}, **columns)
    with pytest.raises(RowFault, match="'duels' is no list of objects"):
        group({**row, "duels": "x"}, **columns)


def test_a_medium_beside_itself_is_no_duel_and_a_broken_side_is_no_verdict() -> None:
    same = together([group({**TWO, "media": ["a.png", "a.png"], "preference": "first"})])
    assert (len(same.candidates), same.duels, same.is_invalid) == (1, (), True)
    broken = together([group({**TWO, "media": ["a.png", "no.png"], "preference": "second"})])
    assert all(one.error is not None for one in broken.duels)
    assert broken.is_invalid


def ranked(*media: str) -> Group:
    return together(
        [group({"prompt": "p", "media": list(media), "rank": list(range(len(media)))}, scale=None)]
    )


@pytest.mark.parametrize("fusion", ["least_squares", "davidson"])
@pytest.mark.parametrize("quality_sd", [math.inf, 1.0])
def test_duels_alone_order_a_group(fusion: Any, quality_sd: float) -> None:
    found = ranked("b.png", "a.png")
    assert not found.scores
    assert not found.is_invalid
    order = fuse(scores_of(found), found.duels, Noise(fusion=fusion, quality_sd=quality_sd))
    best = order.ranking[0]
    assert order.candidate_ids[best] == found.candidates[0].candidate_id
    assert order.margin(*order.ranking) > 0
    assert math.isfinite(order.difference_sd(*order.ranking))
    (pair,) = Curator(Bracket(), ())(found)
    assert pair.verdict == "kept"
    assert pair.chosen == found.candidates[0]
    assert pair.judge == "ann@0"
    assert math.isnan(pair.score_margin)
    assert pair.p_chosen > 0.5


def test_candidates_that_never_met_are_told_apart_by_less() -> None:
    first, second = ranked("a.png", "b.png"), ranked("a.png", "b.png")
    far = [
        group({"prompt": "p", "media": [png(4), png(5)], "preference": "tie"}, scale=None),
        *(first, second),
    ]
    found = together(far)
    order = fuse(scores_of(found), found.duels, Noise())
    ids = [one.candidate_id for one in found.candidates]
    winner = ids.index(first.candidates[0].candidate_id)
    loser = ids.index(first.candidates[1].candidate_id)
    stranger = next(at for at in range(4) if at not in (winner, loser))
    met, unmet = order.difference_sd(winner, loser), order.difference_sd(winner, stranger)
    assert met < unmet
    assert order.margin(winner, loser) > order.margin(winner, stranger) > 0


def test_scores_alone_order_a_group_and_one_that_failed_is_left_out() -> None:
    found = together([group({**TWO, "score": [2, 9]})])
    assert not found.is_invalid
    (pair,) = Curator(Bracket(), ())(found)
    assert (pair.verdict, pair.chosen) == ("kept", found.candidates[1])
    assert math.isnan(pair.p_chosen)
    one = together([group({**TWO, "score": [2, 99]})])
    assert one.is_invalid
    (nothing,) = Curator(Bracket(), ())(one)
    assert nothing.verdict == "invalid"
