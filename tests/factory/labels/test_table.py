"""A table of one's own: what the map says is read, and what it does not say is asked for."""

import re

import pytest

from factory.labels.draft import Draft
from factory.labels.record import LabelError, Record
from factory.labels.table import Table, TableError, assignments, scale_of
from schemas.rows import Dimension
from tests.factory.labels.media import mp4, png

FILES = {"a.png": png(), "b.png": png((0, 0, 9)), "a.mp4": mp4(), "b.mp4": mp4(9)}
VOTES = Table(
    {"first": "image_a", "second": "image_b", "preference": "winner"},
    {"left": "first", "right": "second", "both": "tie", "skipped": "none"},
)
ROW = {"prompt": "a cup", "image_a": "a.png", "image_b": "b.png", "winner": "left"}
ANSWERS = {"prompt": "what?", "media": "a.png", "first_answer": "a cup", "second_answer": "a cat"}


def read(path: str) -> bytes:
    if path not in FILES:
        raise FileNotFoundError(2, "no such file")
    return FILES[path]


def drafts(table: Table, row: dict[str, object]) -> list[Draft]:
    return list(table(Record(row, "votes.csv: row 1", read)))


@pytest.mark.parametrize(
    ("value", "preference"),
    [("left", "first"), ("right ", "second"), ("both", "tie"), ("tie", "tie")],
)
def test_the_issue_s_own_example(value, preference):
    (draft,) = drafts(VOTES, {**ROW, "winner": value})
    assert (draft.prompt.text, draft.prompt.task) == ("a cup", "image_generation")
    assert (draft.first.data, draft.second.data) == (FILES["a.png"], FILES["b.png"])
    assert (draft.preference, draft.annotator, draft.weight) == (preference, "table", None)
    assert drafts(VOTES, {**ROW, "winner": "skipped"}) == []


@pytest.mark.parametrize(("value", "preference"), [(1, "first"), (0.0, "second"), (True, "tie")])
def test_verdicts_may_be_numbers(value, preference):
    table = Table(VOTES.columns, {"1": "first", "0": "second", "true": "tie"})
    assert drafts(table, {**ROW, "winner": value})[0].preference == preference


def test_all_that_a_table_may_say():
    columns = {
        **VOTES.columns,
        **{"annotator": "who", "weight": "sure", "justification": "why", "source_image": "before"},
        **{"tag.country": "land", "tag.size": "px", "dimension.Style": "style", "dimension.x": "x"},
    }
    told = {"who": 7.0, "sure": 0.5, "why": "It is red.", "before": "b.png", "land": "NL"}
    row = {**ROW, **told, "px": 64, "style": "right", "x": None}
    (draft,) = drafts(Table(columns, VOTES.values), row)
    assert (draft.annotator, draft.weight, draft.justification) == ("table:7", 0.5, "It is red.")
    assert draft.prompt.tags == {"source": "table", "country": "NL", "size": "64"}
    assert draft.dimensions == (Dimension("style", "second"),)
    assert draft.prompt.media_of("source")[0].data == FILES["b.png"]
    assert drafts(Table(columns, VOTES.values), {**row, "who": "simulated:ann"})[0].annotator == (
        "simulated:ann"
    )


def test_what_is_not_mapped_is_read_from_columns_of_its_own_name():
    row = {"prompt": "p", "first": "a.mp4", "second": "b.mp4", "preference": "second"}
    (draft,) = drafts(Table(), {**row, "annotator": "ann", "weight": 0})
    assert (draft.prompt.task, draft.annotator) == ("video_generation", "table")
    assert draft.weight is None  # of these a column may mean something else


def test_answers_are_about_a_medium():
    (draft,) = drafts(Table(), {**ANSWERS, "preference": "first"})
    assert (draft.prompt.task, draft.first_answer) == ("image_understanding", "a cup")
    (clip,) = drafts(Table(), {**ANSWERS, "media": "a.mp4", "preference": "tie"})
    assert clip.prompt.task == "video_understanding"
    with pytest.raises(LabelError, match=r"'media' is missing; the row has: .*--map media=COLUMN"):
        drafts(Table(), {**ANSWERS, "media": None, "preference": "tie"})


def test_points_are_of_one_side_and_keep_their_fractions():
    table = Table({"first": "image_a", "points": "stars", "dimension.style": "s"}, scale=(0, 10))
    row = {"prompt": "p", "image_a": "a.png", "stars": "7.25", "s": 3}
    (draft,) = drafts(table, row)
    assert (draft.rating, draft.scale, draft.second) == (7.25, (0, 10), None)
    assert draft.dimensions == (Dimension("style", first=3),)
    (answer,) = drafts(Table(), {**ANSWERS, "points": 4.5})
    assert (answer.rating, answer.scale, answer.second_answer) == (4.5, None, None)
    for stars, fault in (("11", "not a number from 0 to 10"), (None, "'stars' is missing")):
        with pytest.raises(LabelError, match=fault):
            drafts(table, {**row, "stars": stars})
    with pytest.raises(LabelError, match="'points' is inf, not a finite number"):
        drafts(Table(), {**ANSWERS, "points": float("inf")})


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"winner": "A"}, "'winner' is 'A'; known: left, right, both, skipped, first, second, tie"),
        ({"winner": None}, "'winner' is missing; the row has: "),
        ({"prompt": None}, "; or name another column: --map prompt=COLUMN"),
        ({"image_b": "b.mp4"}, "'image_b' is a clip, and this task is about a picture"),
        ({"image_a": "c.png"}, "'image_a' names 'c.png': no such file"),
    ],
)
def test_a_fault_names_row_and_column(change, fault):
    with pytest.raises(LabelError) as told:
        drafts(VOTES, {**ROW, **change})
    assert str(told.value).startswith("votes.csv: row 1: ")
    assert fault in str(told.value)


@pytest.mark.parametrize(
    ("columns", "values", "fault"),
    [
        ({"frist": "a"}, {}, "--map: 'frist' is no field; known: prompt, first, second"),
        ({"tag.": "a"}, {}, "--map: 'tag.' is no field"),
        ({}, {"left": "1st"}, "--values: 'left' means '1st'; known: first, second, tie, none"),
        ({"preference": "a", "points": "b"}, {}, "a row is a preference or points, and both"),
    ],
)
def test_a_map_that_says_nothing_is_refused(columns, values, fault):
    with pytest.raises(TableError, match=re.escape(fault)):
        Table(columns, values)


def test_assignments_are_given_together_or_apart():
    told = assignments("--map", ['first=a,"second=b, c"', "prompt=x=y"])
    assert told == {"first": "a", "second": "b, c", "prompt": "x=y"}
    for texts, fault in (
        (["first"], "--map: 'first' is not NAME=VALUE"),
        (["first="], "--map: 'first=' is not NAME=VALUE"),
        (["first=a", "first=b"], "--map: 'first' is given twice"),
    ):
        with pytest.raises(TableError, match=fault):
            assignments("--map", texts)


def test_a_scale_rises():
    assert scale_of("--points", "0:2.5") == (0, 2.5)
    for text in ("5:1", "5", "a:b", "nan:5", "0:inf"):
        with pytest.raises(TableError, match=f"--points: '{text}' is not LOW:HIGH"):
            scale_of("--points", text)
