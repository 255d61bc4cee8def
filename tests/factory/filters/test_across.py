"""Objections over a whole data set: exact whatever the order of the rows, against a plain loop."""

from dataclasses import replace

import numpy as np
import pytest

from factory.filters.across import (
    Signatures,
    max_bits,
    near_duplicates,
    over_quota,
    signature,
)
from schemas.rows import Media, Prompt
from tests.factory.some_pairs import GOOD, answers, candidate, media, picture, side


def plain_loop(chosen, rejected, bits):
    """The definition: go through the pairs, compare each with every kept one."""
    kept, like = [], []
    for at, (one, other) in enumerate(zip(chosen.tolist(), rejected.tolist(), strict=True)):
        twins = [
            old
            for old in kept
            if (one ^ int(chosen[old])).bit_count() <= bits
            and (other ^ int(rejected[old])).bit_count() <= bits
        ]
        like.append(bool(twins))
        if not twins:
            kept.append(at)
    return like


def clustered(rng, num, num_centres, bits):
    """Hashes of 64 bits around a few centres, each with up to `bits` bits flipped."""
    centres = rng.integers(0, 2**64, (num_centres, 2), dtype=np.uint64)
    found = centres[rng.integers(0, num_centres, num)]
    for side_of in range(2):
        for _ in range(bits):
            flip = np.uint64(1) << rng.integers(0, 64, num, dtype=np.uint64)
            found[:, side_of] ^= np.where(rng.random(num) < 0.7, flip, np.uint64(0))
    return found[:, 0], found[:, 1]


@pytest.mark.parametrize("bits", [0, 1, 2, 4])
@pytest.mark.parametrize("seed", range(3))
def test_banding_misses_nothing(bits, seed):
    chosen, rejected = clustered(np.random.default_rng(seed), 400, 40, bits + 1)
    like = near_duplicates(chosen, rejected, bits)
    wanted = plain_loop(chosen, rejected, bits)
    assert (like >= 0).tolist() == wanted
    assert 0 < sum(wanted) < 400
    for at in np.flatnonzero(like >= 0):  # each names an earlier pair that is kept
        assert like[at] < at
        assert like[like[at]] == -1


def test_one_side_alone_makes_no_duplicate():
    chosen = np.array([5, 5, 5], dtype=np.uint64)
    rejected = np.array([0, 2**32 - 1, 1], dtype=np.uint64)
    assert near_duplicates(chosen, rejected, 1).tolist() == [-1, -1, 0]
    assert near_duplicates(chosen, rejected, -1).tolist() == [-1, -1, -1]
    assert near_duplicates(chosen[:0], rejected[:0], 1).tolist() == []


def test_many_copies_of_one_pair_leave_one():
    same = np.full(20_000, 7, dtype=np.uint64)
    like = near_duplicates(same, same, 1)
    assert like.tolist() == [-1] + [0] * 19_999


@pytest.mark.parametrize(
    ("distance", "bits"), [(0.0, -1), (0.01, 0), (1 / 64, 0), (0.02, 1), (2.1 / 64, 2), (0.1, 6)]
)
def test_a_share_of_bits_as_a_number_of_bits(distance, bits):
    assert max_bits(distance) == bits


def test_over_quota_keeps_the_first_of_each_slice():
    slices = np.array([0, 1, 0, 0, -1, 1, -1, 1], dtype=np.int64)
    assert over_quota(slices, 2).tolist() == [False, False, False, True, False, False, False, True]


def test_signatures_of_pictures_cross_prompts_and_those_of_answers_do_not():
    other = Prompt.of("another prompt")
    assert signature(replace(GOOD, prompt=other)) == signature(GOOD)
    lighter = np.clip(picture(2).astype(int) + 1, 0, 255).astype(np.uint8)
    near, known = signature(side(GOOD, media=media(lighter))), signature(GOOD)
    assert (near.rejected ^ known.rejected).bit_count() <= 2
    yes, elsewhere = signature(answers("yes", "no")), signature(answers("yes", "no", other))
    assert signature(answers("Yes!", "no")) == yes
    assert (yes.chosen ^ elsewhere.chosen).bit_count() > 10
    assert signature(side(GOOD, media=None)) is None
    assert signature(side(GOOD, media=Media(b"broken", 1, 1))) is None


PAIRS = [
    ("00000000000000a1", (8, 8), {"style": "plain"}),
    ("00000000000000a2", (8, 9), {"style": "plain"}),  # like a1
    ("00000000000000a3", None, {"style": "plain"}),  # nothing to compare
    ("00000000000000a4", (2**40, 8), {"style": "plain"}),  # one style too many
    ("00000000000000a5", (2**50, 8), {}),
    ("00000000000000a6", (3, 2**30), {"style": "photo"}),
]
WANTED = {
    "00000000000000a2": "near-duplicate pair: like 00000000000000a1, which is kept",
    "00000000000000a4": "over quota: style=plain has 2 pairs already",
}


@pytest.mark.parametrize("block", [1, 2, 6])
@pytest.mark.parametrize("step", [1, -1])
def test_blocks_and_their_order_change_nothing(block, step):
    rows = PAIRS[::step]
    found = Signatures({"style": 2}, 0.02)
    for at in range(0, len(rows), block):
        ids, hashes, tags = zip(*rows[at : at + block], strict=True)
        found.add(list(ids), list(hashes), list(tags))
    assert found.objections() == WANTED


def test_nothing_is_asked_of_nothing():
    assert Signatures({"style": 1}, 0.02).objections() == {}
    found = Signatures({"style": 1}, 0.02)
    found.add([], [], [])
    assert found.objections() == {}


def test_a_real_duplicate_across_prompts_is_found():
    twin = replace(
        GOOD, pair_id="f" * 16, prompt=Prompt.of("another"), chosen=candidate("z", picture(1))
    )
    found = Signatures({}, 0.02)
    for pair in (twin, GOOD):
        hashes = signature(pair)
        found.add([pair.pair_id], [(hashes.chosen, hashes.rejected)], [pair.prompt.tags])
    assert list(found.objections()) == ["f" * 16]
