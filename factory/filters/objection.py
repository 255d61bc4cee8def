"""What an objection is, and how all of them together give a pair its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from schemas.rows import Pair, Verdict

#: How the objection to media that shows nothing begins.
BROKEN = "broken media:"
#: How what an objection of somebody's own says begins where it could not look at the pair.
FAILED = "failed objection:"


class Objection(Protocol):
    """A reason not to keep a pair."""

    @property
    def needs_media(self) -> bool:
        """Whether it is skipped for a pair whose media is broken."""

    def __call__(self, pair: Pair) -> str | None:
        """The objection as "reason: detail", or None."""


def judge_pair(pair: Pair, objections: Sequence[Objection]) -> Pair:
    """The pair with its verdict and every objection to it; an invalid pair stays as it is.

    Objections that do not need media are raised first, broken media among them; where it is found,
    those that need media are skipped. A pair at which an objection has failed is invalid.
    """
    if pair.verdict == "invalid":
        return pair
    raised = [
        reason for one in objections if not one.needs_media and (reason := one(pair)) is not None
    ]
    if not any(reason.startswith(BROKEN) for reason in raised):
        raised += [
            reason for one in objections if one.needs_media and (reason := one(pair)) is not None
        ]
    raised.sort(key=lambda reason: not reason.startswith(BROKEN))
    verdict: Verdict = "rejected" if raised else "kept"
    if any(reason.startswith(FAILED) for reason in raised):
        verdict = "invalid"
    return replace(pair, verdict=verdict, objections=tuple(raised))
