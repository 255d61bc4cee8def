"""Why candidates and scores did not come about, counted by who was to make them.

    rows -> for each generator and judge: how many of how many, and the reasons with their counts

A reason is an error without its numbers and names of files, so that one cause is counted as one.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_NUMBER = re.compile(r"(?<!\bMP)\d+(?:\.\d+)?")  # MP4 is a name
_MAX_CHARACTERS = 120
#: How the error of a score begins whose candidate was never made: it is the generator's.
_NOT_GENERATED = "not generated"


def reason_of(error: str) -> str:
    """An error with its numbers left out."""
    text = _NUMBER.sub("#", error)
    return text if len(text) <= _MAX_CHARACTERS else text[: _MAX_CHARACTERS - 1] + "…"


@dataclass
class Failures:
    """Counts that grow with each row.

    made: by name of who makes them (without version), how many candidates or scores there are, and
        failed ones among them.
    reasons: by name, the reasons of those.
    """

    made: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a row of groups or candidates.

        Args:
            row: `candidates` with `generator` and `error` each, `scores` with `judge` and `error`
                each, and `error` and `failed_stage`; a judge's, where it failed as a whole.
        """
        for one in row.get("candidates") or ():
            self._count(one["generator"], one["error"])
        for one in row.get("scores") or ():
            if not (one["error"] or "").startswith(_NOT_GENERATED):
                self._count(one["judge"], one["error"])
        if row.get("failed_stage") == "judge" and row.get("error"):
            self._count("judging a whole row", row["error"])

    def _count(self, who: str, error: str | None) -> None:
        name = who.partition("@")[0]
        self.made[name] += 1
        if error is not None:
            self.reasons[name][reason_of(error)] += 1

    def sentences(self, most: int = 3) -> list[str]:
        """A sentence for each of whom anything failed, with the commonest reasons.

        Args:
            most: reasons that are told of each.
        """
        return [
            f"{name}: {reasons.total()} of {self.made[name]} came to nothing: "
            + _told(reasons, most)
            for name, reasons in sorted(self.reasons.items())
        ]


def _told(reasons: Counter[str], most: int) -> str:
    told = [f"{num} x {reason}" for reason, num in reasons.most_common(most)]
    left = len(reasons) - len(told)
    return "; ".join(told) + (f"; and {left} other reason(s)" if left > 0 else "")


def failed_by_generator(generators: Sequence[str], errors: Sequence[str | None]) -> dict[str, int]:
    """What a manifest counts of failed candidates: by generator, of those with any."""
    failed = Counter(
        f"invalid_candidates/{who.partition('@')[0]}"
        for who, error in zip(generators, errors, strict=True)
        if error is not None
    )
    return dict(failed)
