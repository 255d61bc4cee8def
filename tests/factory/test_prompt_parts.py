"""Prompts of several parts: what they need of a model, and how they are told in words."""

import numpy as np
import pytest

from factory.media.clips import describe
from factory.media.pictures import encode_png
from factory.prompt_parts import PartsError, check_needs, in_words, needs_of, turns
from schemas.rows import Media, Part, Prompt, Task


def picture(grey: int) -> Media:
    return describe(encode_png(np.full((4, 4, 3), grey, np.uint8)))


A, B = picture(10), picture(20)


def of(*parts: Part, task: Task = "image_understanding") -> Prompt:
    return Prompt.of_parts(parts, task)


def shown(media: Media) -> Part:
    return Part("question", media=media)


def user(text: str) -> Part:
    return Part("user", text)


SAID = Part("assistant", "a cube")


@pytest.mark.parametrize(
    ("prompt", "needs", "words"),
    [
        (Prompt.of("x", "image_understanding", media=A), set(), "x"),
        (of(shown(A), shown(B), user("alike ?")), {"media"}, "alike ?"),
        (
            of(shown(A), user("x ?"), SAID, user("y ?")),
            {"turns"},
            "user: x ?\nassistant: a cube\nuser: y ?",
        ),
        (
            of(shown(A), user("x ?"), SAID, shown(B), user("y ?")),
            {"turns", "order", "media"},
            "user: [image 1] x ?\nassistant: a cube\nuser: [image 2] y ?",
        ),
        (of(user("is"), shown(A), user("red ?")), {"order"}, "is [image 1] red ?"),
        (
            of(Part("source", media=A), user("make it red"), task="image_generation"),
            {"source"},
            "make it red",
        ),
        (
            of(
                Part("source", media=A), Part("source", media=B), user("x"), task="image_generation"
            ),
            {"sources"},
            "x",
        ),
        (of(Part("sound", media=A), user("x"), task="video_generation"), {"others"}, "x"),
        (of(shown(A), user("x"), task="image_generation"), {"others"}, "x"),
    ],
)
def test_a_prompt_says_what_it_needs_and_is_told_in_words(
    prompt: Prompt, needs: set[str], words: str
) -> None:
    assert needs_of(prompt) == needs
    assert in_words(prompt) == words


def test_neighbouring_parts_of_one_speaker_are_one_turn() -> None:
    told = turns(of(shown(A), user("x ?"), SAID, shown(B), user("y ?")))
    assert [(one.speaker, len(one.parts)) for one in told] == [
        ("user", 2),
        ("assistant", 1),
        ("user", 2),
    ]


def test_other_words_and_other_media_keep_the_row() -> None:
    prompt = of(shown(A), user("x ?"), SAID, shown(B), user("y ?"))
    other = prompt.saying("z ?").showing([B, A])
    assert other.prompt_id == prompt.prompt_id
    assert other.media_of("question") == (B, A)
    assert [one.text for one in other.parts] == [None, "x ?", "a cube", None, "z ?"]
    assert other.text == "z ?"


def test_what_a_model_does_not_take_is_refused_by_name() -> None:
    check_needs({"media"}, {"media", "turns"}, "m")
    with pytest.raises(PartsError, match="m does not take a dialogue of several turns, nor a sour"):
        check_needs({"source", "turns", "media"}, {"media"}, "m")
