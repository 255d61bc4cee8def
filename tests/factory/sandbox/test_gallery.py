"""What the base learns from: pictures and what can be seen in them."""

import numpy as np
import pytest

from factory.sandbox import gallery
from factory.sandbox.base_vlm import build_processor, checking_document, grade, telling_document
from factory.sandbox.gallery import PICTURES_EACH, Series
from factory.sandbox.oracle import compare, measure
from factory.sandbox.world import caption


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
    assert set(grades) == {1, 2, 3, 4, 5}


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
    import random

    tokenizer = build_processor().tokenizer
    yes, no = tokenizer.convert_tokens_to_ids(["yes", "no"])
    for seed in range(20):
        document = checking_document(tokenizer, drawn, random.Random(seed))
        assert len(document.pictures) == 2
        words = tokenizer.convert_ids_to_tokens(document.ids)
        asked = sum(target in (yes, no) for target in document.targets)
        # size, colour and shape of each thing, its place or the relation, background, extra things
        things = words.count("caption")
        num_things = sum(word in ("circle", "square", "triangle", "cross") for word in words)
        num_relations = words.count("of") + words.count("above") + words.count("below")
        num_places = words.count("at") + words.count("in")
        assert asked == 3 * num_things + num_places + num_relations + 2 * things
        assert "<unk>" not in words


def test_a_described_picture_ends(drawn: list[Series]) -> None:
    import random

    tokenizer = build_processor().tokenizer
    document = telling_document(tokenizer, random.Random(0))
    words = tokenizer.convert_ids_to_tokens(document.ids)
    assert words[-1] == "</s>"
    assert "describe" in words
    assert "<unk>" not in words
