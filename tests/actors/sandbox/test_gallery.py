"""What the base learns from: pictures and what can be seen in them."""

import random

import numpy as np
import pytest

from actors.judges.prompts import Medium, PromptFormat
from actors.sandbox import gallery
from actors.sandbox.base_vlm import SPECIFICATION, build_processor
from actors.sandbox.document import TOKENS_PER_IMAGE
from actors.sandbox.documents import (
    STEADY,
    answering_document,
    checking_document,
    grade,
    motion_document,
    telling_document,
)
from actors.sandbox.gallery import PICTURES_EACH, Series
from actors.sandbox.tokenizer import IMAGE
from factory.sandbox.imperfect import SHOWN_FRAMES
from factory.sandbox.oracle import compare, measure
from factory.sandbox.world import SHAPES, caption


@pytest.fixture(scope="module")
def drawn() -> list[Series]:
    return list(gallery.drawn(24, seed=3))


def test_the_same_seed_draws_the_same_gallery(drawn: list[Series]) -> None:
    again = list(gallery.drawn(24, seed=3))
    assert [one.stated for one in again] == [one.stated for one in drawn]
    for one, other in zip(drawn, again, strict=True):
        assert all(map(np.array_equal, one.pictures, other.pictures))


def test_what_is_kept_is_what_the_oracle_sees(drawn: list[Series]) -> None:
    for series in drawn[:6]:
        assert len(series.pictures) == PICTURES_EACH
        for picture, sight in zip(series.pictures, series.sights, strict=True):
            assert compare(series.stated, sight) == measure(picture, caption(series.stated))


def test_some_pictures_fit_and_some_do_not(drawn: list[Series]) -> None:
    grades = [grade(compare(one.stated, sight).num_wrong) for one in drawn for sight in one.sights]
    assert {round(one) for one in grades} == {1, 2, 3, 4, 5}


def test_in_a_mirror_the_same_is_right_and_wrong(drawn: list[Series]) -> None:
    """The sight is mirrored and not looked at again; both must say the same."""
    for series in drawn[:12]:
        mirror = series.mirror()
        for picture, sight, before in zip(
            mirror.pictures, mirror.sights, series.sights, strict=True
        ):
            told = compare(mirror.stated, sight)
            assert told.quality == pytest.approx(compare(series.stated, before).quality, abs=1e-6)
            seen = measure(picture, caption(mirror.stated))
            assert seen.num_wrong == pytest.approx(told.num_wrong, abs=0.3)


def test_a_checked_caption_has_a_yes_or_no_for_each_element(drawn: list[Series]) -> None:
    tokenizer = build_processor().tokenizer
    yes, no = tokenizer.convert_tokens_to_ids(["yes", "no"])
    clips = list(gallery.drawn_clips(6, seed=3))
    for seed in range(20):
        for shown, num_frames in ((drawn, 1), (clips, SHOWN_FRAMES)):
            document = checking_document(tokenizer, shown, random.Random(seed))
            checked, _, _ = " ".join(tokenizer.convert_ids_to_tokens(document.ids)).partition(
                "closer"
            )
            words = checked.partition("reason")[0].split()
            # Words of what is seen in the frames are not the caption's.
            outside = list(document.targets)
            for at in reversed([at for at, word in enumerate(words) if word == "same"]):
                del outside[at : at + len(STEADY.split())]
            asked = sum(target in (yes, no) for target in outside)
            sides = words.count("caption")
            assert len(document.pictures) == sides * num_frames
            num_things = sum(word in SHAPES for word in words)
            num_relations = words.count("of") + words.count("above") + words.count("below")
            num_places = words.count("at") + words.count("in")
            # size, colour and shape of each thing, its place or the relation, background, extra
            # things, and of a clip direction and speed, in the caption and after it
            elements = 3 * num_things + num_places + num_relations + 2 * sides
            assert asked == elements + 4 * sides * (num_frames > 1)
            assert "<unk>" not in words


def test_a_described_picture_or_clip_ends() -> None:
    tokenizer = build_processor().tokenizer
    for seed in range(8):
        document = telling_document(tokenizer, random.Random(seed))
        words = tokenizer.convert_ids_to_tokens(document.ids)
        assert words[-1] == "</s>"
        assert ("video" in words) == (len(document.pictures) == SHOWN_FRAMES)
        assert "<unk>" not in words


def test_what_is_learned_of_answers_and_motion_keeps_to_the_vocabulary() -> None:
    tokenizer = build_processor().tokenizer
    for seed in range(20):
        for document in (
            answering_document(tokenizer, random.Random(seed)),
            motion_document(tokenizer, random.Random(seed)),
        ):
            words = tokenizer.convert_ids_to_tokens(document.ids)
            assert "<unk>" not in words
            assert len(document.targets) == len(words)
            assert words.count(IMAGE) == TOKENS_PER_IMAGE * len(document.pictures)


def test_a_base_is_asked_in_the_words_that_it_has_learned(drawn: list[Series]) -> None:
    """The specification's prompt and the document that was learned from begin alike."""
    processor = build_processor()
    form = PromptFormat(SPECIFICATION, processor)
    words = processor.tokenizer.convert_ids_to_tokens
    clips = list(gallery.drawn_clips(2, seed=3))
    for task, shown, size in (("image_generation", drawn, 16), ("video_generation", clips, 64)):
        for seed in range(40):
            document = checking_document(processor.tokenizer, shown, random.Random(seed))
            learned = " ".join(words(document.ids)).partition("reason")[0]
            if "closer" in learned:
                break
        stated = learned.split("caption : ")[1].partition(" . ")[0]
        media = [Medium(at, (processor.image_token_id,) * size) for at in range(2)]
        asked = form.pair(SPECIFICATION.task(task), stated, media).ids
        assert learned.startswith(" ".join(words(asked)))
