"""The report on a judge: which figures it holds, what each rests on, and how it reads."""

import math

import pytest

from factory.evaluation.judge_report import AFTER, ALL, MACRO, estimate_of, report
from factory.evaluation.report_text import as_text
from factory.judging.abstention import Abstention
from factory.judging.calibration import Calibration, TaskCalibration, Temperature
from schemas.rows import Duel, Opinion, Score

TASK = "image_generation"


def opinion(n, p_first, preference, scores=(), task=TASK, tags=None):
    """A pair of a judge without position bias; None: unreadable."""
    p = (p_first, 1 - p_first, 0.0) if p_first is not None else (math.nan,) * 3
    error = "broken media" if p_first is None else None
    duels = (Duel("0", "1", "j@1", *p, error), Duel("1", "0", "j@1", p[1], p[0], p[2], error))
    found = tuple(Score(str(side), "j@1", value, 0.5) for side, value in enumerate(scores))
    return Opinion(f"l{n}", f"p{n}", task, tags or {}, "j@1", preference, None, found, duels)


def point(n, score, points):
    found = (Score("0", "j@1", score, 0.5),)
    return Opinion(f"s{n}", f"p{n}", TASK, {}, "j@1", None, points, found)


ROWS = [
    opinion(0, 0.9, "first", (4.0, 2.0), tags={"style": "oil"}),
    opinion(1, 0.8, "second", (3.0, 2.0), tags={"style": "oil"}),
    opinion(2, 0.3, "second", tags={"style": "ink"}),
    opinion(3, 0.6, "tie"),
    opinion(4, None, "first", (1.0, 2.0)),
]


def figure(made, name, of=ALL):
    one = estimate_of(made, name, of)
    return None if one is None else (round(one.value, 6), one.num, one.num_invalid)


def test_every_figure_says_what_it_rests_on():
    made = report(ROWS, "j@1", "labels", num_resamples=20)
    assert [one.name for one in made.slices] == [ALL]
    assert figure(made, "accuracy without ties") == (round(2 / 3, 6), 3, 1)
    assert figure(made, "accuracy with ties") == (0.5, 4, 1)
    assert figure(made, "score accuracy without ties") == (round(1 / 3, 6), 3, 2)
    assert figure(made, "flip rate") == (0.0, 4, 1)
    assert figure(made, "invalid rate") == (0.2, 5, 0)
    assert estimate_of(made, "score correlation") is None  # nothing has points
    assert estimate_of(made, "accuracy without ties", "other") is None
    by_chance = estimate_of(made, "calibration error").note
    assert by_chance.endswith(" by chance alone")
    assert {one.by for one in made.slices[0].estimates} == {"j@1"}
    assert {one.unit for one in made.slices[0].estimates} == {"share"}


def test_points_are_correlated_and_have_no_pairs():
    rows = [point(n, float(n), n) for n in range(1, 5)] + [point(9, math.nan, 3)]
    made = report(rows, "j@1", "labels", num_resamples=20)
    assert figure(made, "score correlation") == (1.0, 4, 1)
    assert estimate_of(made, "score correlation").unit == "correlation"
    assert estimate_of(made, "invalid rate") is None


def test_thresholds_of_ties_are_told():
    rows = [opinion(0, 0.55, "tie", (3.0, 2.9)), opinion(1, 0.9, "first", (4.0, 2.0))]
    made = report(rows, "j@1", "labels", num_resamples=20)
    assert estimate_of(made, "accuracy with ties by threshold").note == "ties up to 0.201 logits"
    assert (
        estimate_of(made, "score accuracy with ties by threshold").note == "ties up to 0.1 points"
    )
    decided = report(rows[1:], "j@1", "labels", num_resamples=20)
    assert estimate_of(decided, "accuracy with ties by threshold").note == "no ties"


def test_tasks_and_tags_are_slices_and_their_mean_stands_with_the_whole():
    rows = [*ROWS, opinion(7, 0.2, "first", task="video_generation")]
    made = report(rows, "j@1", "labels", tags=["style"], num_resamples=20)
    assert [one.name for one in made.slices] == [
        ALL,
        TASK,
        "video_generation",
        "style: ",
        "style: ink",
        "style: oil",
    ]
    assert figure(made, "accuracy without ties", "style: oil") == (0.5, 2, 0)
    macro = estimate_of(made, MACRO)
    assert (macro.value, macro.note) == (pytest.approx((2 / 3 + 0) / 2), "mean of 2 tasks")
    by_tag = report(ROWS[:3], "j@1", "labels", macro_tag="style", num_resamples=20)
    macro = estimate_of(by_tag, MACRO)
    assert (macro.value, macro.note) == (0.75, "mean of 2 style")


def test_calibrated_figures_leave_out_what_was_fitted_on():
    rule = Abstention(0.75, 0.9, None, None, 0.0, 0, 0.0)
    fitted = {TASK: TaskCalibration(Temperature(0.5), abstention=rule)}
    made = report(ROWS, "j@1", "labels", Calibration(fitted, frozenset({"p0"})), num_resamples=20)
    # Left are 0.8 (wrong), 0.3 (right) and 0.6 (a tie), of which the rule keeps the first.
    assert figure(made, "precision where heard") == (0.0, 1, 1)
    assert figure(made, "coverage where heard") == (round(1 / 3, 6), 3, 1)
    sharper = [p**2 / (p**2 + (1 - p) ** 2) for p in (0.8, 0.3, 0.6)]
    brier = sum((p - said) ** 2 for p, said in zip(sharper, (0, 0, 0.5), strict=True)) / 3
    assert figure(made, f"Brier score{AFTER}") == (pytest.approx(brier, abs=1e-5), 3, 1)
    assert estimate_of(made, f"calibration error{AFTER}").note.endswith("by chance alone")
    (whole,) = made.slices
    assert sum(one.num for one in whole.claimed) == 4
    assert sum(one.num for one in whole.calibrated) == 3


def test_a_report_reads_as_a_line_a_figure():
    lines = as_text(report(ROWS, "j@1", "five labels", num_resamples=20)).splitlines()
    assert lines[:2] == ["j@1 on five labels", "  all"]
    line = lines[2]
    assert line.startswith(f"    {'accuracy without ties':<50} 0.667 [")
    assert line.endswith("] over 3, 1 invalid")
    (rate,) = [line for line in lines if "invalid rate" in line]
    assert rate == f"    {'invalid rate':<50} 0.200 over 5"
