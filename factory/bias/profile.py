"""The bias profile of a judge: every figure of the audit, as one table.

What a reader sees before trusting the pairs, and what the correction is made from. It travels as
JSON and as Parquet, a row for each figure. `bias_profile` in `estimate` makes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from factory.bias.figure import BiasKind, Figure
from factory.statistics.intervals import Interval


@dataclass(frozen=True)
class BiasProfile:
    """What was found out about one judge.

    figures: all of them, in the order of the report.
    sds: one standard deviation of each attribute over the candidates of a prompt, the unit of the
        slopes.
    temperatures: for each slice of prompts as "key=value", and "" for all, the factor that makes
        the log-odds of duels right on held-out labels; empty where there are none.
    num_prompts: groups that were observed.
    num_labels: pairwise labels that were observed.
    num_probes: questions that were put to the judge.
    unknown: sentences on what no figure says, for want of labels or probes; there is then neither a
        bias nor none.
    score_sd: spread of the judge's scores within a prompt, in points, noise and all; NaN where
        nobody scored, or where it was not kept yet.
    """

    figures: tuple[Figure, ...]
    sds: Mapping[str, float]
    temperatures: Mapping[str, float]
    num_prompts: int
    num_labels: int
    num_probes: int
    unknown: tuple[str, ...] = ()
    score_sd: float = math.nan

    def find(self, kind: BiasKind, name: str, measure: str) -> Figure | None:
        """One figure, or None where it was not measured."""
        wanted = (kind, name, measure)
        return next(
            (one for one in self.figures if (one.kind, one.name, one.measure) == wanted), None
        )

    def flagged(self) -> tuple[Figure, ...]:
        """The figures that show a bias."""
        return tuple(one for one in self.figures if one.is_flagged)

    def rows(self) -> list[dict[str, Any]]:
        """A flat row for each figure; a number that could not be measured is None."""
        return [_flat(one) for one in self.figures]

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON; a number that could not be measured is None."""
        plain: dict[str, Any] = _map_floats(asdict(self), _finite)
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> BiasProfile:
        """Read back what `to_dict` wrote."""
        figures = []
        for row in plain["figures"]:
            found = {key: row.get(key) for key in _INTERVALS}  # older ones were not shrunk
            figures.append(
                Figure(
                    **{
                        **row,
                        **{key: one and _interval(one) for key, one in found.items()},
                        "estimate": _interval(row["estimate"]),
                        "p_value": _number(row["p_value"]),
                        "p_adjusted": _number(row["p_adjusted"]),
                    }
                )
            )
        return cls(
            tuple(figures),
            {name: _number(sd) for name, sd in plain["sds"].items()},
            dict(plain["temperatures"]),
            plain["num_prompts"],
            plain["num_labels"],
            plain["num_probes"],
            tuple(plain.get("unknown", ())),  # of before it was told, without
            _number(plain.get("score_sd")),
        )


def _flat(figure: Figure) -> dict[str, Any]:
    row = {
        key: value for key, value in vars(figure).items() if key not in ("estimate", *_INTERVALS)
    }
    told = [("", figure.estimate), *((f"{key}_", getattr(figure, key)) for key in _INTERVALS)]
    for prefix, interval in told:
        for edge in ("value", "low", "high"):
            row[prefix + edge] = getattr(interval, edge) if interval is not None else math.nan
    flat: dict[str, Any] = _map_floats(row, _finite)
    return flat


#: Intervals that a figure may lack.
_INTERVALS = ("shrunk", "corrected")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


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
