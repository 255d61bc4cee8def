"""Objections that need the whole data set: pairs like one already kept, and slices over quota.

"Already kept" must not depend on which block finished first, so pairs are gone through in the order
of their ids. An id is a hash of content: the order is the same in every run, and nobody chose it.
Each pair that passed the other objections leaves a `Signature`, two numbers, and what is decided
here is a function of the set of signatures alone. One process decides; the signatures lie on its
disk, and what it holds of each pair is a few bytes.

Two pairs are alike where both sides are: the chosen ones, and the rejected ones. Which are compared
at all is found by banding (Manku et al. 2007): two 64-bit hashes that differ in at most d bits
agree wholly in one of d + 1 bands, so no two like pairs are missed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from factory.filters.pictures import hash_of
from factory.filters.text import text_hash, text_key
from factory.ids import Ids, positions, to_text
from factory.media.pictures import MediaError
from factory.scratch import Scratch
from schemas.rows import Candidate, Pair

Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]
Tags = Mapping[str, str]

_HASH_BITS = 64
_AT_ONCE = 2**16  # pairs
_IS_LIKE, _IS_KEPT = -1, -2  # codes beside the places of texts
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


def may_meet(chosen: Hashes, rejected: Hashes, bits: int) -> Indices:
    """The places of all pairs that may be like another one, in order: those that share a band of
    either side with one. Of different pairs they are few, and the others need not be looked at.

    8 bytes a pair are held at a time, for one pair of bands after the other.

    Args:
        chosen: hashes of the chosen sides, in any order, [N].
        rejected: of the rejected ones.
        bits: as in `near_duplicates`.
    """
    is_met = np.zeros(len(chosen), dtype=np.bool_)
    for number in range((bits + 1) ** 2):
        keys = np.empty(len(chosen), dtype=np.uint64)
        for at in _blocks(len(chosen)):
            keys[at] = _key(chosen[at], rejected[at], number, bits + 1)
        keys.sort()
        shared = np.unique(keys[1:][keys[1:] == keys[:-1]])
        del keys
        for at in _blocks(len(chosen)):
            is_met[at] |= positions(_key(chosen[at], rejected[at], number, bits + 1), shared) >= 0
    return np.flatnonzero(is_met)


def _blocks(num: int) -> Iterator[slice]:
    return (slice(at, min(at + _AT_ONCE, num)) for at in range(0, num, _AT_ONCE))


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
        key = _key(chosen[among], rejected[among], number, num)
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


def _key(chosen: Hashes, rejected: Hashes, number: int, num: int) -> Hashes:
    """A number for one of the `num` bands of each side, of which there are `num` squared pairs."""
    key = _band(chosen, number // num, num) * _ODD[0]
    return np.asarray(key + _band(rejected, number % num, num) * _ODD[1], dtype=np.uint64)


def _band(hashes: Hashes, number: int, num: int) -> Hashes:
    """One of `num` bands of the bits."""
    low, high = _HASH_BITS * number // num, _HASH_BITS * (number + 1) // num
    return (hashes >> np.uint64(low)) & np.uint64(2 ** (high - low) - 1)


def over_quota(ids: Ids, slices: Codes, quota: int) -> npt.NDArray[np.bool_]:
    """Which pairs come after the first `quota` of their slice, by their ids: [N].

    Args:
        ids: of the pairs, in any order, [N].
        slices: the code of each pair's slice, [N]; negative for none.
        quota: pairs of a slice that may stay.
    """
    is_over = np.zeros(len(ids), dtype=np.bool_)
    order = np.lexsort((ids, slices))
    num = int(slices.max(initial=-1)) + 1
    sizes = np.zeros(num, dtype=np.int64)
    for at in _blocks(len(slices)):
        sizes += np.bincount(slices[at][slices[at] >= 0], minlength=num)
    begin = len(ids) - int(sizes.sum())
    for size in sizes.tolist():
        is_over[order[begin + quota : begin + size]] = True
        begin += size
    return is_over


@dataclass(frozen=True, eq=False)
class Raised:
    """Objections to pairs, one each, in a few bytes a pair, since very many may be over quota.

    ids: of the pairs, ascending, [N].
    codes: the place of each objection's text in `texts`, [N]; `_IS_LIKE` for a near-duplicate.
    twins: the id of the kept pair that a near-duplicate is like, [N].
    """

    ids: Ids
    codes: Codes
    twins: Ids
    texts: Sequence[str] = ()

    @classmethod
    def of(cls, ids: Ids, objections: Iterable[str]) -> Raised:
        """Objections in words, of which many are the same, to pairs in any order."""
        known: dict[str, int] = {}
        codes = [known.setdefault(one, len(known)) for one in objections]
        order = np.argsort(ids)
        return cls(
            ids[order], np.array(codes, np.int32)[order], np.zeros(len(ids), np.uint64), list(known)
        )

    def __len__(self) -> int:
        return len(self.ids)

    def about(self, ids: Ids) -> list[str | None]:
        """The objection to each of some pairs, None where there is none: [n]."""
        return [None if at < 0 else self._text(at) for at in positions(ids, self.ids).tolist()]

    def _text(self, at: int) -> str:
        code = int(self.codes[at])
        if code == _IS_LIKE:
            return f"near-duplicate pair: like {to_text(self.twins[at])}, which is kept"
        return self.texts[code]


class Signatures:
    """The signatures of all pairs that passed so far, gathered in any order; they lie in scratch
    files, since there may be more than fit in memory.

    Args:
        quotas: most kept pairs for each value of a tag, by the tag.
        min_distance: as in `recipe.Objections.min_pair_distance`.
    """

    def __init__(self, quotas: Mapping[str, int], min_distance: float) -> None:
        self.quotas = quotas
        self.min_distance = min_distance
        self._ids, self._known = Scratch(np.uint64), Scratch(np.bool_)
        self._chosen, self._rejected = Scratch(np.uint64), Scratch(np.uint64)
        self._slices = {tag: Scratch(np.int32) for tag in quotas}
        self._values: dict[str, dict[str, int]] = {tag: {} for tag in quotas}

    def add(
        self, ids: Ids, chosen: Hashes, rejected: Hashes, known: Flags, tags: Sequence[Tags]
    ) -> None:
        """Take in pairs that no other objection was raised against, [n].

        Args:
            ids: of the pairs.
            chosen: hashes of the chosen sides.
            rejected: of the rejected ones.
            known: whether there are such hashes; else anything may stand there.
            tags: of the prompts.
        """
        self._ids.add(ids)
        self._chosen.add(chosen)
        self._rejected.add(rejected)
        self._known.add(known)
        for tag, values in self._values.items():
            codes = [values.setdefault(one[tag], len(values)) if tag in one else -1 for one in tags]
            self._slices[tag].add(np.array(codes, dtype=np.int32))

    def objections(self) -> Raised:
        """The objections to the pairs that are not kept."""
        ids = self._ids.array()
        copies, twins = self._copies(ids)
        codes = np.full(len(ids), _IS_KEPT, dtype=np.int32)
        codes[copies] = _IS_LIKE
        texts: list[str] = []
        for tag, quota in self.quotas.items():
            slices = np.where(codes == _IS_KEPT, self._slices[tag].array(), np.int32(-1))
            surplus = over_quota(ids, slices, quota)
            codes[surplus] = slices[surplus] + len(texts)
            texts += [
                f"over quota: {tag}={name} has {quota} pairs already" for name in self._values[tag]
            ]
        raised = np.flatnonzero(codes != _IS_KEPT)
        raised = raised[np.argsort(ids[raised])]
        found = ids[raised]
        like = np.zeros(len(raised), dtype=np.uint64)
        like[positions(ids[copies], found)] = ids[twins]
        return Raised(found, codes[raised], like, texts)

    def _copies(self, ids: Ids) -> tuple[Indices, Indices]:
        """The places of pairs like one that is kept, and the places of those."""
        chosen, rejected = self._chosen.array(), self._rejected.array()
        bits = max_bits(self.min_distance)
        few = may_meet(chosen, rejected, bits)
        few = few[self._known.array()[few]]
        few = few[np.argsort(ids[few])]
        like = near_duplicates(chosen[few], rejected[few], bits)
        return few[like >= 0], few[like[like >= 0]]
