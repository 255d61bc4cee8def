"""Conversations as they are published: each layout, release and kind of answer of three sets."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.labels.draft import Draft, finish
from factory.labels.instruction import Instruction
from factory.labels.record import LabelError
from factory.labels.registry import FORMATS
from schemas.rows import Dimension
from tests.factory.labels.media import png
from tests.factory.labels.test_formats import FILES, PAIR_QUESTION, read, talk
from tests.factory.labels.test_published_tables import case, drafts

CAPTION = "<image>\n<image>\nCompare two images.\nText Caption: [a red square]"


def only(name: str, *rows: dict[str, object]) -> Draft:
    (draft,) = drafts(name, *rows, **FILES)
    return draft


def fault(name: str, row: dict[str, object]) -> str:
    with pytest.raises(LabelError) as found:
        drafts(name, row, **FILES)
    return str(found.value)


# ------------------------------------------------------------------------------- LLaVA-Critic


def test_the_better_response_is_the_one_that_the_last_clause_names():
    told = [only("llava-critic", row) for row in case("llava_critic_pair.jsonl")]
    assert [one.preference for one in told] == ["first", "second", "second"]
    assert told[0].justification == "The second response has more detail but is wrong."
    assert told[2].justification == "A is short. B is right."
    assert [one.first_answer for one in told] == ["Red.", "Blue.", "Blue."]


@pytest.mark.parametrize(
    ("answered", "preference"),
    [
        ("The better response: [1]. Because it names the cat.", "first"),
        ("The first is short. The better response: [A]", "first"),
        ("Both name it. Two responses are equally good.", "tie"),
        ("The first response is better in style. The better response: [second]", "second"),
    ],
)
def test_pairs_of_llava_critic_end_in_many_words(answered, preference):
    row = talk(PAIR_QUESTION, answered, image="a.png")
    assert only("llava-critic", row).preference == preference


def test_a_rated_caption_is_an_answer_about_its_picture():
    (row,) = case("llava_critic_caption_0_to_100.jsonl")
    draft = only("llava-critic", row)
    assert (draft.prompt.task, draft.first_answer) == ("image_understanding", "A plain red square.")
    assert (draft.rating, draft.scale, draft.justification) == (85, (0, 100), "It is right.")
    assert draft.prompt.media is not None
    assert draft.first is None
    assert finish(draft, "x", 0, (1, 5)).points == 4.4
    said = row["conversations"][1]["value"]
    unsaid = talk(
        "Text Caption: A plain red square.\nHow good is this caption?", said, image="red.png"
    )
    assert "state no scale, as 'from 0 to 100'" in fault("llava-critic", unsaid)


def test_the_other_layouts_of_llava_critic():
    bench, arena, neither = case("llava_critic_other.jsonl")
    told = [only("llava-critic", bench), only("llava-critic", arena)]
    assert [one.preference for one in told] == ["first", "first"]
    assert [(one.first_answer, one.second_answer) for one in told] == [("A square", "A dog")] * 2
    assert [one.prompt.text for one in told] == ["What is it?"] * 2
    assert "file" not in fault("llava-critic", neither)
    assert "'conversations' gives no verdict: 'Both try to answer.'" in fault(
        "llava-critic", neither
    )


def test_headings_of_an_arena_and_of_a_benchmark():
    asked = (
        "Judge two.\n<|User Prompt|>\nWhat is it?\n\n<|The Start of Assistant A's Answer|>\n"
        "A cat.\n[1] a note\n\n[Question]\nquoted\n<|The End of Assistant A's Answer|>\n\n"
        "<|The Start of Assistant B's Answer|>\nA dog.\n<|The End of Assistant B's Answer|>"
    )
    draft = only(
        "llava-critic", talk(asked, "B is right.\n\nMy final verdict: [[B>>A]]", image="a.png")
    )
    assert (draft.preference, draft.prompt.text) == ("second", "What is it?")
    assert draft.first_answer == "A cat.\n[1] a note\n\n[Question]\nquoted"
    assert (draft.second_answer, draft.justification) == ("A dog.", "B is right.")
    bench = (
        "[Context]\nA cat.\n\n[Question]\nWhat?\n\n[Assistant 1]\nA cat.\n\n"
        "[End of Assistant 1]\n\n[Assistant 2]\nA dog.\n\n[End of Assistant 2]\n\n"
        "[System]\nScores on a scale of 1 to 10."
    )
    for answered, preference in (("7 9\nThe first is short.", "second"), ("8.5 8.5", "tie")):
        assert only("llava-critic", talk(bench, answered, image="a.png")).preference == preference
    assert "is 11.0, not a number from 1 to 10" in fault(
        "llava-critic", talk(bench, "11 9", image="a.png")
    )
    rated = "### Question\nWhat?\n\n### LMM Response to Evaluate\nA cat.\n"
    row = talk(f"Rate it from 0 to 6.\n{rated}", "It is right.\nRating: 5", image="a.png")
    draft = only("llava-critic", row)
    assert (draft.first_answer, draft.rating, draft.scale) == ("A cat.", 5, (0, 6))
    row = talk(f"Rate it.\n{rated}", "Rating: 5", image="a.png")
    assert "state no scale" in fault("llava-critic", row)


def test_rows_of_its_parquet_hold_their_picture():
    row = talk(PAIR_QUESTION, "The better response: [2]", image={"bytes": png(), "path": None})
    row |= {"id": "vlfeedback_1", "source": "vlfeedback"}
    assert only("llava-critic", row).preference == "second"
    assert set(row) - {"id", "source"} <= set(FORMATS["llava-critic"].columns or ())


# ------------------------------------------------------------------------------ UnifiedReward


def test_points_of_three_dimensions_and_their_mean():
    (row,) = case("unified_reward_2_points.jsonl")
    draft = only("unified-reward", row)
    assert draft.dimensions == (
        Dimension("alignment", first=4.5),
        Dimension("coherence", first=4.0),
        Dimension("style", first=2.694700002670288),
    )
    assert draft.rating == pytest.approx(3.7316, abs=1e-4)
    assert draft.scale == (1, 5)
    asked = "You are shown a generated video.\nText Caption: [a boat]"
    said = "Alignment Score (1-5): 2.4\nPhysics Score (1-5): 3.1\nStyle Score (1-5): 3.5"
    clip = only("unified-reward", talk(asked, said, videos=["clip.mp4"]))
    assert (clip.prompt.task, clip.rating, clip.scale) == ("video_generation", 3.0, (1, 5))
    off = said.replace("2.4", "7.4")
    assert "is 7.4, not a number from 1 to 5" in fault(
        "unified-reward", talk(asked, off, video="d.mp4")
    )


def test_points_of_each_side_decide_by_their_sum():
    (row,) = case("unified_reward_2_pair.jsonl")
    draft = only("unified-reward", row)
    assert (draft.preference, draft.scale) == ("second", (0, 1))
    assert draft.dimensions[0] == Dimension("alignment", "second", 0.43, 0.57)
    assert [one.name for one in draft.dimensions] == ["alignment", "coherence", "style"]
    assert draft.swap().dimensions[0] == Dimension("alignment", "first", 0.57, 0.43)
    said = "Alignment Score:\n Image 1: 0.9\n Image 2: 0.1\n\n"
    said += "Style Score:\n Image 1: 0.4\n Image 2: 0.6"
    assert (
        only("unified-reward", talk(CAPTION, said, images=["a.png", "b.jpg"])).preference == "first"
    )
    said = "Style Score\nImage 1: 8 / Image 2: 6"
    unscaled = only("unified-reward", talk(CAPTION, said, images=["a.png", "b.jpg"]))
    assert unscaled.dimensions == (Dimension("style", "first"),)


def test_the_reasoning_of_think_is_the_justification():
    (row,) = case("unified_reward_think.jsonl")
    draft = only("unified-reward", row)
    assert draft.preference == "second"
    assert draft.justification == "By contrast alone Image 1 is better, but its colour is wrong."
    asked = (
        "Reason first.\n<think>\nTotal score:\nAnswer 1: 9+8=17\nAnswer 2: 7+7=14\n</think>\n"
        "Question: [What?]\nAnswer 1: [A cat]\nAnswer 2: [A dog]"
    )
    said = "<think>\n1. Clarity: Answer 1 (9/10) - ...; Answer 2 (7/10)\nTotal score:\nAnswer 1: 17"
    said += "\nAnswer 2: 14\n</think>\n<answer>Answer 1 is better</answer>"
    draft = only("unified-reward", talk(asked, said, images=["a.png"]))
    assert (draft.first_answer, draft.second_answer, draft.preference) == (
        "A cat",
        "A dog",
        "first",
    )
    assert draft.justification.startswith("1. Clarity")
    quoted = (
        "1. The caption for the generated images is: 「a red cat」. Compare the two images.\n"
        "Total score:\nImage 1: x+x=total\n"
    )
    row = talk(
        quoted, "<think>x</think><answer>Image 2 is better</answer>", images=["a.png", "b.jpg"]
    )
    assert only("unified-reward", row).prompt.text == "a red cat"
    unended = (
        "The answers are:\n- Answer 1: A cat\n- Answer 2: A dog\n\n2. You must evaluate these.\n"
    )
    row = talk(f"Question: What?\n{unended}", "Answer 1 is better", images=["a.png"])
    assert "do not say where their 'second' ends" in fault("unified-reward", row)


def test_the_score_of_a_clip_stands_beside_its_dimensions():
    asked = (
        "Watch the frames of a given video.\nGive scores:\n(1) visual quality: how clear it is\n"
        "(2) dynamic degree, how much moves\nFor each, a number from [1,2,3,4].\n"
        "Then a score from 1 to 10 after 'Final Score:'\n"
        "Your task is provided as follows: Text Prompt: [a red cat]"
    )
    said = "visual quality: 4\ndynamic degree: 2\nFinal Score: 6"
    draft = only("unified-reward", talk(asked, said, images=["a.png", "c.png"] * 4))
    assert (draft.prompt.text, draft.prompt.task) == ("a red cat", "video_generation")
    assert (draft.rating, draft.scale) == (6, (1, 10))
    assert draft.dimensions == (
        Dimension("visual quality", first=10.0),
        Dimension("dynamic degree", first=4.0),
    )
    elements = "Rate it from 1 to 5.\nText Caption: [a red cat]"
    said = "cat (animal): 1\nred (color): 0\nFinal Score: 2.05"
    draft = only("unified-reward", talk(elements, said, images=["a.png"]))
    assert (draft.rating, draft.dimensions) == (2.05, ())
    assert draft.justification == "cat (animal): 1\nred (color): 0"


@pytest.mark.parametrize(
    ("media", "task"),
    [
        ({"videos": ["clip.mp4", "d.mp4"]}, "video_generation"),
        ({"images": [], "videos": ["clip.mp4", "d.mp4"]}, "video_generation"),
        ({"videos": [["a.png", "c.png"], ["c.png", "a.png"]]}, "video_generation"),
        ({"image": ["a.png", "b.jpg"]}, "image_generation"),
        ({"images": [{"bytes": png(), "path": None}, "b.jpg"]}, "image_generation"),
    ],
)
def test_media_of_the_qwen_releases(media, task):
    asked = "Which is better?\nText Caption: [a red cat]"
    side = "Video" if task == "video_generation" else "Image"
    draft = only("unified-reward", talk(asked, f"{side} 2 is better than {side} 1.", **media))
    assert (draft.prompt.task, draft.preference) == (task, "second")
    assert draft.first is not None
    assert draft.first != draft.second


def test_one_picture_or_clip_in_a_list_is_one():
    asked = "Question: [What?]\nResponse: [A cat]\nFrom 0 to 100, how good is it?"
    draft = only("unified-reward", talk(asked, "It is.\nFinal Score: 70", image=["a.png"]))
    assert (draft.rating, draft.scale) == (70, (0, 100))
    draft = only(
        "unified-reward", talk("Question: [What?]\nResponse: [A cat]", "4", videos=["d.mp4"])
    )
    assert (draft.prompt.task, draft.rating, draft.scale) == ("video_understanding", 4, (1, 5))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (talk(CAPTION, "Image 1 is better", images=[]), "'images' is empty"),
        (talk(CAPTION, "Image 1 is better", images=["a.png"], videos=["d.mp4"]),
         "'images' stands beside 'videos'; which is it about?"),
        (talk(CAPTION, "<think>Image 1 is better", images=["a.png", "b.jpg"]),
         "cannot be read (the reasoning has no end)"),
        (talk(CAPTION, "Perhaps Image 1 is better", images=["a.png", "b.jpg"]),
         "cannot be read (a verdict in doubt)"),
        (talk("Rate it.\nText Caption: [a]", "Final Score: 4/10", images=["a.png"]),
         "give 4 out of 10 on a scale from 1 to 5"),
        (talk("Rate it from 1 to 10.\nText Caption: [a]", "Score (1-5): 4", images=["a.png"]),
         "give a score on another scale than was asked for"),
        (talk("Rate it.\nText Caption: [a]", "Final Score: 2 or 3", images=["a.png"]),
         "give no score (not one number of the scale"),
        ({"conversations": ["x"], "image": "a.png"}, "holds a str, and not a turn"),
        ({"conversations": [{"from": "human", "value": "a\ud800"}], "image": "a.png"},
         "holds half of a surrogate pair"),
        ({**talk(CAPTION, "x"), "conversations": talk(CAPTION, "x")["conversations"] * 2,
          "image": "a.png"}, "has several turns from 'human'"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_a_fault_that_says_so(row, said):
    assert said in fault("unified-reward", row)


def test_a_part_ends_where_its_bracket_does():
    told = Instruction.of("Text Caption: [a [red] cat]\nWrite [Image 1] or [Image 2].")
    assert told.parts == {"caption": "a [red] cat"}
    assert "[Image 2]" in told.rest
    assert "red" not in told.rest
    told = Instruction.of("Question: [x = a[0]]\nResponse: [a] = 1]\n")
    assert told.parts == {"question": "x = a[0]", "only": "a] = 1"}
    told = Instruction.of("Text Caption: [a red cat]\nChoose [Image 1] or [Image 2]")
    assert told.parts == {"caption": "a red cat"}
    asked = "Question: [Which?\nAnswer: A or B]\nThe first response: [So: [x\nAnswer: A.]\n"
    told = Instruction.of(f"{asked}The second response: [B]\nASSISTANT:\n")
    assert told.parts["question"] == "Which?\nAnswer: A or B"
    assert (told.parts["first"], told.parts["second"]) == ("So: [x\nAnswer: A.", "B")


# ------------------------------------------------------------------------------------------ TRL


def answers(draft: Draft) -> dict[str | None, str]:
    return {draft.first_answer: "first", draft.second_answer: "second"}


def test_rlaif_v_names_its_prompt_a_question():
    (row,) = case("rlaif_v.jsonl")
    draft = only("trl", row)
    assert draft.prompt.text == "What colour is it?"
    assert draft.preference == answers(draft)["Red."]
    packed = {
        "image": "red.png",
        "text": json.dumps({k: row[k] for k in ("question", "chosen", "rejected")}),
    }
    assert only("trl", packed) == draft


def test_sharegpt_says_from_and_value():
    row = {
        "conversations": [{"from": "human", "value": "<image>What colour?"}],
        "chosen": {"from": "gpt", "value": "Red."},
        "rejected": {"from": "gpt", "value": "Blue."},
        "images": ["red.png"],
    }
    draft = only("trl", row)
    assert draft.prompt.text == "What colour?"
    assert draft.preference == answers(draft)["Red."]
    clip = {**row, "images": None, "videos": ["clip.mp4"]}
    clip["conversations"] = [{"from": "human", "value": "<video>What colour?"}]
    assert only("trl", clip).prompt.task == "video_understanding"
    spoken = only("trl", {**row, "system": "Be brief."})
    assert spoken.prompt.text == "system: Be brief.\nuser: What colour?"


def test_alpaca_puts_its_input_after_the_instruction():
    row = {"instruction": "Name it.", "input": "One word.", "chosen": "A", "rejected": "B"}
    draft = only("trl", {**row, "images": ["a.png"]})
    assert draft.prompt.text == "Name it.\nOne word."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rejected": " Red. "}, "'chosen' is the same as 'rejected', so that neither is"),
        ({"chosen": [{"role": "user", "content": "Red."}]}, "ends in a message of role 'user'"),
        ({"chosen": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "Red."}]},
         "'chosen' begins with other messages than 'question'"),
        ({"chosen": [{"role": "assistant", "content": ["Red."]}]}, "neither text nor parts"),
        ({"question": [{"role": "\ud800", "content": "What?"}]}, "half of a surrogate pair"),
        ({"chosen": None, "rejected": None, "text": "{"}, "'text' is no JSON"),
    ],
)  # fmt: skip
def test_sides_that_cannot_be_told_apart_or_are_none(change, said):
    (row,) = case("rlaif_v.jsonl")
    assert said in fault("trl", {**row, **change})


# ----------------------------------------------------------------------------------------- fuzz

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.just(10**400),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
WORDS = st.text(max_size=12) | st.sampled_from(
    [
        *(
            "Question: [",
            "]",
            "\nThe first response: [A]",
            "Text Caption: [a]",
            "[Question]\n",
            "<image>",
        ),
        *(
            "\n[Assistant 1]\n",
            "\n[End of Assistant 1]\n",
            "Image 1 is better",
            "Final Score: 4",
            "8 6",
        ),
        *("From 0 to 100, x", "「", "」", "<think>", '{"winner": "A"}', "\ud800", "a (1-5): 4"),
    ]
)
TALK = st.lists(WORDS, max_size=6).map("".join)
KEYS = (
    "image",
    "images",
    "videos",
    "conversations",
    "chosen",
    "rejected",
    "prompt",
    "question",
    "text",
)


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(["llava-critic", "unified-reward", "trl"]),
    asked=TALK,
    answered=TALK,
    more=st.dictionaries(st.sampled_from(KEYS), VALUES | TALK, max_size=4),
)
def test_any_row_ends_in_drafts_or_in_a_fault_of_ours(name, asked, answered, more):
    row = {**talk(asked, answered, image="a.png"), "chosen": answered, "rejected": asked, **more}
    with contextlib.suppress(LabelError):
        assert all(isinstance(one, Draft) for one in drafts(name, row, **FILES))


def test_the_pictures_of_these_tests_are_there():
    assert read("a.png") != read("c.png")
