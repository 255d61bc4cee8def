"""Rows of every task, small and different from each other."""

from dataclasses import replace
from functools import cache

import numpy as np

from factory.media.clips import encode_clip
from factory.media.pictures import encode_png
from schemas.rows import (
    Candidate,
    Duel,
    Group,
    Media,
    Origin,
    Pair,
    Part,
    Prompt,
    Score,
    Task,
    content_id,
)


@cache
def picture(seed: int, size: int = 16) -> Media:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return Media(encode_png(pixels), size, size)


@cache
def clip(seed: int, num: int = 9) -> Media:
    frames = np.random.default_rng(seed).integers(0, 256, (num, 16, 16, 3), dtype=np.uint8)
    return Media(encode_clip(frames, 8.0), 16, 16, num, 8.0)


def prompt_of(number: int, task: Task) -> Prompt:
    about = {"image_understanding": picture, "video_understanding": clip}.get(task)
    return Prompt.of(
        f"what is in {number} ?" if about else f"a cross, {number}",
        task,
        {"region": "north"},
        about and about(1000 + number),
        Origin("our prompts", "CC0-1.0"),
    )


def side(prompt: Prompt, seed: int) -> Candidate:
    id_ = content_id("candidate", prompt.prompt_id, seed)
    if prompt.task.endswith("understanding"):
        return Candidate(id_, "vlm@1", seed, answer=f"answer {seed} of {prompt.text}")
    make = clip if prompt.task == "video_generation" else picture
    return Candidate(id_, "generator@1", seed, make(seed))


def pair_of(number: int, task: Task = "image_generation", prompt: Prompt | None = None) -> Pair:
    prompt = prompt or prompt_of(number, task)
    sides = [side(prompt, 2 * number + add) for add in (0, 1)]
    return Pair(
        pair_id=content_id("pair", prompt.prompt_id, number),
        prompt=prompt,
        chosen=sides[0],
        rejected=sides[1],
        judge="judge@1",
        margin=0.5 + number / 100,
        margin_sd=0.2,
        score_margin=float("nan"),
        p_chosen=0.75,
        is_flipped=False,
        verdict="kept",
        weight=0.5,
    )


def group_of(number: int, task: Task = "image_generation") -> Group:
    prompt = prompt_of(number, task)
    sides = tuple(side(prompt, 3 * number + add) for add in range(3))
    one, two, three = (candidate.candidate_id for candidate in sides)
    sides = (*sides[:2], replace(sides[2], media=None, answer=None, error="out of memory"))
    scores = (
        Score(one, "judge@1", 4.0, 0.1, breakdown={"overall": 4.0}),
        Score(two, "judge@1", 2.0, 0.3),
        Score(three, "judge@1", float("nan"), 0.0, error="nothing to score"),
    )
    duels = (Duel(one, two, "judge@1", 0.7, 0.2, 0.1), Duel(two, one, "judge@1", 0.2, 0.7, 0.1))
    return Group(prompt, sides, scores, duels)


def dialogue(number: int) -> Prompt:
    parts = (
        Part("question", media=picture(2000 + number)),
        Part("user", "what is this ?"),
        Part("assistant", "a mug ."),
        Part("question", media=picture(3000 + number)),
        Part("user", "and this ?"),
    )
    return Prompt.of_parts(parts, "image_understanding")


def edit(number: int) -> Prompt:
    parts = (Part("source", media=picture(4000 + number)), Part("user", f"make it red, {number}"))
    return Prompt.of_parts(parts, "image_generation")
