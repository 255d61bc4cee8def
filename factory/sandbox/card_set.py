"""The set that a judge card is made on where nobody brings one: small, drawn when it is asked for.

Pictures and clips of captions, and answers to questions about pictures, as generators make them:
some right, some not. Every picture is known by its seed, so that all judges are shown the same.
"""

from __future__ import annotations

import random

from factory.media.pictures import encode_png
from factory.sandbox.four_tasks import drawn_cases
from factory.sandbox.imperfect import SIDE, imperfect
from factory.sandbox.world import parse, sample_captions
from schemas.rows import Candidate, Group, Media, Prompt, Task, content_id, seed_of

_SEED = 20
#: Prompts of each task, and candidates of each prompt.
SIZES: dict[Task, int] = {
    "image_generation": 96,
    "video_generation": 24,
    "image_understanding": 48,
}
_NUM = {"image_generation": 2, "video_generation": 2, "image_understanding": 3}


def groups() -> list[Group]:
    """The whole set: prompts of three tasks with their candidates, which nobody judged yet."""
    return [one for task, num in SIZES.items() for one in of_task(task, num)]


def of_task(task: Task, num: int) -> list[Group]:
    """The first `num` groups of a task."""
    if task == "image_generation":
        return [_pictures(text) for text in sample_captions(num, _SEED)]
    found = []
    for prompt, sides in drawn_cases(task, num, _NUM[task], _SEED):
        candidates = tuple(
            _candidate(prompt, number, side.media, side.answer) for number, side in enumerate(sides)
        )
        found.append(Group(prompt, candidates))
    return found


def _pictures(text: str) -> Group:
    prompt = Prompt.of(text)
    candidates = []
    for number in range(_NUM["image_generation"]):
        rng = random.Random(seed_of("card", _SEED, text, number))
        media = Media(encode_png(imperfect(parse(text), rng)), SIDE, SIDE)
        candidates.append(_candidate(prompt, number, media, None))
    return Group(prompt, tuple(candidates))


def _candidate(prompt: Prompt, number: int, media: Media | None, answer: str | None) -> Candidate:
    name = content_id("card", prompt.prompt_id, number)
    return Candidate(name, "sandbox@0", number, media, answer)
