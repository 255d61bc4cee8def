"""The oracle for clips against drawn clips whose defects are known."""

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest

from actors.sandbox.gallery import drawn_clips
from factory.sandbox import clip_oracle
from factory.sandbox.clip_oracle import (
    CLIP_TIE,
    compare_clip,
    measure_clip,
    prefer_clip,
    watch,
)
from factory.sandbox.drawing import (
    CONTENT_DEFECTS,
    MOTION_DEFECTS,
    TEMPORAL_DEFECTS,
    draw_clip,
    paths,
    spoil_motion,
    spoil_scene,
)
from factory.sandbox.sight import Blob
from factory.sandbox.world import Motion, Scene, Thing, sample_scene

NUM = 24


def clips(defect=None):
    """(stated, frames) of scenes drawn with one defect of any kind."""
    for seed in range(NUM):
        rng = random.Random(seed)
        stated = sample_scene(rng, moving=True)
        shown = stated
        if defect in MOTION_DEFECTS:
            shown = spoil_motion(stated, defect, rng)
        elif defect in CONTENT_DEFECTS:
            shown = spoil_scene(stated, defect, rng)
        temporal = defect if defect in TEMPORAL_DEFECTS else None
        yield stated, draw_clip(shown, random.Random(seed), defect=temporal)


def test_a_clip_as_stated_has_no_fault():
    for stated, frames in clips():
        found = measure_clip(frames, stated)
        assert found.wrong() == []
        assert found.quality > 0.97


@pytest.mark.parametrize("defect", MOTION_DEFECTS)
def test_wrong_motion_is_seen_and_nothing_else(defect):
    for stated, frames in clips(defect):
        found = measure_clip(frames, stated)
        assert found.still.wrong() == []
        wrong = found.direction < 0.5, found.speed < 0.5
        if defect == "speed":
            assert wrong == (False, True)
        else:
            assert wrong[0]
        assert wrong[1] or defect != "still"
        assert found.consistency > 0.4


@pytest.mark.parametrize("defect", TEMPORAL_DEFECTS)
def test_what_changes_for_a_moment_is_inconsistent(defect):
    found = [measure_clip(frames, stated) for stated, frames in clips(defect)]
    assert sum(one.consistency < 0.5 for one in found) >= 0.75 * NUM


def test_it_is_said_in_which_frames_a_thing_is_not_as_else_and_whether_it_goes_straight():
    for _, frames in clips():
        for track in watch(frames).tracks:
            assert False not in track.alike
            assert track.straightness == 1.0
    crooked = [
        min(track.straightness for track in watch(frames).tracks) for _, frames in clips("jump")
    ]
    assert sum(one < 0.5 for one in crooked) >= 0.75 * NUM
    num_gone = 0
    for _, frames in clips("vanish"):
        for track in watch(frames).tracks:
            gone = [number for number, blob in enumerate(track.seen) if blob is None]
            assert not any(track.alike[number] for number in gone)
            num_gone += len(gone) == 3
    assert num_gone >= 0.75 * NUM


def test_the_order_by_wrong_elements_is_nearly_that_by_quality():
    """And would not be, were it no fault that a clip falls apart."""
    agreed, without, num_pairs = 0, 0, 0
    for series in drawn_clips(60, seed=3):
        found = [compare_clip(series.stated, sight) for sight in series.sights]
        for one, other in itertools.combinations(found, 2):
            if abs(one.quality - other.quality) < CLIP_TIE:
                continue
            is_better = one.quality > other.quality
            steady = [replace(each, consistency=1.0).num_wrong for each in (one, other)]
            agreed += (one.num_wrong < other.num_wrong) == is_better
            without += (steady[0] < steady[1]) == is_better
            num_pairs += 1
    assert agreed > 0.88 * num_pairs
    assert without < 0.86 * num_pairs


def mean_measures(defect):
    """Quality, consistency and wrong elements, over a few clips with one defect."""
    rows = []
    for seed in range(2):
        rng = random.Random(seed)
        stated = shown = sample_scene(rng, moving=True)
        if defect in MOTION_DEFECTS:
            shown = spoil_motion(stated, defect, rng)
        temporal = defect if defect in TEMPORAL_DEFECTS else None
        found = measure_clip(draw_clip(shown, rng, defect=temporal), stated)
        rows.append((found.quality, found.consistency, found.num_wrong))
    return np.mean(rows, axis=0)


@pytest.mark.parametrize(
    ("defect", "measures"),
    [
        ("none", (0.9977, 1.0000, 0.0608)),
        ("direction", (0.8642, 1.0000, 1.0269)),
        ("speed", (0.9098, 1.0000, 1.0134)),
        ("still", (0.7742, 1.0000, 2.0269)),
        ("mover", (0.8192, 1.0000, 1.5269)),
        ("flicker", (0.7973, 0.0357, 2.0072)),
        ("morph", (0.8151, 0.0357, 1.8265)),
        ("vanish", (0.8530, 0.0357, 1.5072)),
        ("jump", (0.8770, 0.1906, 1.2579)),
    ],
)
def test_what_is_measured_of_known_clips_stays_what_it_is(defect, measures):
    """As for pictures: what moves these numbers has to be meant."""
    assert mean_measures(defect) == pytest.approx(measures, abs=2e-4)


@pytest.mark.parametrize("defect", ["colour", "background", "missing"])
def test_content_is_measured_as_in_a_picture(defect):
    for stated, frames in clips(defect):
        assert measure_clip(frames, stated).still.wrong()


def test_four_of_eight_frames_say_the_same_when_their_times_are_told():
    for stated, frames in clips():
        some = measure_clip(frames[1::2], stated, [at / 7 for at in (1, 3, 5, 7)])
        assert some.wrong() == []


def test_what_is_seen_in_two_frames_of_five_is_a_thing_and_in_one_a_flaw():
    scene = Scene((Thing("large", "red", "square", "center"),), "white")
    whole = draw_clip(scene, random.Random(0), num_frames=5)
    empty = np.broadcast_to(whole[0, 0, 0], whole.shape)
    for num, num_tracks in ((2, 1), (1, 0)):
        sight = watch(np.concatenate([whole[:num], empty[num:]]))
        assert len(sight.tracks) == num_tracks
    assert sight.consistency == 0.5


def test_a_single_frame_stands_still_and_goes_straight():
    for _, frames in clips():
        for track in watch(frames[:1]).tracks:
            assert track.way == (0.0, 0.0)
            assert (track.straightness, track.steadiness) == (1.0, 1.0)


def test_a_clip_without_the_thing_that_should_move_shows_no_motion():
    stated = Scene(
        (Thing("large", "red", "square", "center"),), "white", motion=Motion("right", "fast")
    )
    empty = np.full((4, 32, 32, 3), 245, np.uint8)
    found = measure_clip(empty, stated)
    assert (found.direction, found.speed, found.mover, found.others) == (0.0, 0.0, None, ())
    assert measure_clip(empty, replace(stated, motion=None)).direction == 1.0


def test_where_things_are_decides_which_is_which_before_their_colour():
    """Farthest apart, colours weigh as much as a tenth of the picture's side."""
    black, white = (
        Blob((level,) * 3, {"circle": 1.0}, 0.2, 0.5, 0.5, 0.1) for level in (0.0, 255.0)
    )
    assert clip_oracle._distance(black, white) == pytest.approx(0.1, rel=2e-3)
    assert clip_oracle._distance(black, replace(black, x=0.8, y=0.9)) == pytest.approx(0.5)


def test_in_a_mirror_left_is_right():
    for stated, frames in clips("direction"):
        sight = watch(frames)
        mirrored = compare_clip(stated.mirror(), sight.mirror())
        assert mirrored.quality == pytest.approx(compare_clip(stated, sight).quality, abs=1e-6)


def test_the_better_clip_is_preferred_and_a_small_lead_is_a_tie():
    good = [measure_clip(frames, stated) for stated, frames in clips()]
    bad = [measure_clip(frames, stated) for stated, frames in clips("still")]
    for one, other in zip(good, bad, strict=True):
        assert one.quality - other.quality > CLIP_TIE
        assert prefer_clip(one, other) == "first"
        assert prefer_clip(other, one) == "second"
        assert prefer_clip(one, one) == "tie"


def test_paths_are_where_things_are_drawn():
    scene = Scene(
        (
            Thing("small", "red", "circle", "top left"),
            Thing("small", "blue", "square", "bottom right"),
        ),
        "white",
        motion=Motion("right", "fast"),
    )
    frames = draw_clip(scene, random.Random(4))
    for track, way in zip(watch(frames).tracks, paths(scene, random.Random(4)), strict=True):
        xs, ys = zip(*way, strict=True)
        assert (track.blob.x, track.blob.y) == pytest.approx(
            (sum(xs) / len(xs), sum(ys) / len(ys)), abs=0.02
        )
        assert track.way == pytest.approx((xs[-1] - xs[0], ys[-1] - ys[0]), abs=0.03)


@pytest.mark.parametrize(
    ("num_whole", "num_cut", "is_told_by_whole"),
    [(2, 2, True), (2, 1, True), (2, 3, False), (3, 3, True), (1, 1, False), (0, 2, False)],
)
def test_what_the_edge_cuts_counts_only_where_little_else_is_seen(
    num_whole, num_cut, is_told_by_whole
):
    """Half of the frames, and two of them, have to show a thing whole."""
    whole = Blob((200.0, 0.0, 0.0), {"circle": 0.9, "square": 0.5}, 0.3, 0.5, 0.5, 0.07)
    cut = replace(whole, colour=(0.0, 0.0, 200.0), x=0.9, extent=0.2)
    seen = dict(enumerate([whole] * num_whole + [cut] * num_cut))
    track = clip_oracle._track(seen, [at / 7 for at in range(8)])
    if is_told_by_whole:
        assert (track.blob.extent, track.blob.x) == (0.3, pytest.approx(0.5))
        assert track.alike == (True,) * num_whole + (None,) * num_cut + (False,) * (8 - len(seen))
    else:
        assert None not in track.alike
        assert track.blob.x > 0.5
    assert track.seen == tuple(seen.get(at) for at in range(8))


def test_a_thing_is_placed_at_the_middle_of_its_way():
    """As the caption has it, though it is seen in a part of the clip alone."""
    still = Blob((200.0, 0.0, 0.0), {"circle": 0.9, "square": 0.5}, 0.3, 0.3, 0.7, 0.07)
    seen = {at: replace(still, x=0.3 + 0.05 * at, y=0.7 - 0.02 * at) for at in range(3)}
    track = clip_oracle._track(seen, [at / 4 for at in range(5)])
    assert track.way == pytest.approx((0.2, -0.08))
    assert (track.blob.x, track.blob.y) == pytest.approx((0.4, 0.66))
