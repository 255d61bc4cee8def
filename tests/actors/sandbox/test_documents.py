"""What the sandbox base reads: what is half right, what is seen, and how texts come in a step."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
from torch.utils.data import DataLoader

from actors.sandbox import gallery
from actors.sandbox.document import IGNORED, BlindDocument, Document
from actors.sandbox.documents import (
    STEADY,
    WATCHING,
    checking_document,
    grade,
    reciting_document,
    seeing_document,
)
from actors.sandbox.lessons import MIX, Lessons, in_parts
from actors.sandbox.tokenizer import IMAGE
from factory.sandbox.clip_oracle import compare_clip
from factory.sandbox.world import COLOURS, DIRECTIONS, SHAPES, SIZES


@pytest.mark.parametrize("value", [0.0, 0.2, 3.5, 4.75, 8.9, 9.0])
def test_a_number_is_expected_between_its_neighbours(tokenizer, value: float) -> None:  # type: ignore[no-untyped-def]
    document = Document(tokenizer)
    document.say("check :")
    document.expect_number(value)
    likely, less = (
        int(tokenizer.convert_ids_to_tokens(ids[-1])) for ids in (document.targets, document.others)
    )
    share = document.shares[-1]
    assert 0.5 <= share <= 1.0
    assert share * likely + (1 - share) * less == pytest.approx(value)
    document.take()
    assert document.ids[-1] == document.targets[-2]


def test_a_grade_falls_with_the_number_of_wrong_elements() -> None:
    assert [grade(wrong) for wrong in (0.0, 1.0, 2.0, 3.5, 5.5, 9.0)] == [5, 4, 3, 2, 1, 1]
    assert grade(0.5) == 4.5


def seen(tokenizer, series, seed, num_words):  # type: ignore[no-untyped-def]
    """All words of a picture or clip that is seen, and those of each thing in it."""
    document = seeing_document(tokenizer, series, random.Random(seed))
    words = tokenizer.convert_ids_to_tokens(document.ids)
    assert "<unk>" not in words
    things = " ".join(words).split("things : ")[1].partition(" on ")[0].split()
    return words, [things[at : at + num_words] for at in range(0, len(things), num_words)]


def test_each_thing_that_is_seen_is_told_from_left_to_right(tokenizer) -> None:  # type: ignore[no-untyped-def]
    series = list(gallery.drawn(1, seed=6))
    told = set()
    for seed in range(40):
        words, each = seen(tokenizer, series, seed, num_words=5)
        assert words.count(IMAGE) == 16
        told.add(tuple(map(tuple, each)))
        for x, y, size, colour, shape in each:
            assert (x + y).isdigit()
            assert size in SIZES
            assert colour in COLOURS
            assert shape in SHAPES
        assert [one[0] for one in each] == sorted(one[0] for one in each)
    # Four pictures, and each in a mirror, of which some look alike.
    counts = {min(4, len(sight.blobs)) for sight in series[0].sights}
    assert {len(one) for one in told} == counts
    assert 2 <= len(told) <= 8


def test_of_a_clip_the_way_of_each_thing_is_told(tokenizer) -> None:  # type: ignore[no-untyped-def]
    series = list(gallery.drawn_clips(8, seed=6))
    ways = set()
    for seed in range(30):
        for *_, dx, dy, direction, _ in seen(tokenizer, series, seed, num_words=9)[1]:
            ways.add(direction)
            if direction in DIRECTIONS:  # 4 and 5 stand for no way at all
                x, y = DIRECTIONS[direction]
                along = x * (int(dx) - 4.5) + y * (int(dy) - 4.5)
                assert along > 0
    assert {"none", "left", "right"} <= ways


def test_what_is_read_blind_is_the_same_text_and_tells_the_verdict_alone(tokenizer) -> None:  # type: ignore[no-untyped-def]
    shown = list(gallery.drawn(6, seed=6))
    for seed in range(20):
        seen = checking_document(tokenizer, shown, random.Random(seed))
        blind = checking_document(tokenizer, shown, random.Random(seed), BlindDocument)
        assert blind.pictures == []
        image = tokenizer.convert_tokens_to_ids(IMAGE)
        assert blind.ids == [one for one in seen.ids if one != image]
        words = tokenizer.convert_ids_to_tokens(blind.ids)
        told = [at for at, target in enumerate(blind.targets) if target != -100]
        begin = words.index("closer" if "closer" in words else "reason")
        assert told[0] == begin + 1  # the colon after it
        assert all(blind.targets[at] == blind.ids[at + 1] for at in told)


def watched(tokenizer, series, seed):  # type: ignore[no-untyped-def]
    """What is expected at each read-out of the first side's frames, as words."""
    document = checking_document(tokenizer, [series], random.Random(seed))
    words = tokenizer.convert_ids_to_tokens(document.ids)
    begin = words.index("frame")
    asked = " ".join(WATCHING).split()
    assert words[begin : begin + len(asked)] == asked
    size = len(asked) // len(WATCHING)
    told = document.targets[begin : begin + len(asked)]
    frames = [told[at : at + size] for at in range(0, len(told), size)]
    return [
        [tokenizer.convert_ids_to_tokens(one) for one in frame if one != -100] for frame in frames
    ]


def test_of_a_checked_clip_what_moves_and_another_thing_are_told_frame_by_frame(tokenizer) -> None:  # type: ignore[no-untyped-def]
    for series, seed in itertools.product(gallery.drawn_clips(6, seed=6), range(4)):
        for place, down, colour, shape, other_place, other_colour, other_shape in watched(
            tokenizer, series, seed
        ):
            assert (place == "none") == (down == "none") == (colour == "none") == (shape == "none")
            assert colour == "none" or (place.isdigit() and down.isdigit() and colour in COLOURS)
            assert (other_place == "none") == (other_colour == "none") == (other_shape == "none")
            assert shape in (*SHAPES, "none")
            assert other_shape in (*SHAPES, "none")


def test_the_least_steady_of_the_other_things_is_told(tokenizer) -> None:  # type: ignore[no-untyped-def]
    """A thing that is gone for a moment is told, and as gone, though another one is larger."""
    found = 0
    for series in gallery.drawn_clips(120, seed=8):
        for clip, sight in zip(series.clips, series.sights, strict=True):
            measured = compare_clip(series.stated, sight)
            unsteady = [one for one in measured.others if one.steadiness < 0.5]
            if measured.mover is None or len(measured.others) < 2 or len(unsteady) != 1:
                continue
            alone = gallery.ClipSeries(series.stated, (clip, clip), (sight, sight))
            told = watched(tokenizer, alone, seed=1)  # of the caption as it is stated
            assert [frame[4] == "none" for frame in told] == [
                one is None for one in unsteady[0].seen
            ]
            found += 1
    assert found >= 3


def test_after_the_frames_each_of_the_two_is_said_to_be_the_same_in_each_or_not(tokenizer) -> None:  # type: ignore[no-untyped-def]
    asked = STEADY.split()
    num_changed = 0
    for series in gallery.drawn_clips(20, seed=9):
        for clip, sight in zip(series.clips, series.sights, strict=True):
            measured = compare_clip(series.stated, sight)
            if measured.mover is None or len(measured.others) != 1:
                continue
            alone = gallery.ClipSeries(series.stated, (clip, clip), (sight, sight))
            document = checking_document(tokenizer, [alone], random.Random(1))
            words = tokenizer.convert_ids_to_tokens(document.ids)
            begin = words.index("same")
            assert words[begin : begin + len(asked)] == asked
            targets = document.targets[begin : begin + len(asked)]
            told = [
                None if one == IGNORED else tokenizer.convert_ids_to_tokens(one) for one in targets
            ]
            half = len(told) // 2
            for track, said in ((measured.mover, told[:half]), (measured.others[0], told[half:])):
                word = {True: "yes", False: "no", None: None}
                assert said == [
                    None,  # the word that names it
                    *(word[one] for one in track.alike),
                    word[track.straightness >= 0.5],
                ]
                num_changed += False in track.alike
    assert num_changed >= 3


def test_a_step_weighs_each_kind_of_document_alike(tokenizer) -> None:  # type: ignore[no-untyped-def]
    """However many targets it has, and in whichever batch they are."""
    rng = random.Random(0)
    series = list(gallery.drawn(4, seed=6))
    made = {
        "images": [checking_document(tokenizer, series, rng) for _ in range(3)],
        "recitals": [reciting_document(tokenizer, rng) for _ in range(5)],
    }
    batches = in_parts(made, tokenizer.pad_token_id)
    assert len(batches) > 1
    total = torch.zeros(2)
    for batch in batches:
        longest = int(batch["attention_mask"].sum(dim=1).max())
        assert batch["input_ids"].shape[1] == longest
        assert batch["attention_mask"].sum(dim=1).min() > longest // 2 or longest <= 64
        num_targets = (batch["targets"] != -100).sum(dim=1)
        total.index_add_(0, batch["kinds"], batch["weights"] * num_targets)
        image = tokenizer.convert_tokens_to_ids(IMAGE)
        assert len(batch["pixels"]) * 16 == (batch["input_ids"] == image).sum()
    torch.testing.assert_close(total, torch.ones(2))


class _NoPipeline:
    """Stands for a generator that is asked for no caption."""


def test_each_worker_has_lessons_of_its_own(tokenizer) -> None:  # type: ignore[no-untyped-def]
    lessons = Lessons(tokenizer, _NoPipeline(), [], gallery_size=8, batch_size=2, seed=3)
    first, second = itertools.islice(DataLoader(lessons, batch_size=None, num_workers=2), 2)
    again = next(iter(DataLoader(lessons, batch_size=None, num_workers=2)))
    assert torch.equal(first.spots["pixels"], again.spots["pixels"])
    assert not torch.equal(first.spots["pixels"], second.spots["pixels"])
    kinds = torch.cat([batch["kinds"] for batch in first.texts])
    assert sorted(set(kinds.tolist())) == list(range(len(MIX)))


def test_a_recital_repeats_its_caption(tokenizer) -> None:  # type: ignore[no-untyped-def]
    for seed in range(3):
        document = reciting_document(tokenizer, random.Random(seed))
        words = tokenizer.convert_ids_to_tokens(document.ids)
        at, end = words.index("describe"), words.index(":")
        assert words[end + 1 : at - 1] == words[at + 2 : -1]
