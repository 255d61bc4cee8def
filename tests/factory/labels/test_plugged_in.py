"""What is asked of a draft that a format of somebody's own gives."""

from dataclasses import replace

import pytest

from factory.labels.draft import Draft
from factory.labels.plugged_in import PluggedIn, fault_of
from factory.labels.record import LabelError, Record
from schemas.rows import Media, Prompt

PICTURES = Draft(Prompt.of("a cat"), "me", Media(b"a", 8, 8), Media(b"b", 8, 8), preference="first")
ANSWERS = Draft(
    Prompt.of("which cat?", "image_understanding"),
    "me",
    Media(b"a", 8, 8),
    first_answer="this",
    second_answer="that",
    preference="tie",
)
RATED = replace(PICTURES, second=None, preference=None, rating=4.0)


@pytest.mark.parametrize("draft", [PICTURES, ANSWERS, RATED])
def test_a_whole_draft_is_taken(draft):
    assert fault_of(draft) is None


@pytest.mark.parametrize(
    ("draft", "what"),
    [
        ({"first": "x"}, "gave a dict, not a Draft"),
        (replace(PICTURES, rating=4.0), "needs a preference or a rating, and not both"),
        (replace(PICTURES, preference=None), "needs a preference or a rating, and not both"),
        (replace(PICTURES, preference="left"), "the preference 'left'; known: first, second, tie"),
        (replace(PICTURES, first=None), "gave a draft of image_generation without first"),
        (replace(PICTURES, second=None), "gave a draft of image_generation without second"),
        (replace(RATED, first=None), "gave a draft of image_generation without first"),
        (replace(ANSWERS, first_answer=None), "image_understanding without first_answer"),
        (replace(ANSWERS, second_answer=None), "image_understanding without second_answer"),
    ],
)
def test_what_is_no_label_is_told(draft, what):
    assert what in fault_of(draft)


def no_medium(path):
    raise FileNotFoundError(path)


def raises(_):
    raise KeyError("caption")


RECORDS = [Record({"a": 1}, f"given.jsonl: row {row}", no_medium) for row in (4, 5)]


def test_the_drafts_of_a_format_are_handed_on():
    parse = PluggedIn("my.forms:FORM", lambda records: (PICTURES for _ in records))
    assert parse(RECORDS) == [PICTURES, PICTURES]


@pytest.mark.parametrize(
    ("parse", "what"),
    [
        (lambda _: [PICTURES, replace(PICTURES, first=None)], "gave a draft of image_generation w"),
        (raises, "KeyError: 'caption'"),
        (lambda _: None, "TypeError: 'NoneType' object is not iterable"),
    ],
)
def test_a_fault_of_a_format_names_row_and_format(parse, what):
    with pytest.raises(LabelError) as caught:
        PluggedIn("my.forms:FORM", parse)(RECORDS)
    assert str(caught.value).startswith(f"given.jsonl: row 4: my.forms:FORM: {what}")
