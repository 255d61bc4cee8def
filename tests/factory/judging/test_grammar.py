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


VERDICTS = {
    "reasoning in tags is cut off": [
        ("On colour alone, Image 2 is better. But no.</think>\n\nImage 1 is better", "first"),
        ("<think>Image 2 is better", "invalid"),
        ("<think>I write <answer>Image 1 is better</answer>", "invalid"),
        ("<thinking>a</thinking> Image 2 is better", "second"),
        ("<reasoning>Image 1 is better</reasoning>\n<answer>2</answer>", "second"),
        ("<Thought>Image 1 is better</Thought>Image 2 is better.", "second"),
        ("<chain_of_thought>Image 1 is better.</chain_of_thought>Image 2 is better.", "second"),
        ("◁think▷Image 1 is better◁/think▷Image 2 is better.", "second"),
        ("[THINK]Image 1 is better[/THINK]Image 2 is better.", "second"),
        ("＜think＞Image 1 is better＜/think＞Image 2 is better.", "second"),
        ("<think>a <think>b</think> Image 1 is better.</think>Image 2 is better.", "second"),
        ("<think>Image 1 is better</think>", "invalid"),
        ("<think></think>", "invalid"),
    ],
    "answers in tags, boxes and brackets": [
        ("Image 1 is better</answer>", "first"),
        ("Image 1 is better</answer><|im_end|>", "first"),
        ("<|im_start|>assistant\nImage 1 is better<|im_end|>", "first"),
        ("Image 1 is better than Image 2.</s>", "first"),
        ("<answer>1</answer>", "first"),
        ("<answer>Image 1</answer>", "first"),
        ("<answer>tie</answer>", "tie"),
        ("<final_answer>B</final_answer>", "second"),
        ("<verdict>Image 2</verdict>", "second"),
        ("Image 2 is nice. <answer>Image 1 is better", "first"),
        ("<answer>Image 1/2</answer>", "invalid"),
        ("<answer>Image 1 is better in colour</answer>", "invalid"),
        ("<answer>Image 1 is better or Image 2 is better</answer>", "invalid"),
        ("<answer>Image 1 is better</answer><answer>Image 2 is better</answer>", "invalid"),
        ("<answer></answer>", "invalid"),
        ("The final answer is \\boxed{Image 2}", "second"),
        ("\\boxed{A}", "first"),
        ("So it is $\\boxed{\\text{B}}$", "second"),
        ("[[A]]", "first"),
        ("[[C]]", "tie"),
        ("My final verdict is tie: [[A=B]]", "tie"),
        ("Assistant A is slightly better: [[A>B]]", "first"),
        ("[[B>>A]]", "second"),
    ],
    "labels": [
        ("The second response has more but is wrong. The better response: [first]", "first"),
        ("A is short. B is right. The better response: [B]", "second"),
        ("The better response: [1]. Because it is.", "first"),
        ("Answer: B", "second"),
        ("**Answer:** B", "second"),
        ("Answer: **B**", "second"),
        ("winner: image_2", "second"),
        ("Winner:\nImage 2", "second"),
        ("The winner is Image 1.", "first"),
        ("Preferred image: 2", "second"),
        ("Decision: Image 2 (more detail)", "second"),
        ("Verdict: A because it is sharper", "first"),
        ("Final verdict — Image 2", "second"),
        ("Verdict: tie", "tie"),
        ("1st: Image 2\n2nd: Image 1", "second"),
        ("Rank 1: Image 2\nRank 2: Image 1", "second"),
        ("Ranking: Image 2 > Image 1", "second"),
        ("Question: which image is better? Answer: Image 2", "second"),
        ("Answer: A cat is shown.", "invalid"),
        ("Answer: 2.5", "invalid"),
        ("The correct answer is B. Both are wrong.", "invalid"),
        ("Winner: Image 1/2", "invalid"),
        ("Winner: Image 1 or Image 2", "invalid"),
        ("Winner: Image 1, Image 2", "invalid"),
        ("Winner: not Image 1", "invalid"),
        ("Winner: none", "invalid"),
        ("Which is better: Image 1 or Image 2?", "invalid"),
        ("the category winner is image 2", "invalid"),
        ("Image 1", "invalid"),
        ("1", "invalid"),
    ],
    "comparisons": [
        ("Response A > Response B", "first"),
        ("B > A", "second"),
        ("Image 1 < Image 2", "second"),
        ("Image 1 = Image 2", "tie"),
        ("Image 1 > Image 2 > Image 3", "invalid"),
        ("where a > b holds in the plot", "invalid"),
        ("Image 2 is worse than Image 1.", "first"),
        ("I prefer Image 2 over Image 1.", "second"),
        ("I'd choose Image 1.", "first"),
        ("Image 2 beats Image 1.", "second"),
        ("Image 1 is much better than the other image.", "first"),
        ("Image 1 is better than the source.", "invalid"),
        ("Image 1 is better aligned with the caption.", "invalid"),
        ("Option 2 is the better choice.", "second"),
        ("B is better.", "second"),
        ("The left image is better.", "invalid"),
        ("The light in Image 2 is better.", "invalid"),
        ("Image 1 is better. The composition of Image 2 is better.", "first"),
        ("Image 1, unlike Image 2, is better.", "invalid"),
    ],
    "the last sentence counts": [
        ("Image 2 is better. Wait, I miscounted. Image 1 is better.", "first"),
        ("Image 2 is better. Overall, Image 1 is better.", "first"),
        ("Image 1 is better. However, Image 2 is better.", "second"),
        ("Image 1 is better. Image 1 is better.", "first"),
        ("Image 1 is better. Let me know if you need more!", "first"),
        ("Image 1 is better. Image 2 has the nicer sky.", "first"),
        ("Image 2 is not better. Image 1 is better.", "first"),
        ("Image 1 is better. Looking again, Image 1 is not better.", "invalid"),
        ("Image 1 is better, no wait, Image 2.", "invalid"),
        ("Image 1 is better. Correction: Image 2.", "invalid"),
        ("Image 1 is better. Not!", "invalid"),
        ("1. Image 1 is better.\n2. Image 2 is better.", "invalid"),
        ("Image 1 is better.\nImage 2 is better.\nBoth images are equally good.", "invalid"),
        (
            'Conclude with one such as "Image 1 is better than Image 2.", "Image 2 is better than '
            'Image 1." and "Both images are equally good."',
            "invalid",
        ),
    ],
    "both sides in a sentence": [
        ("Image 1 is better in detail, but Image 2 is better overall.", "invalid"),
        ("Image 1 is better, though Image 2 is better in colour.", "invalid"),
        ("Image 1 is better than Image 2 and Image 2 is better than Image 1.", "invalid"),
        ("I must say 'Image 1 is better' or 'Image 2 is better'.", "invalid"),
        ("Options: Image 1 is better; Image 2 is better; both are equally good.", "invalid"),
        ("While Image 2 is sharper, Image 1 is better overall.", "first"),
        ("While Image 2 may have more detail, Image 1 is better overall.", "first"),
        ("Image 2 does not show the dog, so Image 1 is better.", "first"),
        ("Image 1 is better (Image 2 is blurry).", "first"),
        ("Image 1 is better and Image 2 is worse.", "first"),
    ],
    "aspects are not the whole": [
        ("In terms of style, Image 2 is better.", "invalid"),
        ("Image 1 is better than Image 2. In terms of style, Image 2 is better.", "first"),
        ("Style: Image 2 is better", "invalid"),
        ("Accuracy: Image 1 is better. Style: Image 2 is better.", "invalid"),
        ("### Style\nImage 2 is better\n### Overall\nImage 1 is better", "first"),
        ("### Alignment\nImage 1 is better.\n### Style\nImage 2 is better.", "invalid"),
        ("**Style**\nImage 2 is better", "invalid"),
        ("Image 1 is better for style.", "invalid"),
        ("At first glance, Image 2 is better.", "invalid"),
        ("From a technical standpoint, Image 2 is better.", "invalid"),
        ("In conclusion, Image 1 is better.", "first"),
        ("On balance, Image 2 is better.", "second"),
        ("Image 1 is better in every respect.", "first"),
        ("Image 1 is better than Image 2 on all counts.", "first"),
        ("Image 1 is better in terms of both criteria.", "first"),
        ("Image 1 is better but only in style.", "invalid"),
        ("Image 1 is better with respect to style.", "invalid"),
        ("Image 1 is better and more realistic.", "first"),
        ("With sharper details, Image 1 is better.", "first"),
    ],
    "denials": [
        ("Image 1 is not better", "invalid"),
        ("Image 1 isn't better than Image 2.", "invalid"),
        ("Image 1 is no better than Image 2.", "invalid"),
        ("I do not prefer Image 1.", "invalid"),
        ("I disagree that Image 1 is better.", "invalid"),
        ("Neither image is better.", "invalid"),
        ("Neither Image 1 nor Image 2 is better.", "invalid"),
        ("Neither image is better than the other.", "tie"),
        ("Both are bad.", "invalid"),
        ("It is not a tie.", "invalid"),
        ("It is not the case that, overall, Image 1 is better.", "invalid"),
        ("It is far from clear that Image 1 is better.", "invalid"),
        ("There is no doubt that Image 1 is better.", "first"),
    ],
    "doubts, conditions, questions and hearsay": [
        ("Perhaps Image 1 is better.", "invalid"),
        ("Image 1 is probably better.", "invalid"),
        ("Image 1 is better, maybe.", "invalid"),
        ("Image 1 seems better.", "invalid"),
        ("Image 1 is better. But I am not sure.", "invalid"),
        ("It's hard to say but Image 2 is better.", "invalid"),
        ("I'm not sure, but Image 1 is better.", "invalid"),
        ("I cannot decide which image is better.", "invalid"),
        ("Image 1 is better if we ignore style.", "invalid"),
        ("If you like realism, Image 2 is better. Otherwise, Image 1 is better.", "invalid"),
        ("Image 1 is better?", "invalid"),
        ("Some might say Image 2 is better.", "invalid"),
        ("The instruction says to output 'Image 1 is better'.", "invalid"),
        ("I initially thought Image 2 is better. Image 1 is better.", "first"),
        ("I think Image 1 is better.", "first"),
        ("Image 1 is better because Image 2 is blurry and may be cut.", "first"),
    ],
    "ties": [
        ("It's a tie.", "tie"),
        ("Two responses are equally good.", "tie"),
        ("Both images are equally bad.", "tie"),
        ("Both images are equally good at colour.", "invalid"),
        ("Both Image 1 and Image 2 are better than average.", "invalid"),
    ],
    "other writing": [
        ("Ｉｍａｇｅ　１ ｉｓ ｂｅｔｔｅｒ", "first"),
        ("“Image 1” is better", "first"),
        ("__Image 2__ is **better**.", "second"),
        ("Image\u200b 1 is better", "first"),
        ("Image <b>1</b> is better", "first"),
        ("图1更好", "first"),
        ("图2比图1更好。", "second"),
        ("图1不比图2更好", "invalid"),
    ],
    "JSON": [
        ('{"winner": "Image 2"}', "second"),
        ('```json\n{"reason": "Image 1 is better", "winner": "Image 2"}\n```', "second"),
        ('{"categories": [{"cat_winner": "Image 1"}], "winner": "Image 2"}', "second"),
        ('{"Final_Verdict": "A"}', "first"),
        ('{"better_image": 1}', "first"),
        ('{"preference": "tie"}', "tie"),
        ('{"score_1": 8, "score_2": 6}', "first"),
        ('{"scores": {"image_1": 4, "image_2": 6}}', "second"),
        ('[{"winner": "Image 1"}]', "first"),
        ('Response 1 writes {"answer": "B"} and Response 2 is better.', "second"),
        ('Response 1 writes {"answer": "B"} and is right.', "invalid"),
        ('{"winner": "Image 1/2"}', "invalid"),
        ('{"winner": 0}', "invalid"),
        ('{"winner": null}', "invalid"),
        ('{"winner": ["Image 1"]}', "invalid"),
        ('{"winner": "A", "winner": "B"}', "invalid"),
        ('{"winner": "A",}', "invalid"),
        ('{"categories": [{"cat_winner": "Image 1", "dims": [{"score_1": 8, "sc', "invalid"),
        ('{"rank": {"image_1": 1, "image_2": 2}}', "invalid"),
        ('{"winner": "Image 1"} Or rather: Image 2 is better.', "invalid"),
    ],
    "points for each side": [
        ("Image 1: 8/10\nImage 2: 6/10", "first"),
        ("Image 1 (8/10), Image 2 (9/10)", "second"),
        ("Style\nImage 1: 9\nImage 2: 1\nTotal score:\nImage 1: 28\nImage 2: 31", "second"),
        ("Alignment Score:\n Image 1: 0.4357\n Image 2: 0.5643\n\nStyle Score:\n Image 1: 0.42\n"
         " Image 2: 0.58", "second"),
        ("Scores\nImage 1: 8\nImage 2: 8", "tie"),
        ("Number of dogs\nImage 1: 3\nImage 2: 1", "invalid"),
        ("Image 1: 3\nImage 2: 1", "invalid"),
        ("Image 1: 9/10\nImage 2: 8/5", "invalid"),
        ("Image 1: 9+8=17\nImage 2: 7+8=15", "invalid"),
        ("Image 1: 60%\nImage 2: 40%", "invalid"),
        ("Rank: Image 1: 1, Image 2: 2", "invalid"),
        ("Errors\nImage 1: 3 / Image 2: 0", "invalid"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), [case for kind in VERDICTS.values() for case in kind])
def test_a_verdict_is_read_as_people_read_it_or_not_at_all(text, wanted):
    assert verdict(text) == wanted
    # What the judge was asked to write changes nothing of that.
    assert verdict(text, answers=SHORT) == verdict(text, answers=LONG) == wanted


SCORES = [
    ("Final Score: 2.05", 2.05),
    ("Final Score: 2.95", 2.95),
    ("Final Score: 4/5", 4),
    ("Final Score: **4**/5", 4),
    ("Final Score (1-5): 4", 4),
    ("Final Score (out of 5): 4", 4),
    ("Final Score: 4 (out of 5)", 4),
    ("Final Score: 4 on a scale of 1 to 5", 4),
    ("Final Score is 4", 4),
    ("Final Score: 4 stars", 4),
    ("Final Score: 4 - a good match", 4),
    ("Rating: 4", 4),
    ("4.5", 4.5),
    ("4/5", 4),
    ("4\nIt fits.", 4),
    ("<think>Final Score: 3</think>Final Score: 4", 4),
    ("<score>4</score>", 4),
    ("Final Score: \\boxed{4}", 4),
    ("Final Score: [[4]]", 4),
    ('{"score": 4.5, "reason": "Final Score: 3"}', 4.5),
    ('{"score": "4/5"}', 4),
    ("Final Score: 4/10", "invalid"),
    ("Final Score: 4 (out of 10)", "invalid"),
    ("Final Score (1-10): 4", "invalid"),
    ("Final Score: 4 on a scale of 1 to 10", "invalid"),
    ("Final Score: 2 or 3", "invalid"),
    ("Final Score: 2 (maybe 3)", "invalid"),
    ("Final Score: 4 but could be 3", "invalid"),
    ("Final Score: 4 to 5", "invalid"),
    ("Final Score: 4–5", "invalid"),
    ("Final Score: ~4", "invalid"),
    ("Final Score: 4?", "invalid"),
    ("Final Score: 4 and a half", "invalid"),
    ("Final Score: 3½", "invalid"),
    ("Final Score: 2²", "invalid"),
    ("Final Score: 1*2", "invalid"),
    ("Final Score: 2+2=4", "invalid"),
    ("Final Score: 4 5", "invalid"),
    ("Final Score: four", "invalid"),
    ("Alignment Score (1-5): 4.5\nStyle Score (1-5): 4", "invalid"),
    ('{"score": [4, 5]}', "invalid"),
    ('{"score": true}', "invalid"),
    ('{"score": 4, "rating": 3}', "invalid"),
    ('{"score": "4/10"}', "invalid"),
]


@pytest.mark.parametrize(("text", "wanted"), SCORES)
def test_a_score_is_one_number_of_the_scale_or_none(text, wanted):
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
