"""How a judge agrees with people: every figure of one slice of labels, from its opinions.

Opinions are numbers, so a slice is measured again in no time: by task, by a tag, as claimed or as
calibrated. An opinion that could not be read is in no figure but the rate of invalid ones beside
them. Intervals are clustered by prompt.

Each label counts once, as in the figures that people publish, and calibration is fitted on them so.
Where labels have weights one figure more counts them by those.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from factory.judging.calibration import Calibration
from factory.ranking.matchups import OUTCOME, Matchup, is_right, meeting, score_of
from factory.statistics.intervals import (
    Array,
    Interval,
    bootstrap_of_sums,
    clustered_bootstrap,
    mean_of_sums,
    ratio,
)
from factory.statistics.metrics import Accuracy, accuracy, flip_rate
from factory.statistics.ties import TieAccuracy, accuracy_with_ties
from schemas.rows import Opinion, Preference

_BINS = 5  # of the confidence, from one half to one: a tenth wide, as ten from zero to one are


@dataclass(frozen=True)
class Agreement:
    """The figures of one slice.

    accuracy: of the verdicts, with ties (a tie must be said) and without (the likelier side).
    ties: with ties by the threshold that serves best, over the log-odds of the verdicts.
    weighted_accuracy: of the verdicts without ties, each label by its weight; NaN where none has
        one, and 1 for those that have none.
    score_accuracy: the likelier side by the scores alone, over labels that are no ties.
    score_ties: as `ties`, over the differences of the scores.
    flips: share of pairs whose verdict changes with the order shown.
    calibration_error: mean distance of confidence and share right (ECE), of the side preferred.
    error_by_chance: the calibration error that so many labels give a judge without any.
    brier: mean squared distance of the probability of the first side and what people said.
    correlation: Spearman's, of scores and people's points.
    num_decided: readable pairs of which people prefer a side; `num_score_decided` of them, or of
        those whose verdict is unreadable, have both sides scored.
    num_points: labels of one side; `num_invalid_points` of them were not scored.
    """

    accuracy: Accuracy
    weighted_accuracy: Interval
    ties: TieAccuracy
    score_accuracy: Interval
    score_ties: TieAccuracy
    flips: Interval
    calibration_error: Interval
    error_by_chance: float
    brier: Interval
    correlation: Interval
    num_decided: int
    num_score_decided: int
    num_points: int
    num_invalid_points: int


@dataclass(frozen=True)
class Heard:
    """What is left of a judge that abstains below its confidence.

    precision: share of the pairs kept in which people prefer the same side.
    coverage: share of the readable pairs that are kept.
    num: pairs kept.
    """

    precision: Interval
    coverage: Interval
    num: int


@dataclass(frozen=True)
class Bin:
    """One bar of a reliability plot: pairs of like confidence, and how often they are right."""

    confidence: float
    share_right: Interval
    num: int


def measure(
    opinions: Sequence[Opinion],
    calibration: Calibration | None = None,
    num_resamples: int = 1000,
    seed: int = 0,
) -> Agreement:
    """All figures of some opinions.

    Args:
        opinions: of labels of any kind.
        calibration: for the calibration error and Brier's score; as claimed where None.
        num_resamples: of the bootstrap over prompts.
        seed: of the bootstrap.
    """
    pairs = [one for one in opinions if one.preference is not None]
    met = [meeting(one) for one in pairs]
    labels = [one.preference for one in pairs if one.preference is not None]
    prompts = [one.prompt_id for one in pairs]
    p = [(one.p_first, one.p_second, one.p_tie) if one else (math.nan,) * 3 for one in met]
    gaps = [_gap(one) for one in pairs]
    claimed, outcomes = _claims(pairs, met, calibration)
    read = [(one, prompt) for one, prompt in zip(met, prompts, strict=True) if one is not None]
    by_score = _sides_right(gaps, labels)
    points = [one for one in opinions if one.preference is None and one.points is not None]
    scores = np.array([_value(one, 0) for one in points])
    given = np.array([float(one.points or 0) for one in points])
    boot = {"num_resamples": num_resamples, "seed": seed}
    return Agreement(
        accuracy=accuracy(p, labels, prompts, **boot),
        weighted_accuracy=_weighted_accuracy(pairs, met, **boot),
        ties=accuracy_with_ties([_logit(one) for one in met], labels, prompts, **boot),
        score_accuracy=clustered_bootstrap(by_score, prompts, **boot),
        score_ties=accuracy_with_ties(gaps, labels, prompts, **boot),
        flips=flip_rate([one.is_flipped for one, _ in read], [at for _, at in read], **boot),
        calibration_error=_calibration_error(claimed, outcomes, prompts, **boot),
        error_by_chance=_error_by_chance(claimed),
        brier=clustered_bootstrap((claimed - outcomes) ** 2, prompts, **boot),
        correlation=_rank_correlation(scores, given, [one.prompt_id for one in points], **boot),
        num_decided=sum(
            one is not None and said != "tie" for one, said in zip(met, labels, strict=True)
        ),
        num_score_decided=sum(math.isfinite(one) for one in by_score),
        num_points=len(points),
        num_invalid_points=int(np.isnan(scores).sum()),
    )


def heard(
    opinions: Sequence[Opinion],
    calibration: Calibration,
    num_resamples: int = 1000,
    seed: int = 0,
) -> Heard:
    """Precision and coverage where the judge abstains as `calibration` says."""
    right, kept, prompts = [], [], []
    for one in opinions:
        found = meeting(one)
        if one.preference is not None and found is not None:
            is_kept = calibration.is_confident(one.task, found)
            kept.append(float(is_kept))
            right.append(float(is_right(found, one.preference)) if is_kept else math.nan)
            prompts.append(one.prompt_id)
    return Heard(
        clustered_bootstrap(right, prompts, num_resamples, seed),
        clustered_bootstrap(kept, prompts, num_resamples, seed),
        int(sum(kept)),
    )


def macro_accuracy(
    groups: Mapping[str, Sequence[Opinion]], num_resamples: int = 1000, seed: int = 0
) -> Interval:
    """Mean over slices of the accuracy without ties; NaN where a slice cannot be measured."""
    terms, prompts = [], []
    for column, opinions in enumerate(groups.values()):
        for one in opinions:
            found = meeting(one)
            if one.preference is None or found is None:
                continue
            hit = _side_right(found.p_first - found.p_second, one.preference)
            if math.isfinite(hit):
                row = np.zeros(2 * len(groups))
                row[column], row[len(groups) + column] = hit, 1
                terms.append(row)
                prompts.append(one.prompt_id)

    def mean_of_slices(sums: Array) -> Array:
        return np.asarray(ratio(sums[:, : len(groups)], sums[:, len(groups) :]).mean(axis=1))

    if not terms:
        return Interval(math.nan)
    return bootstrap_of_sums(np.stack(terms), prompts, mean_of_slices, num_resamples, seed)


def reliability(
    opinions: Sequence[Opinion],
    calibration: Calibration | None = None,
    num_resamples: int = 1000,
    seed: int = 0,
) -> list[Bin]:
    """Confidence against share right, in bins of equal width from one half to one."""
    pairs = [one for one in opinions if one.preference is not None]
    claimed, outcomes = _claims(pairs, [meeting(one) for one in pairs], calibration)
    confidence, right = _leading(claimed, outcomes)
    codes = _bins(confidence)
    bins = []
    for code in range(_BINS):
        rows = np.flatnonzero(codes == code).tolist()
        if rows:
            share = clustered_bootstrap(
                right[rows], [pairs[row].prompt_id for row in rows], num_resamples, seed
            )
            bins.append(Bin(float(confidence[rows].mean()), share, len(rows)))
    return bins


def _weighted_accuracy(
    pairs: Sequence[Opinion], met: Sequence[Matchup | None], num_resamples: int, seed: int
) -> Interval:
    """Share of the decided labels' weight that is on the side that the judge prefers."""
    if all(one.weight is None for one in pairs):
        return Interval(math.nan)
    terms, prompts = [], []
    for one, found in zip(pairs, met, strict=True):
        if one.preference is None or found is None:
            continue
        hit = _side_right(found.p_first - found.p_second, one.preference)
        if math.isfinite(hit):
            weight = 1.0 if one.weight is None else one.weight
            terms.append((weight * hit, weight))
            prompts.append(one.prompt_id)
    if not terms:
        return Interval(math.nan)
    return bootstrap_of_sums(np.array(terms), prompts, mean_of_sums, num_resamples, seed)


def _claims(
    pairs: Sequence[Opinion], met: Sequence[Matchup | None], calibration: Calibration | None
) -> tuple[Array, Array]:
    """Probability that the first side is better, NaN where unreadable, and what people said."""
    used = calibration or Calibration({})
    claimed = np.array(
        [
            math.nan if found is None else float(used.p_better(one.task, [found.logit])[0])
            for one, found in zip(pairs, met, strict=True)
        ]
    )
    outcomes = np.array([OUTCOME[one.preference] for one in pairs if one.preference is not None])
    return claimed, outcomes


def _leading(claimed: Array, outcomes: Array) -> tuple[Array, Array]:
    """Both told from the side that the judge prefers, so that the order of sides is no matter."""
    is_first = claimed >= 0.5
    known = np.where(np.isfinite(claimed), outcomes, np.nan)
    right = np.where(is_first, known, 1 - known)
    return np.maximum(claimed, 1 - claimed), np.where(claimed == 0.5, 0.5 + 0 * known, right)


def _bins(confidence: Array) -> Array:
    scaled = np.nan_to_num((confidence - 0.5) * 2 * _BINS, nan=-1.0)
    return np.minimum(np.floor(scaled), _BINS - 1)


def _calibration_error(
    claimed: Array, outcomes: Array, prompts: Sequence[str], num_resamples: int, seed: int
) -> Interval:
    """ECE (Guo et al. 2017). It is above zero by chance alone, the more so in resamples: its
    interval lies rather high. Compare figures of equally many labels.
    """
    confidence, right = _leading(claimed, outcomes)
    known = np.flatnonzero(np.isfinite(confidence))
    terms = np.zeros((len(known), _BINS + 1))
    codes = _bins(confidence[known]).astype(np.int64)
    terms[np.arange(len(known)), codes] = confidence[known] - right[known]
    terms[:, _BINS] = 1

    def error(sums: Array) -> Array:
        return ratio(np.abs(sums[:, :_BINS]).sum(axis=1), sums[:, _BINS])

    kept = [prompts[at] for at in known.tolist()]
    return bootstrap_of_sums(terms, kept, error, num_resamples, seed)


def _error_by_chance(claimed: Array) -> float:
    """Expected ECE of a judge whose probabilities are right, by the normal approximation: in each
    bin the mean size of a sum of independent errors. Labels of one prompt are alike, and ties are
    no coin: it is a floor in the right order of size, not a test.
    """
    confidence = np.maximum(claimed, 1 - claimed)
    known = confidence[np.isfinite(confidence)]
    if len(known) == 0:
        return math.nan
    variances = np.bincount(_bins(known).astype(np.int64), weights=known * (1 - known))
    return float(np.sqrt(2 / math.pi * variances).sum() / len(known))


def _rank_correlation(
    x: Array, y: Array, prompts: Sequence[str], num_resamples: int, seed: int
) -> Interval:
    """Spearman's correlation; resamples keep the ranks that rows have among all."""
    from scipy.stats import rankdata

    known = np.flatnonzero(np.isfinite(x))
    if len(known) < 2:
        return Interval(math.nan)
    a, b = rankdata(x[known]), rankdata(y[known])
    a, b = a - a.mean(), b - b.mean()
    terms = np.stack([a, b, a * a, b * b, a * b, np.ones(len(a))], axis=1)

    def correlation(sums: Array) -> Array:
        mean = sums[:, :5] / sums[:, 5:]
        spread_a = np.maximum(mean[:, 2] - mean[:, 0] ** 2, 0)
        spread_b = np.maximum(mean[:, 3] - mean[:, 1] ** 2, 0)
        return ratio(mean[:, 4] - mean[:, 0] * mean[:, 1], np.sqrt(spread_a * spread_b))

    kept = [prompts[at] for at in known.tolist()]
    return bootstrap_of_sums(terms, kept, correlation, num_resamples, seed)


def _sides_right(gaps: Sequence[float], labels: Sequence[Preference]) -> list[float]:
    return [_side_right(gap, label) for gap, label in zip(gaps, labels, strict=True)]


def _side_right(gap: float, label: Preference) -> float:
    """1 where the sign of the gap names the side that people prefer, 0.5 for a draw; NaN where
    people prefer none, or the gap is unknown.
    """
    if label == "tie" or not math.isfinite(gap):
        return math.nan
    return (1 + float(np.sign(gap)) * (1 if label == "first" else -1)) / 2


def _logit(found: Matchup | None) -> float:
    return math.nan if found is None else found.logit


def _value(opinion: Opinion, side: int) -> float:
    found = score_of(opinion, side)
    return math.nan if found is None else found.value


def _gap(opinion: Opinion) -> float:
    return _value(opinion, 0) - _value(opinion, 1)


#: A figure of an `Agreement` by its name, for tables.
Pick = Callable[[Agreement], Interval]
FIGURES: Mapping[str, Pick] = {
    "accuracy without ties": lambda one: one.accuracy.without_ties,
    "accuracy without ties, by the labels' weights": lambda one: one.weighted_accuracy,
    "accuracy with ties": lambda one: one.accuracy.with_ties,
    "accuracy with ties by threshold": lambda one: one.ties.accuracy,
    "accuracy with ties by threshold, cross-fitted": lambda one: one.ties.cross_fitted,
    "score accuracy without ties": lambda one: one.score_accuracy,
    "score accuracy with ties by threshold": lambda one: one.score_ties.accuracy,
    "score accuracy with ties by threshold, cross-fitted": lambda one: one.score_ties.cross_fitted,
    "flip rate": lambda one: one.flips,
    "calibration error": lambda one: one.calibration_error,
    "Brier score": lambda one: one.brier,
    "score correlation": lambda one: one.correlation,
}
