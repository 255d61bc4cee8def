"""Specifications of judges: which prompt an output is held against."""

from dataclasses import replace
from pathlib import Path

import pytest

from factory.judging.specification import (
    DEFAULT,
    JudgeSpecification,
    SpecificationError,
    conditioning,
)
from factory.prompt_parts import in_words
from schemas.rows import Candidate, Drawn, Part, Prompt


def drawn_from(*texts: str | None) -> list[Candidate]:
    return [
        Candidate(str(n), "g@0", n, drawn=text and Drawn(None, text, None, "e", "fp32", "png"))
        for n, text in enumerate(texts)
    ]


def test_a_judge_may_be_shown_the_prompt_that_something_made_of_the_users() -> None:
    prompt = Prompt.of("a cup", tags={"style": "plain"})
    shown = conditioning(prompt, drawn_from("a cup, in oil", "a cup, in oil", None))
    assert shown == replace(prompt, text="a cup, in oil")
    assert conditioning(prompt, drawn_from(None, None)) == prompt
    with pytest.raises(SpecificationError, match="3 candidates were drawn from 2 different ones"):
        conditioning(prompt, drawn_from("a cup, in oil", "a cup, in ink", "a cup, in ink"))


def test_which_prompt_a_judge_is_shown_is_one_of_two(tmp_path: Path) -> None:
    task = replace(DEFAULT.task("image_generation"), prompt="conditioning")
    JudgeSpecification({"image_generation": task}).save(tmp_path)
    assert JudgeSpecification.load(tmp_path).task("image_generation").prompt == "conditioning"
    with pytest.raises(SpecificationError, match="'both' is neither original nor conditioning"):
        JudgeSpecification({"image_generation": replace(task, prompt="both")})


def test_of_a_dialogue_the_last_turn_is_the_one_that_conditioned() -> None:
    parts = [Part("user", "x"), Part("assistant", "y"), Part("user", "z")]
    shown = conditioning(Prompt.of_parts(parts), drawn_from("rewritten"))
    assert in_words(shown) == "user: x\nassistant: y\nuser: rewritten"
