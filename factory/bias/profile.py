"""The bias profile of a judge: how it depends on the order shown and on the look of the media.

What a reader sees before trusting the pairs. `bias_profile` in `estimate` makes it; nothing is
corrected here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from factory.bias.association import UNITS, Association
from factory.intervals import Interval


@dataclass(frozen=True)
class Position:
    """What changes with the order in which two candidates are shown.

    flip_rate: share of matchups with different verdicts in the two orders.
    first_slot_excess: share of verdicts for the side shown first, minus one half, a tie counting
        half. Every matchup is seen in both orders, so it is zero for an unbiased judge.
    logit_shift: log-odds that being shown first adds; a little too small where duels are so
        one-sided that their log-odds are clipped.
    num_matchups: read in both orders.
    num_unreadable: not read in at least one order, and in none of these figures.
    """

    flip_rate: Interval
    first_slot_excess: Interval
    logit_shift: Interval
    num_matchups: int
    num_unreadable: int


@dataclass(frozen=True)
class BiasProfile:
    """What was found out about one judge.

    associations: of each attribute with each source of preferences (see `association`).
    sds: one standard deviation of each attribute over candidates, the unit of the slopes.
    """

    position: Position
    associations: tuple[Association, ...]
    sds: Mapping[str, float]
    num_prompts: int
    num_labels: int

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON; a number that could not be measured is None."""
        plain: dict[str, Any] = _map_floats(asdict(self), lambda x: x if math.isfinite(x) else None)
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> BiasProfile:
        """Read back what `to_dict` wrote."""
        position, associations = dict(plain["position"]), []
        for key in ("flip_rate", "first_slot_excess", "logit_shift"):
            position[key] = _interval(position[key])
        for one in plain["associations"]:
            intervals = {key: _interval(one[key]) for key in ("slope", "correlation")}
            numbers = {key: _number(one[key]) for key in ("p_value", "p_adjusted")}
            associations.append(Association(**{**one, **intervals, **numbers}))
        sds = {name: _number(sd) for name, sd in plain["sds"].items()}
        return cls(
            Position(**position),
            tuple(associations),
            sds,
            plain["num_prompts"],
            plain["num_labels"],
        )

    def describe(self) -> list[dict[str, Any]]:
        """A row for each figure: name, value, low, high, neutral, unit, num, num_invalid, note."""
        place = self.position
        rows = [
            _describe(name, interval, unit, place.num_matchups, place.num_unreadable, note)
            for name, interval, unit, note in (
                ("flip rate", place.flip_rate, "share of matchups", ""),
                ("first slot", place.first_slot_excess, "share above one half", ""),
                ("first slot, log-odds", place.logit_shift, "log-odds", ""),
            )
        ]
        for one in self.associations:
            note = f"correlation {one.correlation.value:.2f}, adjusted p {one.p_adjusted:.2g}"
            if one.is_flagged:
                note = f"flagged: {note}"
            name = f"{one.attribute}, {one.source}"
            rows.append(_describe(name, one.slope, UNITS[one.source], one.num, 0, note))
        return rows


def _describe(
    name: str, interval: Interval, unit: str, num: int, num_invalid: int, note: str
) -> dict[str, Any]:
    row = {**asdict(interval), "neutral": 0.0, "unit": unit, "num": num}
    plain = _map_floats(row, lambda x: x if math.isfinite(x) else None)
    return {"name": name, **plain, "num_invalid": num_invalid, "note": note}


def _map_floats(value: Any, change: Callable[[float], float | None]) -> Any:
    if isinstance(value, float):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _map_floats(one, change) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_map_floats(one, change) for one in value]
    return value


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _interval(plain: Mapping[str, float | None]) -> Interval:
    return Interval(**{key: _number(value) for key, value in plain.items()})
