"""Geometry of the report's plots: numbers in, coordinates out. The template draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.results import Estimate, ReliabilityBin

FOREST_WIDTH = 300
CURVE_WIDTH, CURVE_HEIGHT = 300, 110
RELIABILITY_SIDE = 150
_PAD = 10
_MAX_POINTS = 300


@dataclass(frozen=True)
class Span:
    """An interval on the axis: its ends and its estimate, in SVG units."""

    low: float
    value: float
    high: float


@dataclass(frozen=True)
class ForestRow:
    """An estimate, and where it is drawn."""

    estimate: Estimate
    span: Span | None  # None where nothing was measured
    corrected: Span | None


@dataclass(frozen=True)
class Tick:
    """A labelled place on the axis."""

    x: float
    value: float


@dataclass(frozen=True)
class Forest:
    """Estimates of one unit on one axis."""

    unit: str
    rows: tuple[ForestRow, ...]
    neutral: float | None  # where the neutral value is, in SVG units
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Line:
    """A training curve as an SVG polyline."""

    points: str
    top: float  # largest and smallest value of what is drawn
    bottom: float
    first_step: int
    last_step: int
    last: float
    last_x: float
    last_y: float
    is_averaged: bool


def forests(estimates: Sequence[Estimate]) -> list[Forest]:
    """One forest plot for each unit and neutral value, in the order of their first estimate."""
    groups: dict[tuple[str, float | None], list[Estimate]] = {}
    for estimate in estimates:
        groups.setdefault((estimate.unit, estimate.neutral), []).append(estimate)
    return [_forest(unit, neutral, group) for (unit, neutral), group in groups.items()]


def _forest(unit: str, neutral: float | None, estimates: Sequence[Estimate]) -> Forest:
    ends = [neutral or 0.0]  # a rate without a neutral value is read against zero
    for one in estimates:
        for each in (one, one.corrected):
            if each is not None:
                ends += [end for end in (each.low, each.value, each.high) if end is not None]
    low, high = min(ends), max(ends)
    margin = 0.04 * (high - low) or 1.0
    low, high = low - margin, high + margin
    scale = (FOREST_WIDTH - 2 * _PAD) / (high - low)

    def x(value: float) -> float:
        return round(_PAD + (value - low) * scale, 1)

    def span(one: Estimate | None) -> Span | None:
        if one is None or one.value is None:
            return None
        ends = (one.low, one.high)
        return Span(
            x(one.value if ends[0] is None else ends[0]),
            x(one.value),
            x(one.value if ends[1] is None else ends[1]),
        )

    rows = tuple(ForestRow(one, span(one), span(one.corrected)) for one in estimates)
    ticks = tuple(Tick(x(value), value) for value in nice_ticks(low, high))
    return Forest(unit, rows, None if neutral is None else x(neutral), ticks)


def nice_ticks(low: float, high: float, num: int = 5) -> list[float]:
    """About `num` round values between two ends."""
    rough = (high - low) / num
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(
        (factor * magnitude for factor in (1, 2, 2.5, 5) if factor * magnitude >= rough),
        10 * magnitude,
    )
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(number * step, 12) + 0.0 for number in range(first, last + 1)]


def line(curve: Sequence[tuple[int, float]]) -> Line:
    """A curve of (step, value); a long one is drawn as averages of equal runs of points."""
    shown = sorted(curve)
    per_bucket = math.ceil(len(shown) / _MAX_POINTS)
    drawn: list[tuple[float, float]] = []
    for start in range(0, len(shown), per_bucket):
        bucket = shown[start : start + per_bucket]
        drawn.append(
            (
                sum(step for step, _ in bucket) / len(bucket),
                sum(value for _, value in bucket) / len(bucket),
            )
        )
    steps, values = [step for step, _ in drawn], [value for _, value in drawn]
    bottom, top = min(values), max(values)
    width = (steps[-1] - steps[0]) or 1.0
    height = (top - bottom) or 1.0

    def at(step: float, value: float) -> tuple[float, float]:
        return (
            round(_PAD + (step - steps[0]) / width * (CURVE_WIDTH - 2 * _PAD), 1),
            round(CURVE_HEIGHT - _PAD - (value - bottom) / height * (CURVE_HEIGHT - 2 * _PAD), 1),
        )

    places = [at(step, value) for step, value in drawn]
    return Line(
        points=" ".join(f"{x},{y}" for x, y in places),
        top=top,
        bottom=bottom,
        first_step=shown[0][0],
        last_step=shown[-1][0],
        last=shown[-1][1],
        last_x=places[-1][0],
        last_y=places[-1][1],
        is_averaged=per_bucket > 1,
    )


@dataclass(frozen=True)
class Dot:
    """Pairs of like confidence: claimed to the right, right upwards, in SVG units."""

    x: float
    y: float
    y_low: float  # ends of the interval; the dot itself where there is none
    y_high: float
    radius: float  # its area grows with the number of pairs
    bin: ReliabilityBin


def reliability(bins: Sequence[ReliabilityBin]) -> list[Dot]:
    """A reliability plot on a square of `RELIABILITY_SIDE`: confidence from one half to one
    against the share right from none to all.

    A calibrated judge lies on the line from the middle of the left side to the upper right corner.
    """
    inner = RELIABILITY_SIDE - 2 * _PAD
    most = max((one.num for one in bins), default=1)

    def y(share: float) -> float:
        return round(RELIABILITY_SIDE - _PAD - share * inner, 1)

    return [
        Dot(
            x=round(_PAD + (one.confidence - 0.5) * 2 * inner, 1),
            y=y(one.share_right),
            y_low=y(one.share_right if one.low is None else one.low),
            y_high=y(one.share_right if one.high is None else one.high),
            radius=round(2 + 4 * math.sqrt(one.num / most), 1),
            bin=one,
        )
        for one in bins
    ]
