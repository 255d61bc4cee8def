"""Questions about scenes and clips, with answers of known correctness.

Each question comes with candidate answers and the share of each that is right, so that answers can
be ranked as pictures are: a full answer that names size and colour beats one that gets only the
colour right.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from factory.sandbox.world import BACKGROUNDS, COLOURS, DIRECTIONS, SHAPES, SIZES, SPEEDS, Scene

_NUMBERS = ("one", "two", "three")


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


def _graded(
    facts: tuple[tuple[str, tuple[str, ...]], ...], rng: random.Random, num: int
) -> tuple[Answer, ...]:
    """Answers made of one word per fact, the right one first; facts are (truth, all options)."""
    found = {" ".join(truth for truth, _ in facts): 1.0}
    for _ in range(20 * num):
        if len(found) >= num:
            break
        words = [truth if rng.random() < 0.5 else rng.choice(options) for truth, options in facts]
        right = sum(word == truth for word, (truth, _) in zip(words, facts, strict=True))
        found.setdefault(" ".join(words), right / len(facts))
    return tuple(Answer(text, correctness) for text, correctness in found.items())


def ask(scene: Scene, rng: random.Random, num_answers: int = 4) -> Question:
    """A random question about `scene` (about its motion too, where it has one)."""
    kinds = ["count", "background", "colour", "shape", "describe"]
    if scene.motion is not None:
        kinds += ["direction", "motion"]
    kind = rng.choice(kinds)
    thing = rng.choice(scene.things)
    colours, shapes, sizes = tuple(COLOURS), SHAPES, tuple(SIZES)
    same_shape = [one for one in scene.things if one.shape == thing.shape]
    same_colour = [one for one in scene.things if one.colour == thing.colour]
    if kind == "colour" and len(same_shape) == 1:
        text, facts = f"what colour is the {thing.shape} ?", ((thing.colour, colours),)
    elif kind == "shape" and len(same_colour) == 1:
        text, facts = f"what shape is the {thing.colour} thing ?", ((thing.shape, shapes),)
    elif kind == "describe" and thing.place is not None:
        text = f"which thing is at the {thing.place} ?"
        facts = ((thing.size, sizes), (thing.colour, colours), (thing.shape, shapes))  # type: ignore[assignment]
    elif kind == "direction" and scene.motion is not None:
        text, facts = (
            "which direction is it moving ?",
            ((scene.motion.direction, tuple(DIRECTIONS)),),
        )
    elif kind == "motion" and scene.motion is not None:
        text = "how is it moving ?"
        facts = (  # type: ignore[assignment]
            (scene.motion.direction, tuple(DIRECTIONS)),
            (scene.motion.speed, tuple(SPEEDS)),
        )
    elif kind == "background":
        text, facts = "what colour is the background ?", ((scene.background, tuple(BACKGROUNDS)),)
    else:
        text = "how many things are there ?"
        facts = ((_NUMBERS[len(scene.things) - 1], _NUMBERS),)
    return Question(text, _graded(facts, rng, num_answers))
