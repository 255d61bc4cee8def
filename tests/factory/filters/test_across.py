"""Objections over a whole data set: exact whatever the order of the rows, against a plain loop."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from factory.filters.across import (
    Raised,
    Signatures,
    max_bits,
    may_meet,
    near_duplicates,
    over_quota,
    signature,
)
from factory.ids import numbers_of, to_text
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


@pytest.mark.parametrize("bits", [0, 1, 2, 4])
def test_only_pairs_that_may_be_alike_are_looked_at(bits):
    rng = np.random.default_rng(bits)
    chosen, rejected = clustered(rng, 600, 30, bits + 1)
    strangers = rng.integers(0, 2**64, (2, 1400), dtype=np.uint64)
    chosen = np.concatenate([strangers[0], chosen])
    rejected = np.concatenate([strangers[1], rejected])
    few = may_meet(chosen, rejected, bits)
    assert len(few) < 1200
    whole = near_duplicates(chosen, rejected, bits)
    found = np.full(len(chosen), -1)
    like = near_duplicates(chosen[few], rejected[few], bits)
    found[few[like >= 0]] = few[like[like >= 0]]
    assert found.tolist() == whole.tolist()
    assert (found >= 0).sum() > 20
    assert may_meet(chosen, rejected, -1).tolist() == []


def test_one_side_alone_makes_no_duplicate():
    chosen = np.array([5, 5, 5], dtype=np.uint64)
    rejected = np.array([0, 2**32 - 1, 1], dtype=np.uint64)
    assert near_duplicates(chosen, rejected, 1).tolist() == [-1, -1, 0]
    assert near_duplicates(chosen, rejected, -1).tolist() == [-1, -1, -1]
    assert near_duplicates(chosen[:0], rejected[:0], 1).tolist() == []


def test_a_copy_is_like_what_its_original_is_like():
    """Both kept pairs are one bit from it. The second would be met first: it shares lower bits."""
    chosen = np.array([0, 1, 1 + 2**40, 1], dtype=np.uint64)
    same = np.zeros_like(chosen)
    assert near_duplicates(chosen, same, 1).tolist() == [-1, 0, -1, 0]
    assert near_duplicates(same, chosen, 1).tolist() == [-1, 0, -1, 0]


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
    slices = np.array([0, 1, 0, 0, -1, 1, -1, 1], dtype=np.int32)
    ids = np.arange(8, dtype=np.uint64) + np.uint64(2**63)
    wanted = [False, False, False, True, False, False, False, True]
    assert over_quota(ids, slices, 2).tolist() == wanted
    assert over_quota(ids[::-1], slices[::-1], 2).tolist() == wanted[::-1]
    assert not over_quota(ids, slices, 3).any()
    assert over_quota(ids[:0], slices[:0], 1).tolist() == []


def test_objections_are_told_by_id():
    ids = numbers_of(["b" * 16, "a" * 16, "c" * 16])
    raised = Raised.of(ids, ["one", "other", "one"])
    assert raised.about(numbers_of(["a" * 16, "d" * 16, "c" * 16])) == ["other", None, "one"]
    assert list(raised.texts) == ["one", "other"]
    assert Raised.of(ids[:0], []).about(ids) == [None] * 3


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


def gather(found, rows):
    """Add rows of (id, hashes or None, tags)."""
    hashes = np.array([row[1] or (0, 0) for row in rows], dtype=np.uint64).reshape(-1, 2)
    known = np.array([row[1] is not None for row in rows], dtype=np.bool_)
    ids = numbers_of(row[0] for row in rows)
    found.add(ids, hashes[:, 0], hashes[:, 1], known, [row[2] for row in rows])


def told(raised):
    """Every objection, by id."""
    texts = raised.about(raised.ids)
    return {to_text(one): text for one, text in zip(raised.ids, texts, strict=True)}


@pytest.mark.parametrize("block", [1, 2, 6])
@pytest.mark.parametrize("step", [1, -1])
def test_blocks_and_their_order_change_nothing(block, step):
    rows = PAIRS[::step]
    found = Signatures({"style": 2}, 0.02)
    for at in range(0, len(rows), block):
        gather(found, rows[at : at + block])
    assert told(found.objections()) == WANTED


def test_quotas_of_several_tags_come_one_after_the_other():
    found = Signatures({"style": 1, "region": 1}, 0.0)
    rows = [
        ("0" * 15 + "1", None, {"style": "plain", "region": "north"}),
        ("0" * 15 + "2", None, {"style": "plain", "region": "south"}),
        ("0" * 15 + "3", None, {"style": "photo", "region": "north"}),
        ("0" * 15 + "4", None, {"style": "drawn", "region": "south"}),
    ]
    gather(found, rows)
    assert told(found.objections()) == {
        "0" * 15 + "2": "over quota: style=plain has 1 pairs already",
        "0" * 15 + "3": "over quota: region=north has 1 pairs already",
    }


def test_nothing_is_asked_of_nothing():
    assert len(Signatures({"style": 1}, 0.02).objections()) == 0
    found = Signatures({"style": 1}, 0.02)
    gather(found, [])
    assert len(found.objections()) == 0


def test_a_real_duplicate_across_prompts_is_found():
    twin = replace(
        GOOD, pair_id="f" * 16, prompt=Prompt.of("another"), chosen=candidate("z", picture(1))
    )
    found = Signatures({}, 0.02)
    for pair in (twin, GOOD):
        hashes = signature(pair)
        gather(found, [(pair.pair_id, (hashes.chosen, hashes.rejected), pair.prompt.tags)])
    assert list(told(found.objections())) == ["f" * 16]


@pytest.mark.parametrize(("quotas", "most"), [({}, 12), ({"style": 10}, 40)])
def test_a_pair_takes_a_few_bytes_however_many_there_are(quotas, most):
    def peak(num):
        rng, known = np.random.default_rng(0), np.ones(5000, dtype=np.bool_)
        found = Signatures(quotas, 0.02)
        tracemalloc.start()
        for _ in range(num // 5000):
            numbers = rng.integers(0, 2**64, (3, 5000), dtype=np.uint64)
            found.add(*numbers, known, [{"style": "plain"}] * 5000)
        found.objections()
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held

    assert (peak(400_000) - peak(200_000)) / 200_000 < most
