"""A benchmark's own figures: each is counted as its authors' script counts it, on the same rows."""

import math

import pytest

from factory.evaluation.benchmark_report import quoted
from factory.evaluation.headlines import Definition, headline, weighted_mean
from factory.evaluation.judge_report import report
from factory.evaluation.quoted import QUOTED
from factory.evaluation.report_text import as_text
from factory.labels.registry import FORMATS
from schemas.rows import Duel, Opinion, Preference, Score

P: dict[Preference, tuple[float, float, float]] = {
    "first": (0.7, 0.2, 0.1),
    "second": (0.2, 0.7, 0.1),
    "tie": (0.2, 0.2, 0.6),
}
SWAP: dict[Preference, Preference] = {"first": "second", "second": "first", "tie": "tie"}


def opinion(
    n: int,
    said: Preference,
    shown: Preference | None,
    swapped: Preference | None,
    scores: tuple[float, ...] = (),
    subset: str = "a",
) -> Opinion:
    """What a judge says with the first side shown first, and with it shown second, both told of the
    sides as they are; None is unreadable.
    """
    duels = (_duel("0", "1", shown), _duel("1", "0", None if swapped is None else SWAP[swapped]))
    found = tuple(Score(str(side), "j@1", value, 0.1) for side, value in enumerate(scores))
    return Opinion(
        *(f"l{n}", f"p{n}", "image_generation", {"part": subset}, "j@1", said, None),
        scores=found,
        duels=duels,
    )


def _duel(first: str, second: str, said: Preference | None) -> Duel:
    p = (math.nan,) * 3 if said is None else P[said]
    return Duel(first, second, "j@1", *p, None if said else "unreadable")


ROWS = [
    opinion(0, "first", "first", "first", (3, 1), "a"),
    opinion(1, "first", "first", "second", (2, 2), "a"),
    opinion(2, "second", "tie", "second", (1, 4), "a"),
    opinion(3, "second", "second", None, (4, 1), "b"),
    opinion(4, "tie", "tie", "first", (2, 2), "b"),
    opinion(5, "first", "second", "second", (1, 2), "b"),
]
DECIDED = [one for one in ROWS if one.preference != "tie"]


def value(definition: Definition, rows: list[Opinion] = ROWS) -> tuple[float, int, int]:
    found = headline(rows, definition, num_resamples=20)
    assert found is not None
    return round(found.value.value, 6), found.num, found.num_unread


def by_mmrb2s_script() -> float:
    """`compute_task_accuracy`: judgements of both orders, those that are missing left out."""
    right = evaluated = 0
    for row in DECIDED:
        forward, reverse = row.duels
        for judgement in (forward, reverse.swap()):
            if judgement.error is None:
                evaluated += 1
                right += judgement.preference == row.preference
    return right / evaluated


def by_unified_rewards_script(order: int) -> float:
    """Share right of pairs that are no ties, shown once; an answer without a verdict is wrong."""
    shown = [row.duels[order] if order == 0 else row.duels[1].swap() for row in DECIDED]
    return sum(
        one.error is None and one.preference == row.preference
        for one, row in zip(shown, DECIDED, strict=True)
    ) / len(DECIDED)


def by_videoaligns_script() -> float:
    """`calc_accuracy_without_ties`: of the labels that are no ties, C / (C + D)."""
    labels = {"first": 1, "second": -1}
    gaps = [row.scores[0].value - row.scores[1].value for row in DECIDED]
    signs = [labels[row.preference] for row in DECIDED]
    return sum(h * m > 0 for h, m in zip(signs, gaps, strict=True)) / len(DECIDED)


def test_figures_are_those_of_the_authors_scripts() -> None:
    mmrb2 = next(one for one in QUOTED["mmrb2"].definitions if one.subsets is None)
    assert value(mmrb2) == (round(by_mmrb2s_script(), 6), 5, 1)
    genai = QUOTED["genai-bench"].definitions[0]
    over_the_coin = (by_unified_rewards_script(0) + by_unified_rewards_script(1)) / 2
    assert value(genai) == (over_the_coin, 5, 1)
    by_scores = QUOTED["videogen-rewardbench"].definitions[0]
    assert value(by_scores) == (by_videoaligns_script(), 5, 0)


def test_ties_count_where_they_must_be_said_and_subsets_where_they_are_averaged() -> None:
    with_ties = Definition("x", "", ties=True)
    assert value(with_ties) == (0.5, 6, 1)
    mean = Definition("x", "", subsets="part")
    assert value(mean) == (round((2 / 3 + 1 / 4) / 2, 6), 5, 1)
    assert headline(ROWS, Definition("x", "", by="scores"), num_resamples=5) is not None
    without_scores = [opinion(0, "first", "first", "first")]
    assert headline(without_scores, Definition("x", "", by="scores")) is None
    assert headline([ROWS[4]], Definition("x", "")) is None


def test_a_side_without_a_score_is_wrong_or_left_out_as_the_definition_says() -> None:
    rows = [ROWS[0], opinion(9, "first", "first", "first", (math.nan, 1.0))]
    assert value(Definition("x", "", by="scores"), rows) == (0.5, 2, 1)
    assert value(Definition("x", "", by="scores", unread="left out"), rows) == (1.0, 2, 1)


def test_the_whole_is_its_parts_by_their_counts_and_the_report_says_so() -> None:
    made = report(ROWS, "j@1", "mmrb2", tags=["part"], macro_tag="part", num_resamples=20)
    told = {
        one.name: next(two for two in one.estimates if two.name == "accuracy without ties")
        for one in made.slices
    }
    parts = {name: (one.value, one.num) for name, one in told.items() if name != "all"}
    assert set(parts) == {"part: a", "part: b"}
    assert weighted_mean(parts) == pytest.approx(told["all"].value, abs=1e-12)
    (remark,) = [one for one in made.remarks if "by their counts" in one]
    assert remark.endswith("by their counts (3 + 1)")  # the pair that is unread counts nowhere
    assert f"is {told['all'].value:.3f} over all, and {told['all'].value:.3f} as the mean" in remark
    assert math.isnan(weighted_mean({"a": (math.nan, 0)}))


def test_a_benchmark_stands_beside_what_others_have_published() -> None:
    made = report(ROWS, "j@1", "genai-bench", num_resamples=20)
    told = quoted(made, ROWS, num_resamples=20)
    assert [one.name for one in told.headlines] == [
        "accuracy without ties (diff)",
        "accuracy with ties (tau)",
    ]
    text = as_text(told)
    assert "as published (model card of CodeGoat24/UnifiedReward-7b-v1.5)" in text
    assert f"    {'UnifiedReward-7b: pictures, without ties (diff)':<50} 0.709" in text
    assert "a tie said, and a verdict that cannot" in text
    other = report(ROWS, "j@1", "votes of our own", num_resamples=20)
    assert quoted(other, ROWS) == other


def test_what_is_quoted_is_of_formats_and_says_where_it_stands() -> None:
    for name, one in QUOTED.items():
        form = FORMATS[name]
        assert one.definitions
        for definition in one.definitions:
            assert definition.subsets in (None, form.macro_tag)
        for figure in one.figures:
            assert 0.3 < figure.value < 1
            assert figure.source
