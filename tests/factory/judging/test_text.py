"""Reading text: every defect known of published scripts, and answers that people would read."""

import json
from dataclasses import replace

import pytest

from factory.judging.grammar.verdict import lead_of
from factory.judging.specification import DEFAULT, Dimension, find
from factory.judging.text import (
    UnreadableError,
    parse_dimensions,
    parse_score,
    parse_verdict,
)
from factory.ranking.matchups import matchup
from schemas.rows import Duel, Preference

LLAVA = find("", "unifiedreward-llava-onevision")
QWEN = find("", "unifiedreward-qwen2.5-vl")
PICTURE = LLAVA.task("image_generation").answers
CLIP = LLAVA.task("video_generation").answers
ANSWER = LLAVA.task("image_understanding").answers
SHORT = QWEN.task("image_generation").answers
TASK = LLAVA.task("video_generation")  # 1 to 10, five dimensions


@pytest.mark.parametrize(
    "answers", [PICTURE, CLIP, ANSWER, SHORT, *(task.answers for task in DEFAULT.tasks.values())]
)
def test_each_sentence_of_a_label_format_is_read(answers: dict[Preference, str]) -> None:
    for preference, sentence in answers.items():
        assert parse_verdict(sentence, answers) == preference
        assert parse_verdict(f"**{sentence}**\n", answers) == preference


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Image 1 is better than Image 2.", "first"),
        ("image 2 is better than image 1", "second"),
        ("Both images are equally good.", "tie"),
        ("Sure! Looking closely, Image 2 is better than Image 1. It fits the caption.", "second"),
        ("A cat is asked for.\nImage 1 is better than Image 2, because it has one.", "first"),
        ("Image 2 is better.", "second"),
        ("Answer A is better", "first"),
        ("The second response is better than the first one.", "second"),
        ("Image 1 is slightly better than Image 2.", "first"),
        ("Image 1 is not better than Image 2. Image 2 is better than Image 1.", "second"),
        ("It is a tie.", "tie"),
    ],
)  # fmt: skip
def test_verdicts_are_read_with_prose_around_them(text: str, expected: str) -> None:
    assert parse_verdict(text, PICTURE) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty answer"),
        (" \n ", "empty answer"),
        ("I cannot see the images.", "no verdict"),
        ("Image 1", "no verdict"),
        ("Image 1 is bet", "no verdict"),
        ("Image 1 is better than", "no verdict"),
        ("Image 1 is better than Image 1.", "no verdict"),
        ("Image 3 is better than Image 2.", "no verdict"),
        ("Image 12 is better than Image 2.", "no verdict"),
        ("Image 1 is not better than Image 2.", "no verdict"),
        ("I don't think that Image 1 is better than Image 2.", "no verdict"),
        ("If Image 1 is better than Image 2, so be it", "no verdict"),
        ("Image 1 is better in colour", "no verdict"),
        ("Image 1 is better than Image 2. Image 2 is better than Image 1.", "contradictory"),
        ("Image 1 is better than Image 2. Both images are equally good.", "contradictory"),
        ("better", "no verdict"),
    ],
)
def test_what_gives_no_verdict_is_unreadable_and_no_tie(text: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        parse_verdict(text, PICTURE)


def test_an_answer_contained_in_the_label_is_no_verdict() -> None:
    """A published benchmark asks `output in "Video 1 is better…"`: "" and "V" are then "first"."""
    for output in ("", "V", "Video", "Video 1", "1", "is better", "Video 1 is better than Video"):
        assert output in "Video 1 is better than Video 2."
        with pytest.raises(UnreadableError):
            parse_verdict(output, CLIP)


def test_only_the_overall_judgment_counts() -> None:
    text = (
        "1. Accuracy: Answer 1 is better than Answer 2.\n2. Clarity: Answer 2 is better.\n"
        "Overall Judgment: Answer 2 is better than Answer 1."
    )
    assert parse_verdict(text, ANSWER) == "second"
    with pytest.raises(UnreadableError, match="no verdict"):
        parse_verdict("Answer 1 is better than Answer 2.\nOverall Judgment:", ANSWER)
    assert parse_verdict("Answer 1 is better than Answer 2.", ANSWER) == "first"


def test_a_verdict_at_the_limit_of_length_could_have_gone_on() -> None:
    text = "Image 1 is better"
    assert parse_verdict(text, SHORT) == "first"
    with pytest.raises(UnreadableError):
        parse_verdict(text, SHORT, is_cut=True)
    assert parse_verdict("Image 1 is better. The", SHORT, is_cut=True) == "first"


def test_a_tie_or_an_unreadable_verdict_never_chooses_the_first() -> None:
    """A published script takes the first item wherever it does not find the second's sentence."""
    assert parse_verdict("Both images are equally good.", PICTURE) == "tie"
    readable = Duel("a", "b", "j@1", 1.0, 0.0, 0.0)
    failed = Duel("b", "a", "j@1", float("nan"), float("nan"), float("nan"), "no verdict")
    assert matchup([readable, failed], "a", "b") is None
    flipped = matchup([readable, Duel("b", "a", "j@1", 1.0, 0.0, 0.0)], "a", "b")
    assert flipped is not None
    assert (flipped.preference, flipped.is_flipped, flipped.logit) == ("tie", True, 0.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Final Score: 3.75", 3.75),  # a published script reads 3
        ("Final Score: 10", 10.0),
        ("final score : **9**", 9.0),
        ("Final Score: 8/10", 8.0),
        ("Final Score (1-10): 7", 7.0),
        ("visual quality: 4\ntext alignment: 2.5\nFinal Score: 6.5.\nThe clip is sharp.", 6.5),
        ("Final Score: 4, since two of 3 things are right.", 4.0),
        ("Answer with Final Score: a number from 1 to 10.\nFinal Score: 2", 2.0),
    ],
)
def test_scores_are_numbers_with_their_decimals(text: str, expected: float) -> None:
    assert parse_score(text, TASK) == expected


def test_ten_is_more_than_nine_when_it_is_read_from_text() -> None:
    """Kept as strings, `max(["9", "10", "8"])` is "9"."""
    scores = [parse_score(f"Final Score: {one}", TASK) for one in ("9", "10", "8")]
    assert max(scores) == 10.0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("I cannot rate this.", "no number"),
        ("It deserves a 7.", "no number"),  # a number, but not after the label
        ("Final Score:", "no number"),
        ("Final Score: good", "no number"),
        ("Final Score: 0", "not on the scale"),
        ("Final Score: -3", "not on the scale"),
        ("Final Score: 11", "not on the scale"),
        ("Final Score: 3 … Final Score: 4", "different numbers"),
        ("Final Score: 3,75", "no number"),
        ("Final Score: 3-4", "not one number"),
        ("Final Score: 70%", "not one number"),
        ("Final Score: 4/5", "not one number"),
        ("Final Score: nan", "no number"),
    ],
)
def test_what_gives_no_score_is_unreadable_and_no_zero(text: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        parse_score(text, TASK)


def test_a_number_at_the_limit_of_length_could_have_gone_on() -> None:
    for text in ("Final Score: 1", "Final Score: 3.", "Final Score: 3.7"):
        with pytest.raises(UnreadableError, match="cut short"):
            parse_score(text, TASK, is_cut=True)
    assert parse_score("Final Score: 1\nThe clip", TASK, is_cut=True) == 1.0


def test_without_a_label_the_number_comes_first() -> None:
    bare = DEFAULT.task("image_generation")
    assert parse_score("4", bare) == 4.0
    assert parse_score("4.5 of 5", bare) == 4.5
    for text in ("the picture has 2 things", "I give 4"):
        with pytest.raises(UnreadableError, match="no number"):
            parse_score(text, bare)


def test_dimensions_are_read_apart_from_the_score() -> None:
    text = "Visual Quality: 3.5\ntemporal consistency: 9\nDynamic Degree: 2\nFinal Score: 6"
    assert parse_dimensions(text, TASK) == {"visual quality": 3.5, "dynamic degree": 2.0}
    labels = LLAVA.task("image_generation")
    said = "Alignment Score (1-5): 4.2\nStyle Score (1-5): 3\nFinal Score: 4"
    assert parse_dimensions(said, labels) == {
        "Alignment Score (1-5)": 4.2,
        "Style Score (1-5)": 3.0,
    }
    overlapping = replace(labels, dimensions=(Dimension("Score", 1, 5),))
    assert json.dumps(parse_dimensions("Score: 2", overlapping)) == '{"Score": 2.0}'


def test_what_sentences_share_is_what_all_of_them_begin_with() -> None:
    assert lead_of(["overall judgment: image 1 wins", "overall judgment: image 2 wins"]) == (
        "overall judgment:"
    )
    assert lead_of(["first: image 1", "second: image 2"]) == ""
    assert lead_of(["image 1 is better", "image 2 is better"]) == ""
