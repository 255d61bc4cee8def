"""What people write, and what must be made of it: a wrong reading is far worse than none."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.judging.grammar.answer import Plain, UnreadableError
from factory.judging.grammar.score import (
    dimensions_in,
    listed_scale_in,
    scale_in,
    score_in,
    two_scores_in,
)
from factory.judging.grammar.verdict import verdict_in
from factory.judging.specification import Dimension, TaskSpecification, find
from factory.judging.text import parse_dimensions, parse_score, parse_verdict

CASES = json.loads(Path("tests/fixtures/cases/judge_texts.json").read_text())
TASK = find("", "unifiedreward-llava-onevision").task("image_generation")


SHORT = {"first": "Image 1 is better", "second": "Image 2 is better", "tie": "Both are equal"}
LONG = {
    "first": "Image 1 is better than Image 2.",
    "second": "Image 2 is better than Image 1.",
    "tie": "Both images are equally good.",
}


def verdict(text: str, **options: object) -> str:
    try:
        return verdict_in(text, **options).preference
    except UnreadableError:
        return "invalid"


def score(text: str, low: float = 1, high: float = 5, **options: object) -> float | str:
    try:
        return score_in(text, label="Final Score:", scale=(low, high), **options).value
    except UnreadableError:
        return "invalid"


@pytest.mark.parametrize("case", CASES["verdicts"]["cases"], ids=lambda case: case["text"][:40])
def test_verdicts_of_the_cases(case):
    answers = {**CASES["verdicts"]["wordings"], "tie": "Both images are equally good"}
    try:
        found = parse_verdict(case["text"], answers)
    except UnreadableError:
        found = "invalid"
    assert found == case["want"]


@pytest.mark.parametrize("case", CASES["scores"], ids=lambda case: case["text"][:40])
def test_scores_of_the_cases(case):
    low, high = case["scale"]
    named = tuple(Dimension(name, low, high) for name in ("Alignment", "Coherence", "Style"))
    task = TaskSpecification(
        TASK.pointwise,
        TASK.pairwise,
        (low, high),
        TASK.answers,
        "text",
        score="Final Score: {score}",
        dimensions=named,
    )
    if isinstance(case["want"], dict):
        assert parse_dimensions(case["text"], task) == case["want"]
        read = dimensions_in(case["text"])
        assert {name.title(): number.value for name, number in read.items()} == case["want"]
        return
    try:
        found = parse_score(case["text"], task)
    except UnreadableError:
        found = "invalid"
    assert found == case["want"]


#: Answers by their kinds, each with what must be made of it.
VERDICTS, SCORES = (
    json.loads(Path(f"tests/fixtures/words/{name}.json").read_text())
    for name in ("verdicts", "scores_1_to_5")
)


@pytest.mark.parametrize(("wanted", "text"), [case for kind in VERDICTS.values() for case in kind])
def test_a_verdict_is_read_as_people_read_it_or_not_at_all(wanted, text):
    assert verdict(text) == wanted
    # What the judge was asked to write changes nothing of that.
    assert verdict(text, answers=SHORT) == verdict(text, answers=LONG) == wanted


@pytest.mark.parametrize(("wanted", "text"), [case for kind in SCORES.values() for case in kind])
def test_a_score_is_one_number_of_the_scale_or_none(wanted, text):
    assert score(text) == wanted


def test_what_a_length_limit_cut_is_not_read_unless_it_was_complete():
    assert verdict("<answer>Image 1 is better</answer>", is_cut=True) == "first"
    assert verdict("<answer>Image 1 is better", is_cut=True) == "invalid"
    assert verdict("Scores: Image 1: 8, Image 2: 6", is_cut=True) == "invalid"
    assert score("<score>4</score>", is_cut=True) == 4
    assert score("<score>4", is_cut=True) == "invalid"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("It has a dog. The better response: [first]", "It has a dog."),
        ("<think>By contrast Image 1 is better.</think><answer>Image 2 is better</answer>",
         "By contrast Image 1 is better."),
        ("Image 1 is better because it has a dog. Image 2 has none.",
         "because it has a dog. Image 2 has none."),
        ("**Reason:** it has _one_ dog.\n\n**Verdict:** Image 1", "**Reason:** it has _one_ dog."),
        ("### Overall Judgment\nImage 1 is better", ""),
        ('{"reason": "A dog.", "winner": "Image 1"}', "A dog."),
    ],
)  # fmt: skip
def test_the_reason_is_all_but_the_verdict_as_it_was_written(text, reason):
    assert verdict_in(text).reason == reason


def test_dimensions_keep_what_each_side_has():
    found = verdict_in("Alignment\nImage 1: .43 / Image 2: .57\nStyle\nImage 2: .3 / Image 1: .7")
    told = [(one.name, one.preference, one.first, one.second) for one in found.dimensions]
    assert told == [("alignment", "second", 0.43, 0.57), ("style", "first", 0.7, 0.3)]
    assert found.preference == "first"  # 1.13 against 0.87
    read = dimensions_in("visual quality: 3\ncat (object): 1", lambda name: name != "other")
    assert {name: number.value for name, number in read.items()} == {"visual quality": 3}
    with pytest.raises(UnreadableError, match="different numbers"):
        dimensions_in("Style Score: 3\nStyle Score: 4")


def test_a_scale_is_that_which_an_instruction_states():
    assert scale_in("From 0 to 100, how good is it?") == (0, 100)
    assert scale_in("Score the response out of 100 and explain.") == (0, 100)
    assert scale_in("Alignment Score (1-5): X\nStyle Score (1-5): Y") == (1, 5)
    both = "Give a number from 1 to 4 for each.\nThen a score from 1 to 10 after 'Final Score:'"
    assert scale_in(both) == (1, 10)
    assert scale_in("From 1 to 4, and from 1 to 10.") is None
    assert scale_in("How good is it?") is None
    assert listed_scale_in("a number from [1,2,3,4], please") == (1, 4)


def test_two_scores_stand_alone_on_the_first_line():
    assert two_scores_in("8 6\nThe first is right.") == (8, 6, "The first is right.")
    for text in ("8", "8 6 7", "8 of 6", "It has 8 6", "8 6 because"):
        with pytest.raises(UnreadableError):
            two_scores_in(text)


def test_plain_text_knows_where_it_stood():
    plain = Plain.of("  **Ｉmage 1**\u200b is\n\nbetter ")
    assert plain.text == "image 1 is\nbetter"
    start = plain.text.index("image")
    assert plain.written(start, start + 7) == "**Ｉmage 1**"


PIECES = st.sampled_from(
    [
        *("image 1", "Image 2", " is ", "better", " than ", "not", "<think>", "</think>"),
        *("<answer>", "</answer>", "winner:", "{", '"', "}", "[[A>B]]", "\\boxed{", "4", "/10"),
        *(".", "\n", "###", "Final Score:", "(1-5)", "½", "\u200b", "图1更好", "tie", "or"),
        *(":", ",", "**", "\ud800", "8 6"),
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=60) | st.lists(PIECES, max_size=14).map("".join), is_cut=st.booleans())
def test_any_text_is_read_or_is_unreadable(text, is_cut):
    assert verdict(text, is_cut=is_cut) in ("first", "second", "tie", "invalid")
    found = score(text, is_cut=is_cut)
    assert found == "invalid" or 1 <= found <= 5
    for read in (dimensions_in, two_scores_in):
        try:
            read(text)
        except UnreadableError:
            continue
