"""Objections: why a pair is not kept.

Each block looks at one pair and returns None or "reason: detail". The reasons are counted in
manifests and reports, so their spelling stays. What could not be measured (NaN) is no objection
here: a block objects to what it knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from factory.media import MediaError, decode, is_blank, perceptual_hash
from factory.metrics import hash_share
from schemas import recipe
from schemas.rows import Candidate, Pair

Pixels = npt.NDArray[np.uint8]


class Objection(Protocol):
    """A reason not to keep a pair."""

    def __call__(self, pair: Pair) -> str | None:
        """The objection as "reason: detail", or None."""


@dataclass(frozen=True)
class BrokenMedia:
    """A side that shows nothing: no output, undecodable, or of a single colour."""

    def __call__(self, pair: Pair) -> str | None:
        for side, candidate in (("chosen", pair.chosen), ("rejected", pair.rejected)):
            fault = _fault(candidate)
            if fault is not None:
                return f"broken media: {side}: {fault}"
        return None


@dataclass(frozen=True)
class Inconsistent:
    """The verdict of the two sides' duel depends on which is shown first."""

    def __call__(self, pair: Pair) -> str | None:
        if not pair.is_flipped:
            return None
        return "inconsistent: the duel's verdict changes with the order shown"


@dataclass(frozen=True)
class ThinMargin:
    """The chosen side is not stronger by enough points."""

    min_margin: float

    def __call__(self, pair: Pair) -> str | None:
        if not pair.margin < self.min_margin:  # a baseline without margins has NaN
            return None
        return f"thin margin: {pair.margin:.3g} points, {self.min_margin:g} wanted"


@dataclass(frozen=True)
class Quarantine:
    """The pair's verdict turns when the judge's biases are taken out: a person should look."""

    def __call__(self, pair: Pair) -> str | None:
        if pair.margin_before is None or not pair.margin_before * pair.margin < 0:
            return None
        return (
            f"quarantine: a margin of {pair.margin_before:.3g} points before the correction of "
            f"bias, {pair.margin:.3g} after it"
        )


@dataclass(frozen=True)
class Disagree:
    """Order, duel and scores do not all name the same side as the better one."""

    def __call__(self, pair: Pair) -> str | None:
        says = {
            "order": pair.margin,
            "duel": pair.p_chosen - 0.5,
            "scores": pair.score_margin,
        }
        against = [name for name, lead in says.items() if lead < 0]
        in_favour = [name for name, lead in says.items() if lead > 0]
        if not against or not in_favour:
            return None
        return (
            f"disagreement: {' and '.join(in_favour)} for the chosen side, "
            f"{' and '.join(against)} for the rejected one"
        )


@dataclass(frozen=True)
class NearDuplicate:
    """The two sides look the same, so the pair teaches noise.

    min_hash_distance: least share of differing bits of the perceptual hashes.
    """

    min_hash_distance: float

    def __call__(self, pair: Pair) -> str | None:
        if pair.chosen.media is None or pair.rejected.media is None:
            if pair.chosen.answer is None or pair.chosen.answer != pair.rejected.answer:
                return None
            return "near-duplicate: both answers are the same"
        chosen, rejected = _hash(pair.chosen.media.data), _hash(pair.rejected.media.data)
        distance = hash_share(chosen, rejected)
        if distance >= self.min_hash_distance:
            return None
        return f"near-duplicate: distance {distance:.3g}, {self.min_hash_distance:g} wanted"


def objections_of(settings: recipe.Objections) -> tuple[Objection, ...]:
    """The objections that a recipe asks for, in the order in which they are raised."""
    return (
        BrokenMedia(),
        Inconsistent(),
        ThinMargin(settings.min_margin),
        Quarantine(),
        Disagree(),
        NearDuplicate(settings.min_hash_distance),
    )


def judge_pair(pair: Pair, objections: Sequence[Objection]) -> Pair:
    """The pair with its verdict and every objection to it; an invalid pair stays as it is.

    Broken media is looked for first, and the objections that need pixels are then skipped.
    """
    if pair.verdict == "invalid":
        return pair
    first = [one for one in objections if isinstance(one, BrokenMedia)]
    later = [one for one in objections if not isinstance(one, BrokenMedia)]
    raised = [reason for one in first if (reason := one(pair)) is not None]
    if raised:
        later = [one for one in later if not isinstance(one, NearDuplicate)]
    raised += [reason for one in later if (reason := one(pair)) is not None]
    return replace(pair, verdict="rejected" if raised else "kept", objections=tuple(raised))


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


# The two sides of the pair at hand are decoded once, however many objections look at them.
@lru_cache(maxsize=2)
def _pixels(data: bytes) -> Pixels:
    return decode(data)


def _hash(data: bytes) -> int:
    return perceptual_hash(_pixels(data))
