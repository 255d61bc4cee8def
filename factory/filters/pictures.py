"""Objections to what the two sides show: nothing at all, next to nothing, or twice the same.

They look at what was measured of a side when it was made, so that no pixel need be read. A clip is
measured as four of its frames, two by two in one picture (`factory.media.measures.still`).
"""

from __future__ import annotations

from dataclasses import dataclass

from factory.candidates import is_unfinished
from factory.filters.objection import BROKEN
from factory.media.measures import measures_of
from factory.media.pictures import MediaError
from factory.statistics.metrics import hash_share
from schemas.rows import Candidate, Pair


@dataclass(frozen=True)
class BrokenMedia:
    """A side that shows nothing: no output, undecodable, or of a single colour. A rejected answer
    that came to no end is none of these.
    """

    needs_media = False

    def __call__(self, pair: Pair) -> str | None:
        for side, candidate in (("chosen", pair.chosen), ("rejected", pair.rejected)):
            is_cut = side == "rejected" and is_unfinished(candidate)
            fault = None if is_cut else _fault(candidate)
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
    needs_pixels = False

    def __call__(self, pair: Pair) -> str | None:
        for side, candidate in (("chosen", pair.chosen), ("rejected", pair.rejected)):
            measures = measures_of(candidate)
            found = None if measures is None else measures.entropy
            if found is not None and found < self.min_entropy:
                return f"low entropy: {side}: {found:.3g} bits, {self.min_entropy:g} wanted"
        return None


@dataclass(frozen=True)
class NearDuplicate:
    """The two sides look the same, so the pair teaches noise.

    min_hash_distance: least share of differing bits of the perceptual hashes.
    """

    min_hash_distance: float

    needs_media = True
    needs_pixels = False

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
    measures = None if candidate.media is None else measures_of(candidate)
    if measures is None or measures.signature is None:
        raise MediaError("no media" if measures is None else measures.fault or "no signature")
    return measures.signature


def _fault(candidate: Candidate) -> str | None:
    if candidate.error is not None:
        return candidate.error
    if candidate.media is None:
        return None if candidate.answer is not None else "no media"
    measures = measures_of(candidate)
    if measures is None or measures.fault is not None:
        return "no media" if measures is None else measures.fault
    return "blank" if measures.is_blank else None
