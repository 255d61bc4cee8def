"""Objections to what the two sides show: nothing at all, next to nothing, or twice the same.

A clip is looked at as four of its frames, two by two in one picture
(`factory.media.measures.still`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from factory.filters.objection import BROKEN
from factory.media.measures import still
from factory.media.pictures import MediaError, Pixels, entropy, is_blank, perceptual_hash
from factory.statistics.metrics import hash_share
from schemas.rows import Candidate, Pair


@dataclass(frozen=True)
class BrokenMedia:
    """A side that shows nothing: no output, undecodable, or of a single colour."""

    needs_media = False

    def __call__(self, pair: Pair) -> str | None:
        for side, candidate in (("chosen", pair.chosen), ("rejected", pair.rejected)):
            fault = _fault(candidate)
            if fault is not None:
                return f"{BROKEN} {side}: {fault}"
        return None


@dataclass(frozen=True)
class LowEntropy:
    """A side with next to no detail: a gradient, a flat logo, a fade to black.

    min_entropy: least Shannon entropy of the lightness, in bits of six.
    """

    min_entropy: float

    needs_media = True

    def __call__(self, pair: Pair) -> str | None:
        for side, candidate in (("chosen", pair.chosen), ("rejected", pair.rejected)):
            if candidate.media is None:
                continue
            found = entropy(_pixels(candidate.media.data))
            if found < self.min_entropy:
                return f"low entropy: {side}: {found:.3g} bits, {self.min_entropy:g} wanted"
        return None


@dataclass(frozen=True)
class NearDuplicate:
    """The two sides look the same, so the pair teaches noise.

    min_hash_distance: least share of differing bits of the perceptual hashes.
    """

    min_hash_distance: float

    needs_media = True

    def __call__(self, pair: Pair) -> str | None:
        if pair.chosen.media is None or pair.rejected.media is None:
            return None
        distance = hash_share(hash_of(pair.chosen), hash_of(pair.rejected))
        if distance >= self.min_hash_distance:
            return None
        return f"near-duplicate: distance {distance:.3g}, {self.min_hash_distance:g} wanted"


def hash_of(candidate: Candidate) -> int:
    """The perceptual hash of a candidate's picture.

    Raises:
        MediaError: there is none that can be decoded.
    """
    if candidate.media is None:
        raise MediaError("no media")
    return _hash(candidate.media.data)


def _fault(candidate: Candidate) -> str | None:
    if candidate.error is not None:
        return candidate.error
    if candidate.media is None:
        return None if candidate.answer is not None else "no media"
    try:
        pixels = _pixels(candidate.media.data)
    except MediaError as error:
        return str(error)
    return "blank" if is_blank(pixels) else None


# The two sides of the pair at hand are decoded and hashed once, however many objections look.
@lru_cache(maxsize=2)
def _pixels(data: bytes) -> Pixels:
    return still(data)


@lru_cache(maxsize=2)
def _hash(data: bytes) -> int:
    return perceptual_hash(_pixels(data))
