import contextlib
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.sandbox import world
from factory.sandbox.world import CaptionError, Motion, Scene, Thing

SEEDS = st.integers(0, 2**32)
TWO = Scene(
    (Thing("small", "red", "circle", "top left"), Thing("large", "blue", "cross", "bottom right")),
    "grey",
)
RELATED = Scene(
    (Thing("small", "red", "circle"), Thing("large", "blue", "cross")), "grey", "left of"
)


@given(SEEDS, st.booleans())
def test_a_caption_reads_back_as_its_scene(seed, moving):
    scene = world.sample_scene(random.Random(seed), moving=moving)
    assert world.parse(world.caption(scene)) == scene


@given(SEEDS)
def test_a_sampled_scene_keeps_its_promises(seed):
    scene = world.sample_scene(random.Random(seed))
    looks = {(thing.colour, thing.shape) for thing in scene.things}
    assert 1 <= len(scene.things) <= 3
    assert len(looks) == len(scene.things)
    assert all((thing.place is None) == (scene.relation is not None) for thing in scene.things)
    assert len(set(scene.centres())) == len(scene.things)


def test_scenes_are_drawn_in_fixed_shares():
    scenes = [world.sample_scene(random.Random(seed), moving=True) for seed in range(3000)]
    by_size = [[one for one in scenes if len(one.things) == num] for num in (1, 2, 3)]
    shares = [len(some) / len(scenes) for some in by_size]
    assert shares == pytest.approx([0.35, 0.45, 0.20], abs=0.03)
    related = sum(one.relation is not None for one in by_size[1]) / len(by_size[1])
    assert related == pytest.approx(0.4, abs=0.04)
    assert not any(one.relation for one in by_size[0] + by_size[2])
    assert {one.motion.direction for one in scenes} == set(world.DIRECTIONS)
    assert "center" not in {thing.place for one in by_size[2] for thing in one.things}


def test_captions_are_sentences():
    assert world.caption(TWO) == (
        "a small red circle at the top left and a large blue cross at the bottom right "
        "on a grey background"
    )
    assert world.caption(replace(RELATED, motion=Motion("up", "fast"))) == (
        "a small red circle left of a large blue cross on a grey background moving up fast"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a small red circle at the top left",
        "a small red circle on a white background",
        "a small red circle at the center on a white background",
        "a small mauve circle at the top left on a white background",
        "a red small circle at the top left on a white background",
        "a small red circle at the top left on a white background moving up",
        "a small red circle at the top left and on a white background",
        "a small red circle left of a large blue cross and a small red square at the top left "
        "on a white background",
        "A small red circle at the top left on a white background.",
    ],
)
def test_other_texts_are_refused(text):
    with pytest.raises(CaptionError, match="not a sandbox caption"):
        world.parse(text)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(CaptionError):
        assert world.caption(world.parse(text)) == text


def test_sampled_captions_are_distinct_and_repeatable():
    captions = world.sample_captions(200, seed=1)
    assert len(set(captions)) == 200
    assert captions == world.sample_captions(200, seed=1)
    assert set(captions).isdisjoint(world.sample_captions(200, 1, exclude=frozenset(captions)))


# --------------------------------------------------------------------------------- differences


@given(SEEDS)
def test_a_scene_does_not_differ_from_itself(seed):
    scene = world.sample_scene(random.Random(seed))
    assert world.differences(scene, scene).num_wrong == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [("size", "large"), ("colour", "green"), ("shape", "square"), ("place", "center")],
)
def test_a_changed_element_is_the_one_that_differs(field, value):
    shown = replace(TWO, things=(replace(TWO.things[0], **{field: value}), TWO.things[1]))
    found = world.differences(TWO, shown)
    assert found.things == (frozenset({field}), frozenset())
    assert (found.background, found.num_extra, found.num_wrong) == (False, 0, 1)


def test_the_order_of_the_shown_things_does_not_matter():
    shown = replace(TWO, things=TWO.things[::-1])
    assert world.differences(TWO, shown).num_wrong == 0


def test_missing_extra_and_background():
    missing = world.differences(TWO, replace(TWO, things=TWO.things[:1]))
    assert missing.things[0] == frozenset()
    assert missing.things[1] == {"size", "colour", "shape", "place"}
    assert missing.num_extra == 0

    third = Thing("small", "pink", "square", "top right")
    assert world.differences(TWO, replace(TWO, things=(*TWO.things, third))).num_extra == 1
    assert world.differences(TWO, replace(TWO, background="black")).background


def test_a_thing_that_shares_nothing_is_missing_and_another_is_extra():
    stated = Scene((Thing("small", "red", "circle", "top left"),), "grey")
    shown = Scene((Thing("large", "blue", "cross", "top right"),), "grey")
    found = world.differences(stated, shown)
    assert found.things[0] == {"size", "colour", "shape", "place"}
    assert found.num_extra == 1


def test_a_wrong_relation_is_a_wrong_place_of_the_first_thing():
    found = world.differences(RELATED, replace(RELATED, relation="above"))
    assert found.things == (frozenset({"place"}), frozenset())


def test_a_relation_is_seen_from_either_thing():
    first, second = RELATED.things
    turned = replace(RELATED, things=(second, first))  # each in the other's place
    assert world.differences(RELATED, turned).things == (frozenset({"place"}), frozenset())
    opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
    same = replace(turned, relation=opposite[RELATED.relation])
    assert world.differences(RELATED, same).num_wrong == 0


# -------------------------------------------------------------------------------------- mirrors


@given(SEEDS)
def test_a_mirror_image_of_a_mirror_image_is_the_scene(seed):
    scene = world.sample_scene(random.Random(seed), moving=seed % 2 == 0)
    assert scene.mirror().mirror() == scene


def test_a_mirror_exchanges_left_and_right_and_nothing_else():
    words = {"left": "right", "right": "left"}
    for seed in range(100):
        scene = world.sample_scene(random.Random(seed))
        text = world.caption(scene)
        mirrored = " ".join(words.get(word, word) for word in text.split())
        assert world.caption(scene.mirror()) == mirrored
