"""Objections that need the whole data set: pairs like one already kept, and slices over quota.

"Already kept" must not depend on which block finished first, so pairs are gone through in the order
of their ids. An id is a hash of content: the order is the same in every run, and nobody chose it.
Each pair that passed the other objections leaves a `Signature`, two numbers, and what is decided
here is a function of the set of signatures alone, which one process holds.

Two pairs are alike where both sides are: the chosen ones, and the rejected ones. Which are compared
at all is found by banding (Manku et al. 2007): two 64-bit hashes that differ in at most d bits
agree wholly in one of d + 1 bands, so no two like pairs are missed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from factory.filters.pictures import hash_of
from factory.filters.text import text_hash, text_key
from factory.media import MediaError
from schemas.rows import Candidate, Pair

Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]

_HASH_BITS = 64
_ODD = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))  # spread bands over a key


@dataclass(frozen=True)
class Signature:
    """What two pairs are compared by: a hash of either side, near for sides that are alike."""

    chosen: int
    rejected: int


def signature(pair: Pair) -> Signature | None:
    """The signature of a pair, or None where a side has nothing to compare.

    Pictures are compared whichever prompt they belong to. Answers only within one prompt, since
    "yes" to one question has nothing to do with "yes" to another.
    """
    chosen, rejected = _hash(pair, pair.chosen), _hash(pair, pair.rejected)
    return None if chosen is None or rejected is None else Signature(chosen, rejected)


def _hash(pair: Pair, side: Candidate) -> int | None:
    if side.answer is not None:
        return text_hash(side.answer) ^ text_key(pair.prompt.prompt_id)
    try:
        return hash_of(side)
    except MediaError:
        return None


def max_bits(min_distance: float) -> int:
    """The most bits in which two hashes may differ and be nearer than a share of all bits."""
    return math.ceil(min_distance * _HASH_BITS) - 1


def near_duplicates(chosen: Hashes, rejected: Hashes, bits: int) -> Indices:
    """For each pair the earlier kept pair that it is like, or -1 where it is kept: [N].

    The first of two like pairs is kept; a pair is compared with kept ones only.

    Args:
        chosen: hashes of the chosen sides in the order in which pairs are gone through, [N].
        rejected: of the rejected ones.
        bits: the most bits in which both sides may differ; negative for no comparison.
    """
    like = np.full(len(chosen), -1, dtype=np.int64)
    if bits < 0 or not len(chosen):
        return like
    # Copies go first: whatever becomes of the first of them becomes of all.
    first = _first_copies(chosen, rejected)
    meetings = _meetings(chosen, rejected, np.flatnonzero(first == np.arange(len(first))), bits)
    kept: dict[tuple[int, int], list[int]] = {}
    for at in sorted(meetings):  # the others are like nothing
        one, other = int(chosen[at]), int(rejected[at])
        twin = next(
            (
                old
                for key in meetings[at]
                for old in kept.get(key, ())
                if (one ^ int(chosen[old])).bit_count() <= bits
                and (other ^ int(rejected[old])).bit_count() <= bits
            ),
            None,
        )
        if twin is not None:
            like[at] = twin
            continue
        for key in meetings[at]:
            kept.setdefault(key, []).append(at)
    copies = np.flatnonzero(first != np.arange(len(first)))
    originals = first[copies]
    like[copies] = np.where(like[originals] >= 0, like[originals], originals)
    return like


def _first_copies(chosen: Hashes, rejected: Hashes) -> Indices:
    """For each pair the first with both its hashes, which may be itself: [N]."""
    order = np.lexsort((rejected, chosen))  # stable: copies stay in their order
    is_new = np.ones(len(order), dtype=np.bool_)
    is_new[1:] = (chosen[order[1:]] != chosen[order[:-1]]) | (
        rejected[order[1:]] != rejected[order[:-1]]
    )
    first = np.empty(len(order), dtype=np.int64)
    first[order] = order[is_new][np.cumsum(is_new) - 1]
    return first


def _meetings(
    chosen: Hashes, rejected: Hashes, among: Indices, bits: int
) -> dict[int, list[tuple[int, int]]]:
    """The buckets of each pair that shares one: pairs with a band of either side in common meet."""
    found: dict[int, list[tuple[int, int]]] = {}
    num = bits + 1
    for number in range(num * num):
        key = _band(chosen[among], number // num, num) * _ODD[0]
        key += _band(rejected[among], number % num, num) * _ODD[1]
        order = np.argsort(key, kind="stable")
        key = key[order]
        is_like_last = np.zeros(len(key), dtype=np.bool_)
        is_like_last[1:] = key[1:] == key[:-1]
        is_shared = is_like_last.copy()
        is_shared[:-1] |= is_like_last[1:]
        buckets = np.cumsum(~is_like_last[is_shared])
        for at, bucket in zip(among[order[is_shared]].tolist(), buckets.tolist(), strict=True):
            found.setdefault(at, []).append((number, bucket))
    return found


def _band(hashes: Hashes, number: int, num: int) -> Hashes:
    """One of `num` bands of the bits."""
    low, high = _HASH_BITS * number // num, _HASH_BITS * (number + 1) // num
    return (hashes >> np.uint64(low)) & np.uint64(2 ** (high - low) - 1)


def over_quota(slices: Indices, quota: int) -> npt.NDArray[np.bool_]:
    """Which pairs come after the first `quota` of their slice: [N].

    Args:
        slices: the code of each pair's slice in the order in which pairs are gone through, [N];
            negative for none.
        quota: pairs of a slice that may stay.
    """
    order = np.argsort(slices, kind="stable")
    ordered = slices[order]
    begins = np.searchsorted(ordered, ordered, side="left")
    place = np.empty(len(slices), dtype=np.int64)
    place[order] = np.arange(len(slices)) - begins
    return np.asarray((slices >= 0) & (place >= quota))


@dataclass
class Signatures:
    """The signatures of all pairs that passed so far, gathered in any order.

    quotas: most kept pairs for each value of a tag, by the tag.
    min_distance: as in `recipe.Objections.min_pair_distance`.
    """

    quotas: Mapping[str, int]
    min_distance: float

    def __post_init__(self) -> None:
        self._ids: list[Hashes] = []
        self._hashes: list[npt.NDArray[np.uint64]] = []  # [n, 2]
        self._known: list[npt.NDArray[np.bool_]] = []
        self._slices: dict[str, list[npt.NDArray[np.int32]]] = {tag: [] for tag in self.quotas}
        self._values: dict[str, dict[str, int]] = {tag: {} for tag in self.quotas}

    def add(
        self,
        pair_ids: list[str],
        signatures: list[tuple[int, int] | None],
        tags: list[Mapping[str, str]],
    ) -> None:
        """Take in pairs that no other objection was raised against."""
        self._ids.append(np.array([int(one, 16) for one in pair_ids], dtype=np.uint64))
        self._hashes.append(
            np.array([one or (0, 0) for one in signatures], dtype=np.uint64).reshape(-1, 2)
        )
        self._known.append(np.array([one is not None for one in signatures], dtype=np.bool_))
        for tag, values in self._values.items():
            codes = [values.setdefault(one[tag], len(values)) if tag in one else -1 for one in tags]
            self._slices[tag].append(np.array(codes, dtype=np.int32))

    def objections(self) -> dict[str, str]:
        """The objection to each pair that is not kept, by its id."""
        if not self._ids:
            return {}
        ids = np.concatenate(self._ids)
        order = np.argsort(ids, kind="stable")
        ids, raised = ids[order], dict[str, str]()
        known = np.flatnonzero(np.concatenate(self._known)[order])
        hashes = np.concatenate(self._hashes)[order][known]
        like = near_duplicates(hashes[:, 0], hashes[:, 1], max_bits(self.min_distance))
        for at in np.flatnonzero(like >= 0):
            twin = ids[known[like[at]]]
            raised[_hex(ids[known[at]])] = f"near-duplicate pair: like {_hex(twin)}, which is kept"
        passed = np.ones(len(ids), dtype=np.bool_)
        passed[known[like >= 0]] = False
        for tag, quota in self.quotas.items():
            codes = np.concatenate(self._slices[tag])[order].astype(np.int64)
            surplus = over_quota(np.where(passed, codes, -1), quota)
            names = list(self._values[tag])
            for at in np.flatnonzero(surplus):
                raised[_hex(ids[at])] = (
                    f"over quota: {tag}={names[codes[at]]} has {quota} pairs already"
                )
            passed &= ~surplus
        return raised


def _hex(number: np.uint64) -> str:
    return f"{int(number):016x}"
