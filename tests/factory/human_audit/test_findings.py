"""Sheets and what they say, on a sample that is small enough to work by hand."""

import math

import numpy as np
import pytest

from factory.human_audit.estimate import NUM_CELLS, cells_of
from factory.human_audit.findings import Sampled, find
from factory.human_audit.sheets import WORDS, Answer, SheetError, read_sheet, with_later

IDS = ("a1", "a2", "a3", "a4")
SAMPLE = [
    Sampled("a1", "p1", 0.5, "north", True),
    Sampled("a2", "p2", 0.25, "north", False),
    Sampled("a3", "p3", 0.5, "south", True),
    Sampled("a4", "p4", 0.5, "south", False),
]


def test_figures_by_hand():
    answers = [
        Answer("a1", "ann", "first", 3.0),  # the judge's side
        Answer("a1", "ben", "tie", 5.0),
        Answer("a2", "ann", "second"),  # the judge's side
        Answer("a3", "ann", "second"),  # the other side
        Answer("a4", "ben", None),  # cannot tell
    ]
    found = find(SAMPLE, answers, num_resamples=200)
    assert (found.num_answered, found.num_unclear) == (3, 1)
    # a1 is half right and stands for 2 pairs, a2 is right for 4, a3 is wrong for 2.
    assert found.precision.value == pytest.approx((2 * 0.5 + 4 * 1 + 2 * 0) / 8)
    assert found.ties.value == pytest.approx(2 * 0.5 / 8)
    assert found.precision_by_slice["north"][0].value == pytest.approx(5 / 6)
    assert found.precision_by_slice["north"][1] == 2
    assert found.precision_by_slice["south"][0].value == 0.0
    # Of answers: a1 ann (2) and a2 (4) agree; a1 ben (2) and a3 (2) do not.
    assert found.agreement.value == pytest.approx(6 / 10)
    # By weight the judge says first 6 and second 4, people first 2, second 6, tie 2.
    expected = (6 * 2 + 4 * 6) / 100
    assert found.kappa.value == pytest.approx((0.6 - expected) / (1 - expected))
    assert sorted(found.kappa_by_person) == ["ann", "ben"]
    assert found.seconds.value == pytest.approx(4.0)
    assert found.alpha.value == pytest.approx(0.0)  # one unit, two answers, both different


def test_doubt_of_all_pairs_moves_precision_to_what_the_sample_missed():
    """Doubtful pairs are wrong throughout and sure ones right; the sample holds one in ten of each
    but for chance, which doubt knows of.
    """
    sample = [
        Sampled(f"{at:03}", f"p{at}", 0.1, "ab"[at % 4 == 0], True, (0.4, 0.01)[at % 3 > 0])
        for at in range(90)
    ]
    answers = [Answer(one.pair_id, "ann", "first" if one.doubt < 0.1 else "tie") for one in sample]
    cells = cells_of(np.array([0.4, 0.01]))
    counts = {name: np.zeros(NUM_CELLS) for name in "ab"}
    for name, (doubtful, sure) in {"a": (250, 425), "b": (125, 100)}.items():
        counts[name][cells] = doubtful, sure
    plain, sharp = find(sample, answers, 10), find(sample, answers, 10, doubt_of_all=counts)
    assert plain.precision.value == pytest.approx(2 / 3)  # of the sample
    assert sharp.precision.value == pytest.approx(525 / 900)  # of all
    assert sharp.ties.value == pytest.approx(375 / 900)
    assert sharp.precision_by_slice["a"][0].value == pytest.approx(425 / 675)
    assert sharp.precision_by_slice["b"][0].value == pytest.approx(100 / 225)
    assert sharp.precision_by_slice["b"][1] == 23
    for one in (sharp.precision, sharp.ties, sharp.precision_by_slice["a"][0]):
        assert one.low <= one.value <= one.high
    # With answers that doubt does not tell wholly, the interval is narrower for it.
    answers[::9] = [Answer(one.pair_id, "ann", "second") for one in answers[::9]]
    answers[1::9] = [Answer(one.pair_id, "ann", "second") for one in answers[1::9]]
    answers[3::9] = [Answer(one.pair_id, "ann", "first") for one in answers[3::9]]
    plain, sharp = find(sample, answers, 10), find(sample, answers, 10, doubt_of_all=counts)
    width = sharp.precision.high - sharp.precision.low
    assert width < 0.95 * (plain.precision.high - plain.precision.low)


def test_nobody_has_answered():
    found = find(SAMPLE, [], num_resamples=10)
    assert (found.num_answered, found.kappa_by_person) == (0, {})
    assert all(
        math.isnan(one.value)
        for one in (found.precision, found.agreement, found.kappa, found.alpha, found.seconds)
    )


def write(tmp_path, text, name="ann.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_sheet_as_csv_or_json_lines(tmp_path):
    head = "pair_id,answer,annotator,seconds\r\n"
    table = write(
        tmp_path,
        f"\ufeff{head}a1,first,ann,2.5\r\na2,,ann,\r\na3, Unclear ,ann,\r\na4,tie,ann,\r\n",
    )
    found = read_sheet(table, IDS)
    assert [(one.pair_id, one.preference) for one in found] == [
        ("a1", "first"),
        ("a3", None),
        ("a4", "tie"),
    ]
    assert read_sheet(str(table), IDS)[0] == found[0]
    assert found[0].seconds == 2.5
    assert math.isnan(found[1].seconds)
    lines = write(
        tmp_path,
        '{"pair_id": "a1", "answer": "second", "annotator": "ben", "seconds": 3}\n\n'
        '{"pair_id": "a2", "annotator": "ben"}\n',
        "ben.jsonl",
    )
    assert read_sheet(lines, IDS) == [Answer("a1", "ben", "second", 3.0)]


@pytest.mark.parametrize(
    ("now", "earlier"),
    [("left", "first"), ("Right ", "second"), ("equal", "tie"), ("cannot tell", "unclear")],
)
def test_the_words_of_the_page_mean_what_those_of_earlier_sheets_did(tmp_path, now, earlier):
    head = "pair_id,answer,annotator\n"
    path = write(tmp_path, f"{head}a1,{now},ann\na2,{earlier},ann\n")
    one, other = read_sheet(path, IDS)
    assert one.preference == other.preference == WORDS[now.strip().lower()]
    assert one.word == other.word == now.strip().lower()


def test_left_is_the_side_that_was_shown_first():
    left = Answer("a1", "ann", WORDS["left"])
    right = Answer("a1", "ann", WORDS["right"])
    (pair,) = [one for one in SAMPLE if one.pair_id == "a1"]
    assert pair.is_chosen_first
    assert find([pair], [left], 10).precision.value == 1.0
    assert find([pair], [right], 10).precision.value == 0.0


def test_of_two_answers_of_one_person_the_later_counts():
    earlier = [
        Answer("a1", "ann", "first", 2.0),
        Answer("a2", "ann", "second"),
        Answer("a2", "ben", None),
        Answer("a3", "ann", "tie"),
    ]
    later = [
        Answer("a1", "ann", "first", 5.0),  # the same, after another look
        Answer("a2", "ann", None),  # corrected
        Answer("a1", "ben", "second"),  # new
    ]
    answers, num_corrected = with_later(earlier, later)
    assert num_corrected == 1
    assert sorted(answers, key=lambda one: (one.pair_id, one.annotator)) == [
        Answer("a1", "ann", "first", 5.0),
        Answer("a1", "ben", "second"),
        Answer("a2", "ann", None),
        Answer("a2", "ben", None),
        Answer("a3", "ann", "tie"),
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("zz,first,ann,", "row 2: pair_id: 'zz' is not in the audit sample"),
        ("a1,up,ann,", "row 2: answer: 'up' is none of left, right, equal, cannot tell"),
        ("a1,up,ann,", "nor of the earlier first, second, tie, unclear"),
        ("a1,first,,", "row 2: annotator: is empty"),
        ("a1,first,ann,soon", "row 2: seconds: 'soon' is not a number"),
        ("a1,left,ann,-3", "row 2: seconds: '-3' is not a time"),
        ("a1,left,ann,inf", "row 2: seconds: 'inf' is not a time"),
        ("a1,first,ann,\na1,tie,ann,", "row 3: 'ann' has answered pair a1 already"),
    ],
)
def test_a_faulty_row_is_named(tmp_path, rows, message):
    path = write(tmp_path, f"pair_id,answer,annotator,seconds\n{rows}\n")
    with pytest.raises(SheetError, match=r"ann\.csv") as caught:
        read_sheet(path, IDS)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("ann.csv", "pair_id,verdict\n", "column 'answer' is missing"),
        ("ann.csv", "", "column 'pair_id' is missing"),
        ("ann.txt", "", "a sheet is .csv or .jsonl, not '.txt'"),
        ("ann.jsonl", "{", "row 1: not JSON"),
        ("ann.jsonl", "[]", "row 1: is list, not an object"),
    ],
)
def test_a_faulty_file_is_named(tmp_path, name, text, message):
    with pytest.raises(SheetError) as caught:
        read_sheet(write(tmp_path, text, name), IDS)
    assert name in str(caught.value)
    assert message in str(caught.value)
    with pytest.raises(SheetError, match="no such sheet"):
        read_sheet(tmp_path / "none.csv", IDS)
