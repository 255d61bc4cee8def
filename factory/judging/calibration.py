"""Calibration: from what a judge claims to how often it is right, fitted on held-out labels.

One number of a pair is mapped, the log-odds that its first side is better (`Matchup.logit`, both
orders averaged, a tie counting half), to the probability that people prefer the first side. Both
maps are symmetric: p(a, b) = 1 - p(b, a).

    temperature   p = sigmoid(logit / T), T by maximum likelihood (Guo et al. 2017)
    isotonic      a rising step function of |logit| from one half upwards, by pooling adjacent
                  violators (Zadrozny & Elkan 2002), which needs some hundreds of labels

Scores are mapped to people's points in the same two ways: a line, or rising steps. `Abstention` is
the confidence below which the judge should not be heard, for a wanted precision. The maps travel
with the judge in `calibration.json`; nothing applies them unasked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import scipy

from factory.judging.abstention import Abstention
from factory.ranking.matchups import MAX_LOGIT, Matchup, Side, bound_of, is_readable, log_odds
from factory.ranking.noise import Noise
from factory.statistics.intervals import Array
from schemas.rows import Duel, Score, Task

FILE = "calibration.json"
Method = Literal["temperature", "isotonic"]
#: Fewer labels than this fit nothing.
MIN_LABELS = 20
_MAX_INVERSE = 20.0  # of a temperature; a judge that is always right would ask for more and more
_MIN_INVERSE = 0.02


class CalibrationError(ValueError):
    """A calibration file that cannot be used."""


@dataclass(frozen=True)
class Temperature:
    """p = sigmoid(logit / temperature)."""

    temperature: float
    method: Method = "temperature"

    def __call__(self, logits: Array) -> Array:
        return np.asarray(scipy.special.expit(np.asarray(logits) / self.temperature))


@dataclass(frozen=True)
class Isotonic:
    """A rising line through knots, continued flat. Of a pair's logit, only the upper half is kept.

    x, y: the knots; for a pair x is |logit| and y is the probability of the leading side.
    is_symmetric: whether negative x stand for the other side.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    is_symmetric: bool
    method: Method = "isotonic"

    def __call__(self, values: Array) -> Array:
        given = np.asarray(values, dtype=np.float64)
        if not self.is_symmetric:
            return np.interp(given, self.x, self.y)
        leading = np.interp(np.abs(given), self.x, self.y)
        return np.where(given < 0, 1 - leading, leading)


@dataclass(frozen=True)
class Line:
    """points = offset + slope · score."""

    slope: float
    offset: float
    method: Method = "temperature"

    def __call__(self, values: Array) -> Array:
        return self.offset + self.slope * np.asarray(values)


@dataclass(frozen=True)
class ScoreMap:
    """From a judge's score to people's points.

    points: of the expected score.
    spread: factor of the score's spread that makes it the spread of people's points around.
    """

    points: Line | Isotonic
    spread: float


@dataclass(frozen=True)
class TaskCalibration:
    """What was fitted for one task; None where there were too few labels, or no signal in them."""

    pairs: Temperature | Isotonic | None = None
    scores: ScoreMap | None = None
    abstention: Abstention | None = None
    num_pairs: int = 0
    num_points: int = 0


@dataclass(frozen=True)
class Calibration:
    """The maps of one judge, by task.

    fitted_on: ids of the prompts whose labels were fitted on; nothing may be reported on them.
    """

    tasks: Mapping[Task, TaskCalibration]
    fitted_on: frozenset[str] = frozenset()

    def p_better(self, task: Task, logits: Sequence[float] | Array) -> Array:
        """Probability that the first side is better; as the judge claims where nothing was
        fitted for the task.
        """
        fitted = self.tasks.get(task, TaskCalibration()).pairs
        return (fitted or Temperature(1.0))(np.asarray(logits, dtype=np.float64))

    def matchup(self, task: Task, found: Matchup) -> Matchup:
        """The matchup with calibrated probabilities and log-odds.

        The tie keeps its probability as far as there is room for it. What tells of the order shown
        (`is_flipped`, `logit_position`) stays as it was judged.
        """
        p = float(self.p_better(task, [found.logit])[0])
        p_first, p_second, p_tie = _split(p, found.p_tie)
        logit = float(scipy.special.logit(p))
        clipped: Side = "first" if logit > 0 else "second"
        return replace(
            found,
            p_first=p_first,
            p_second=p_second,
            p_tie=p_tie,
            logit=min(max(logit, -MAX_LOGIT), MAX_LOGIT),
            bounds=(clipped, clipped) if abs(logit) >= MAX_LOGIT else found.bounds,
        )

    def duel(self, task: Task, found: Duel) -> Duel:
        """One order of a pair, mapped as the whole pair is. With a temperature the two orders'
        mean is mapped exactly so; with isotonic steps nearly.
        """
        if not is_readable(found):
            return found
        p = float(self.p_better(task, [log_odds(found)])[0])
        p_first, p_second, p_tie = _split(p, found.p_tie)
        # Log-odds that were clipped are "at least" so much, and so is what they are mapped to.
        bound = bound_of(found)
        return replace(found, p_first=p_first, p_second=p_second, p_tie=p_tie, bound=bound)

    def score(self, task: Task, found: Score) -> Score:
        """The score in people's points, with the spread of people's points around it."""
        fitted = self.tasks.get(task, TaskCalibration()).scores
        if fitted is None or found.error is not None:
            return found
        value = float(fitted.points(np.array([found.value]))[0])
        return replace(found, value=value, spread=found.spread * fitted.spread)

    def noise(self, task: Task, found: Noise) -> Noise | None:
        """The noise of the mapped statements, from that of the statements as they were judged: a
        temperature divides the logits of a share, and a line multiplies all that is in shares.

        None where steps were fitted, which change noise otherwise in each place: it is to be fitted
        to the mapped statements then.
        """
        fitted = self.tasks.get(task, TaskCalibration())
        points = Line(1.0, 0.0) if fitted.scores is None else fitted.scores.points
        pairs = fitted.pairs or Temperature(1.0)
        if not isinstance(points, Line) or not isinstance(pairs, Temperature):
            return None
        return replace(
            found,
            quality_sd=found.quality_sd * points.slope,
            score_sd=found.score_sd * points.slope,
            duel_sd=found.duel_sd * points.slope,
            item_sd=found.item_sd * points.slope,
            logits_per_share=found.logits_per_share / (pairs.temperature * points.slope),
            position=found.position / pairs.temperature,
            position_sd=found.position_sd / pairs.temperature,
        )

    def is_confident(self, task: Task, found: Matchup) -> bool:
        """Whether the judge may be heard on this pair; yes where no abstention was fitted."""
        abstention = self.tasks.get(task, TaskCalibration()).abstention
        if abstention is None:
            return True
        return abstention.accepts(max(found.p_better, 1 - found.p_better))

    def least_confidence(self, *, is_calibrated: bool) -> dict[Task, float]:
        """The confidence from which the judge is to be heard, for each task with an abstention.

        Infinite where none was found that keeps the wanted precision.

        Args:
            is_calibrated: whether the statements at hand are mapped already; the confidence is
                mapped with them.
        """
        found: dict[Task, float] = {}
        for task, fitted in self.tasks.items():
            if fitted.abstention is None:
                continue
            least = fitted.abstention.confidence
            if least is None:
                found[task] = math.inf
            elif is_calibrated:
                found[task] = float(self.p_better(task, [float(scipy.special.logit(least))])[0])
            else:
                found[task] = least
        return found

    def save(self, directory: Path) -> None:
        """Write `calibration.json` beside the weights."""
        raw = {
            "tasks": {task: asdict(one) for task, one in self.tasks.items()},
            "fitted_on": sorted(self.fitted_on),
        }
        (directory / FILE).write_text(json.dumps(raw, indent=2) + "\n")

    @classmethod
    def load(cls, directory: Path) -> Calibration | None:
        """Read `calibration.json`, or None where the judge has none.

        Raises:
            CalibrationError: it cannot be read.
        """
        path = directory / FILE
        try:
            raw = json.loads(path.read_text())
            tasks = {_task(task): _fitted(one) for task, one in raw["tasks"].items()}
            return cls(tasks, frozenset(raw["fitted_on"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CalibrationError(f"{path}: not a calibration: {error!r}") from None


def _split(p: float, p_tie: float) -> tuple[float, float, float]:
    """First, second and tie with `p` for the first side, a tie counting half; the tie keeps its
    probability as far as there is room for it.
    """
    p_tie = min(p_tie, 2 * min(p, 1 - p))
    return p - p_tie / 2, 1 - p - p_tie / 2, p_tie


def fit_pairs(
    logits: Sequence[float] | Array, outcomes: Sequence[float] | Array, method: Method
) -> Temperature | Isotonic | None:
    """The map of a pair's log-odds.

    Args:
        logits: that the first side is better, [n]; NaN where unreadable, which is left out.
        outcomes: 1 where people prefer the first side, 0 the second, 0.5 for a tie, [n].
        method: temperature or isotonic.

    Returns:
        None with fewer than `MIN_LABELS` readable pairs.
    """
    x, y = _known(logits, outcomes)
    if len(x) < MIN_LABELS:
        return None
    # Told from the leading side: half the function is fitted, the other half is its mirror.
    leading, share = np.abs(x), np.where(x < 0, 1 - y, np.where(x > 0, y, 0.5))
    if method == "temperature":

        def loss(inverse: float) -> float:
            scaled = leading * inverse
            return float(np.mean(np.logaddexp(0, scaled) - share * scaled))

        found = scipy.optimize.minimize_scalar(
            loss, bounds=(_MIN_INVERSE, _MAX_INVERSE), method="bounded", options={"xatol": 1e-6}
        )
        return Temperature(1 / float(found.x))
    knots, values, sizes = _rising(leading, share)
    # Where the best rows are all right, the rule of succession keeps the claim below certainty.
    ceiling = (sizes[-1] + 1) / (sizes[-1] + 2)
    values = np.clip(values, 0.5, ceiling)
    if knots[0] > 0:
        knots, values = np.concatenate([[0.0], knots]), np.concatenate([[0.5], values])
    return Isotonic(tuple(map(float, knots)), tuple(map(float, values)), is_symmetric=True)


def fit_scores(
    scores: Sequence[float] | Array,
    spreads: Sequence[float] | Array,
    points: Sequence[float] | Array,
    method: Method,
) -> ScoreMap | None:
    """The map of scores to people's points.

    Args:
        scores: the judge's expected scores, [n]; NaN where unreadable, which is left out.
        spreads: their standard deviations, [n].
        points: what people gave, [n].
        method: temperature (a line) or isotonic (rising steps).

    Returns:
        None with fewer than `MIN_LABELS` readable scores, or where points do not rise with them.
    """
    given = np.asarray(scores, dtype=np.float64)
    x, y = _known(given, points)
    spread = np.asarray(spreads, dtype=np.float64)[np.isfinite(given)]
    if len(x) < MIN_LABELS or np.ptp(x) == 0:
        return None
    slope, offset = np.polyfit(x, y, 1)
    if slope <= 0:
        return None
    fitted: Line | Isotonic = Line(float(slope), float(offset))
    if method == "isotonic":
        knots, values, _ = _rising(x, y)
        fitted = Isotonic(tuple(map(float, knots)), tuple(map(float, values)), is_symmetric=False)
    claimed = float(np.mean(spread**2))
    seen = float(np.mean((y - fitted(x)) ** 2))
    return ScoreMap(fitted, math.sqrt(seen / claimed) if claimed > 0 else 1.0)


def _rising(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Isotonic regression: the first and last x of each pooled block, its mean, and its size."""
    at, codes, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(codes, weights=y) / counts
    found = scipy.optimize.isotonic_regression(means, weights=counts)
    starts, ends = found.blocks[:-1], found.blocks[1:] - 1
    sizes = np.add.reduceat(counts, starts)
    places = np.unique(np.concatenate([starts, ends]))
    block = np.searchsorted(starts, places, side="right") - 1
    return at[places], found.x[places], sizes[block].astype(np.float64)


def _known(x: Sequence[float] | Array, y: Sequence[float] | Array) -> tuple[Array, Array]:
    left, right = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if left.shape != right.shape:
        raise ValueError(f"{len(left)} judgements but {len(right)} labels")
    known = np.isfinite(left)
    return left[known], right[known]


def _task(name: Any) -> Task:
    if name not in get_args(Task):
        raise ValueError(f"unknown task {name!r}")
    return cast(Task, name)


def _fitted(raw: Mapping[str, Any]) -> TaskCalibration:
    pairs: Any = None if raw["pairs"] is None else _map(raw["pairs"])
    scores = raw["scores"]
    abstention = raw["abstention"]
    return TaskCalibration(
        pairs,
        None if scores is None else ScoreMap(_map(scores["points"]), scores["spread"]),
        None if abstention is None else Abstention(**abstention),
        raw["num_pairs"],
        raw["num_points"],
    )


def _map(raw: Mapping[str, Any]) -> Any:
    if "temperature" in raw:
        return Temperature(**raw)
    if "slope" in raw:
        return Line(**raw)
    return Isotonic(**{**raw, "x": tuple(raw["x"]), "y": tuple(raw["y"])})
