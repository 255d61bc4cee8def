"""What is counted over all pairs of a data set, in one pass and in any order.

Numbers by verdict, and by objection, for the whole set and for each value of each tag. A tag with
very many values (an author, a file name) is no slice: it is given up as soon as that shows, so the
memory stays the same however many pairs there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from factory.failures import failed_by_generator
from schemas.arrow import groups_from_table
from schemas.columns import IMAGE
from schemas.media_columns import map_media
from schemas.results import Slice
from schemas.rows import Group

VERDICTS = ("kept", "rejected", "invalid")
MAX_VALUES = 50  # of a tag that is a slice


def reasons_of(objections: Iterable[str]) -> list[str]:
    """The reasons of objections, each once: what stands before the colon."""
    return sorted({one.partition(":")[0].strip() for one in objections})


@dataclass
class Survey:
    """Counts that grow with each pair.

    weight, square_weight: sums over kept pairs of how much they count, and of its square.
    """

    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    weight: float = 0.0
    square_weight: float = 0.0
    _slices: dict[str, dict[str, tuple[Counter[str], Counter[str]]]] = field(default_factory=dict)
    _too_many: set[str] = field(default_factory=set)

    def add(
        self,
        verdict: str,
        objections: Sequence[str],
        tags: Mapping[str, str],
        weight: float = 1.0,
    ) -> None:
        """Count one pair."""
        reasons = reasons_of(objections)
        if verdict == "kept":
            self.weight += weight
            self.square_weight += weight * weight
        self.verdicts[verdict] += 1
        self.reasons.update(reasons)
        for tag, value in tags.items():
            if tag in self._too_many:
                continue
            values = self._slices.setdefault(tag, {})
            if value not in values and len(values) == MAX_VALUES:
                self._too_many.add(tag)
                del self._slices[tag]
                continue
            verdicts, own = values.setdefault(value, (Counter(), Counter()))
            verdicts[verdict] += 1
            own.update(reasons)

    @property
    def num_effective(self) -> float:
        """How many pairs that count alike the kept ones are worth (Kish 1965)."""
        return self.weight**2 / self.square_weight if self.square_weight else 0.0

    def counts(self) -> dict[str, int]:
        """Pairs by verdict, and all of them."""
        return {"pairs": self.verdicts.total(), **{one: self.verdicts[one] for one in VERDICTS}}

    def slices(self) -> tuple[Slice, ...]:
        """Every slice, by tag and value."""
        return tuple(
            Slice(
                tag,
                value,
                verdicts.total(),
                {one: verdicts[one] for one in VERDICTS},
                dict(sorted(reasons.items())),
            )
            for tag, values in sorted(self._slices.items())
            for value, (verdicts, reasons) in sorted(values.items())
        )


def count_table(table: pa.Table) -> dict[str, int]:
    """`count_groups` of a table, whose large media need not be at hand."""
    return count_groups(groups_from_table(map_media(table, _without_bytes)))


def _without_bytes(images: pa.StructArray) -> pa.StructArray:
    empty = {"bytes": b"", "path": None}
    return pa.array([empty if one else None for one in images.is_valid().to_pylist()], IMAGE)


def count_groups(groups: Iterable[Group]) -> dict[str, int]:
    """Rows and what is in them; a group is invalid where fewer than two candidates have a score.
    A generator of which candidates failed has a count of its own.
    """
    counts = dict.fromkeys(
        ("groups", "candidates", "duels", "invalid", "invalid_candidates", "invalid_duels"), 0
    )
    by_generator: Counter[str] = Counter()
    for group in groups:
        counts["groups"] += 1
        counts["candidates"] += len(group.candidates)
        counts["duels"] += len(group.duels)
        counts["invalid"] += group.is_invalid
        counts["invalid_candidates"] += sum(one.error is not None for one in group.candidates)
        counts["invalid_duels"] += sum(one.error is not None for one in group.duels)
        candidates = group.candidates
        by_generator.update(
            failed_by_generator(
                [one.generator for one in candidates], [one.error for one in candidates]
            )
        )
    return {**counts, **by_generator}
