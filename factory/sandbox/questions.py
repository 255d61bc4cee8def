"""Questions about scenes and clips, with answers of known correctness.

Each question asks for facts of the scene, and an answer gives a word for each, so answers can be
ranked as pictures are: a full answer that names size and colour beats one that gets only the
colour right. `facts` reads a question back and says what is true, so any answer can be checked.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from factory.sandbox.world import BACKGROUNDS, COLOURS, DIRECTIONS, SHAPES, SIZES, SPEEDS, Scene

_NUMBERS = ("one", "two", "three")
#: Two answers whose shares of right facts differ by less are equally good.
ANSWER_TIE = 0.04


@dataclass(frozen=True)
class Fact:
    """One asked-for fact: the right word, all possible ones, and the sentence that corrects."""

    truth: str
    options: tuple[str, ...]
    correction: str


@dataclass(frozen=True)
class Answer:
    """One answer and how right it is."""

    text: str
    correctness: float  # share of the asked-for facts that are right, 0 to 1


@dataclass(frozen=True)
class Question:
    """A question about one scene or clip; `answers[0]` is fully right."""

    text: str
    answers: tuple[Answer, ...]


class QuestionError(ValueError):
    """A text that is no question of the sandbox, or one that does not fit the scene."""


def facts(scene: Scene, question: str) -> tuple[Fact, ...]:
    """What `question` asks for and what is true of `scene`, one fact for each word of an answer.

    Raises:
        QuestionError: not a question that `ask` could have asked of this scene.
    """
    if question == "how many things are there ?":
        truth = _NUMBERS[len(scene.things) - 1]
        noun = "thing" if truth == "one" else "things"
        return (Fact(truth, _NUMBERS, f"there should be {truth} {noun}"),)
    if question == "what colour is the background ?":
        truth = scene.background
        return (Fact(truth, tuple(BACKGROUNDS), f"the background should be {truth}"),)
    if scene.motion is not None and question in _OF_MOTION:
        motion = scene.motion
        found = [
            Fact(motion.direction, tuple(DIRECTIONS), f"it should be moving {motion.direction}"),
            Fact(motion.speed, tuple(SPEEDS), f"it should be moving {motion.speed}"),
        ]
        return tuple(found[: _OF_MOTION[question]])
    for pattern, field, other in _OF_THINGS:
        match = pattern.fullmatch(question)
        things = [one for one in scene.things if match and getattr(one, other) == match[1]]
        if len(things) == 1:
            thing = things[0]
            size = Fact(thing.size, tuple(SIZES), f"it should be {thing.size}")
            colour = Fact(thing.colour, tuple(COLOURS), f"it should be {thing.colour}")
            shape = Fact(thing.shape, SHAPES, f"it should be a {thing.shape}")
            return {"colour": (colour,), "shape": (shape,), "all": (size, colour, shape)}[field]
    raise QuestionError(f"not a sandbox question of this scene: {question!r}")


_OF_MOTION = {"which direction is it moving ?": 1, "how is it moving ?": 2}
_OF_THINGS = (
    (re.compile(r"what colour is the (\w+) \?"), "colour", "shape"),
    (re.compile(r"what shape is the (\w+) thing \?"), "shape", "colour"),
    (re.compile(r"which thing is at the (\w+(?: \w+)?) \?"), "all", "place"),
)


def check_answer(scene: Scene, question: str, answer: str) -> tuple[bool, ...]:
    """Which of the asked-for facts `answer` gets right; a fact without a word is wrong.

    Raises:
        QuestionError: as `facts`.
    """
    asked = facts(scene, question)
    words = [*answer.split(), *[""] * len(asked)]
    return tuple(word == one.truth for word, one in zip(words, asked, strict=False))


def correctness(right: Sequence[bool]) -> float:
    """The share of facts that are right, 0 to 1."""
    return sum(right) / len(right)


def wrong_facts(scene: Scene, question: str, answer: str) -> list[str]:
    """What an answer gets wrong, as short sentences in the sandbox's vocabulary."""
    checked = zip(facts(scene, question), check_answer(scene, question, answer), strict=True)
    return [fact.correction for fact, is_right in checked if not is_right]


def _graded(asked: Sequence[Fact], rng: random.Random, num: int) -> tuple[Answer, ...]:
    """Answers made of one word per fact, the right one first."""
    found = {" ".join(one.truth for one in asked): 1.0}
    for _ in range(20 * num):
        if len(found) >= num:
            break
        words = [one.truth if rng.random() < 0.5 else rng.choice(one.options) for one in asked]
        right = sum(word == one.truth for word, one in zip(words, asked, strict=True))
        found.setdefault(" ".join(words), right / len(asked))
    return tuple(Answer(text, share) for text, share in found.items())


def ask(scene: Scene, rng: random.Random, num_answers: int = 4) -> Question:
    """A random question about `scene` (about its motion too, where it has one)."""
    kinds = ["count", "background", "colour", "shape", "describe", "describe"]
    if scene.motion is not None:
        kinds += ["direction", "motion", "motion"]
    kind = rng.choice(kinds)
    thing = rng.choice(scene.things)
    same_shape = [one for one in scene.things if one.shape == thing.shape]
    same_colour = [one for one in scene.things if one.colour == thing.colour]
    text = "how many things are there ?"
    if kind == "colour" and len(same_shape) == 1:
        text = f"what colour is the {thing.shape} ?"
    elif kind == "shape" and len(same_colour) == 1:
        text = f"what shape is the {thing.colour} thing ?"
    elif kind == "describe" and thing.place is not None:
        text = f"which thing is at the {thing.place} ?"
    elif kind == "direction":
        text = "which direction is it moving ?"
    elif kind == "motion":
        text = "how is it moving ?"
    elif kind == "background":
        text = "what colour is the background ?"
    return Question(text, _graded(facts(scene, text), rng, num_answers))
