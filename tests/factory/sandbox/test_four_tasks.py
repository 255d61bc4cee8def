"""Simulated labels of the four tasks, and whether their justifications are true."""

import random

import pytest

from factory.media.pictures import encode_png
from factory.sandbox.annotators import Annotator, Seen
from factory.sandbox.four_tasks import (
    SCENE,
    ForeignPromptError,
    Side,
    check_prompts,
    drawn_cases,
    see,
    simulated_labels,
)
from factory.sandbox.imperfect import SIDE, imperfect
from factory.sandbox.reasons import NO_FAULT, check_claims
from factory.sandbox.world import caption, sample_scene
from schemas.arrow import labels_from_table, labels_to_table
from schemas.rows import Media, Prompt

EXACT = Annotator("exact", noise=0.0, error_rate=0.0)
DRAWN = ("video_generation", "image_understanding", "video_understanding")


def cases(task, num=6):
    if task != "image_generation":
        return list(drawn_cases(task, num, 4, seed=5))
    found = []
    for seed in range(num):
        rng = random.Random(seed)
        scene = sample_scene(rng)
        pictures = [encode_png(imperfect(scene, rng)) for _ in range(4)]
        sides = [Side(Media(data, SIDE, SIDE)) for data in pictures]
        found.append((Prompt.of(caption(scene)), sides))
    return found


@pytest.mark.parametrize("task", ["image_generation", *DRAWN])
def test_labels_of_each_task_say_what_the_oracle_sees(task):
    for prompt, sides in cases(task):
        labels = simulated_labels(prompt, sides, [EXACT], 5, "train", seed=0)
        assert labels == simulated_labels(prompt, sides, [EXACT], 5, "train", seed=0)
        again = labels_from_table(labels_to_table(labels))
        assert [one.label_id for one in again] == [one.label_id for one in labels]
        for label in again:
            assert label.annotator == "simulated:exact"
            assert label.prompt.task == task
            shown = [
                see(label.prompt, Side(media, answer))
                for media, answer in (
                    (label.first, label.first_answer),
                    (label.second, label.second_answer),
                )
                if media is not None or answer is not None
            ]
            assert all(check_claims(label.justification, shown)), label.justification
            if label.preference in ("first", "second"):
                lead = shown[0].quality - shown[1].quality
                assert (lead > 0) == (label.preference == "first")
            if label.points is not None:
                assert 1 <= label.points <= 5


@pytest.mark.parametrize("task", DRAWN)
def test_drawn_cases_are_functions_of_the_seed_and_differ_in_quality(task):
    first, again = cases(task), cases(task)
    assert [prompt for prompt, _ in first] == [prompt for prompt, _ in again]
    assert first[0][1] == again[0][1]
    for prompt, sides in first:  # a question holds its medium, a caption leaves it to the sides
        shown = [prompt.media] if task.endswith("understanding") else [one.media for one in sides]
        assert {(one.width, one.height) for one in shown} == {(SIDE, SIDE)}
        assert {one.num_frames > 1 for one in shown} == {task.startswith("video")}
    qualities = [{round(see(prompt, side).quality, 3) for side in sides} for prompt, sides in first]
    assert sum(len(found) > 1 for found in qualities) >= 5


def test_an_answer_without_its_scene_cannot_be_checked():
    prompt, sides = cases("image_understanding", 1)[0]
    bare = Prompt.of(prompt.text, prompt.task, {}, prompt.media)
    assert SCENE in prompt.tags
    with pytest.raises(ValueError, match=SCENE):
        see(bare, sides[0])


@pytest.mark.parametrize("task", ["image_generation", *DRAWN])
def test_prompts_that_the_sandbox_can_check_pass_and_others_are_named(task):
    prompts = [prompt for prompt, _ in cases(task, 2)]
    check_prompts("own.jsonl", prompts)
    foreign = Prompt.of("what is love?", task, prompts[0].tags, prompts[0].media)
    with pytest.raises(ForeignPromptError, match=r"own\.jsonl: row 3: .* its own prompts only"):
        check_prompts("own.jsonl", [*prompts, foreign])
    if task.endswith("understanding"):
        bare = Prompt.of(prompts[0].text, task, {}, prompts[0].media)
        with pytest.raises(ForeignPromptError, match=f"row 1: no tag '{SCENE}'"):
            check_prompts("own.jsonl", [bare])


FLAWED = Seen("a", "image", 0.5, ("the red circle is missing", "the background should be white"))
CLEAN = Seen("b", "image", 1.0, (), clean=1.0)
SOILED = Seen("c", "image", 0.9, (), clean=0.5)


@pytest.mark.parametrize(
    ("text", "sides", "claims"),
    [
        (
            "image 2 is better because in image 1 the red circle is missing .",
            (FLAWED, CLEAN),
            [True],
        ),
        (
            "image 1 is better because in image 2 the red circle is missing .",
            (FLAWED, CLEAN),
            [False],
        ),
        (
            "image 2 is better because in image 1 the red circle is missing , extra thing .",
            (FLAWED, CLEAN),
            [True, False],
        ),
        (
            "image 1 is better because in image 1 the red circle is missing .",
            (FLAWED, CLEAN),
            [False],
        ),
        ("image 1 is better because it is clean .", (CLEAN, SOILED), [True]),
        ("image 2 is better because it is clean .", (CLEAN, SOILED), [False]),
        ("image 1 is better .", (CLEAN, SOILED), []),
        ("both are equally good .", (CLEAN, SOILED), []),
        ("circle circle of of", (CLEAN, SOILED), [False]),
        ("", (CLEAN, SOILED), [False]),
        (NO_FAULT, (CLEAN,), [True]),
        (NO_FAULT, (FLAWED,), [False]),
        ("the background should be white .", (FLAWED,), [True]),
        ("the background should be white, extra thing.", (FLAWED,), [True, False]),
        ("the background should be white", (FLAWED,), [False]),
    ],
)
def test_claims_are_checked_against_the_side_they_are_made_of(text, sides, claims):
    assert check_claims(text, sides) == claims
