"""What an objection is, and how all of them together give a pair its verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from schemas.rows import Pair, Verdict

#: How the objection to media that shows nothing begins.
BROKEN = "broken media:"
#: How what an objection of somebody's own says begins where it could not look at the pair.
FAILED = "failed objection:"


#: From a pair whose media may be references to the same with its media.
Fetch = Callable[[Pair], Pair]


class Objection(Protocol):
    """A reason not to keep a pair."""

    @property
    def needs_media(self) -> bool:
        """Whether it is skipped for a pair whose media is broken, and is shown the media of others:
        without it, media that lie outside their rows are references (`Media.stored` is None).
        """

    def __call__(self, pair: Pair) -> str | None:
        """The objection as "reason: detail", or None."""


def needs_pixels(objection: Objection) -> bool:
    """Whether media must be brought in for it: where it needs media, unless it says that
    `needs_pixels` is False, since what was measured of them is enough.
    """
    return bool(getattr(objection, "needs_pixels", objection.needs_media))


def judge_pair(
    pair: Pair,
    objections: Sequence[Objection],
    fetch: Fetch = lambda pair: pair,
) -> Pair:
    """The pair with its verdict and every objection to it; an invalid pair stays as it is.

    Args:
        pair: whose sides have their measures, or their media.
        objections: to raise.
        fetch: brings in the media of a pair, for objections that need their pixels.

    Objections that do not need media are raised first, broken media among them; where it is found,
    those that need media are skipped. A pair at which an objection has failed is invalid.
    """
    if pair.verdict == "invalid":
        return pair
    raised = [
        reason for one in objections if not one.needs_media and (reason := one(pair)) is not None
    ]
    if not any(reason.startswith(BROKEN) for reason in raised):
        seeing = [one for one in objections if one.needs_media]
        shown = fetch(pair) if any(map(needs_pixels, seeing)) else pair
        raised += [reason for one in seeing if (reason := one(shown)) is not None]
    raised.sort(key=lambda reason: not reason.startswith(BROKEN))
    verdict: Verdict = "rejected" if raised else "kept"
    if any(reason.startswith(FAILED) for reason in raised):
        verdict = "invalid"
    return replace(pair, verdict=verdict, objections=tuple(raised))
