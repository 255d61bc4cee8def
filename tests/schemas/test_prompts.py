"""Prompts of one part and of several: which of them are one and the same."""

import pytest

from schemas.rows import Media, Part, Prompt

CAT, DOG = Media(b"a cat", 8, 8), Media(b"a dog", 8, 8)
ASKED = Part("user", "what is it?")


def test_parts_that_amount_to_a_text_are_that_text() -> None:
    tags = {"k": "v"}
    assert Prompt.of_parts([Part("user", "a cat")], tags=tags) == Prompt.of("a cat", tags=tags)
    task = "image_understanding"
    question = [Part("question", media=CAT), ASKED]
    assert Prompt.of_parts(question, task) == Prompt.of("what is it?", task, media=CAT)


def test_other_parts_are_a_prompt_of_their_own_in_their_order() -> None:
    two = [Part("source", media=CAT), Part("source", media=DOG), Part("user", "side by side")]
    prompt = Prompt.of_parts(two)
    assert (prompt.text, prompt.media, prompt.parts) == ("side by side", None, tuple(two))
    others = [[two[1], two[0], two[2]], two[1:], [*two[:2], ASKED], two[2:]]
    ids = {Prompt.of_parts(parts).prompt_id for parts in (two, *others)}
    assert len(ids) == 5
    assert Prompt.of_parts(two, "video_generation").prompt_id not in ids
    turns = [ASKED, Part("assistant", "a cat"), Part("user", "are you sure?")]
    assert Prompt.of_parts(turns, "image_understanding").text == "are you sure?"


@pytest.mark.parametrize(
    "parts", [[], [Part("source", media=CAT)], [Part("user", "")], [Part("assistant", "a cat")]]
)
def test_the_user_has_to_say_something(parts: list[Part]) -> None:
    with pytest.raises(ValueError, match="the user says nothing"):
        Prompt.of_parts(parts)


def test_all_of_a_prompt_is_told_in_full() -> None:
    bare, asked = Prompt.of("a cat"), Prompt.of("what is it?", "image_understanding", media=CAT)
    assert bare.in_full == (Part("user", "a cat"),)
    assert asked.in_full == (Part("question", media=CAT), ASKED)
    parts = (Part("source", media=CAT), Part("user", "redder"))
    assert Prompt.of_parts(parts).in_full == parts
