"""What is asked of a draft that a format of somebody's own gives."""

from dataclasses import replace

import pytest

from factory.labels.draft import Draft
from factory.labels.plugged_in import fault_of
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
