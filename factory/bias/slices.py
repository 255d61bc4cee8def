"""Is a judge as fair, and as well calibrated, to one slice of prompts as to another?

A slice is all prompts with one value of one tag. A gap of scores between slices is not yet a bias,
since a slice may be harder to draw; where people gave points, the judge's gap beyond theirs is.
Selection is told as ratios to the slice that fares best: below 0.8 it fails the four-fifths rule
of the US Uniform Guidelines on Employee Selection Procedures (1978). Several generators before
several judges show self-preference: what a judge gives one of them beyond what other judges give.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from factory.bias.figure import Figure, Relevance
from factory.bias.observation import LabelObservation, Observation, PointObservation
from factory.statistics.intervals import (
    Array,
    Statistic,
    bootstrap_of_sums,
    clustered_bootstrap,
    jackknife_of_sums,
    mean_of_sums,
    ratio,
)
from schemas.rows import Preference

OUTCOME: Mapping[Preference, float] = {"first": 1.0, "second": 0.0, "tie": 0.5}
#: A slice of fewer prompts is too small to say anything of.
MIN_PROMPTS = 10
_NUM_BINS = 10
_ALL = "all prompts"


def slices_of(tags: Iterable[Mapping[str, str]]) -> list[tuple[str, str]]:
    """Every (key, value) with at least `MIN_PROMPTS` prompts, of keys with two such values."""
    counts: dict[tuple[str, str], int] = {}
    for one in tags:
        for item in one.items():
            counts[item] = counts.get(item, 0) + 1
    large = sorted(item for item, num in counts.items() if num >= MIN_PROMPTS)
    keys = [key for key, _ in large]
    return [item for item in large if keys.count(item[0]) > 1]


def slice_figures(
    seen: Sequence[Observation],
    points: Sequence[PointObservation],
    relevance: Relevance,
    num_resamples: int = 1000,
    seed: int = 0,
) -> list[Figure]:
    """Gaps of scores, rates of selection and, where there are points, gaps beyond people's."""
    found = []
    scores = [(one, value) for one in seen for value in one.scores.values()]
    prompts = [one.prompt_id for one, _ in scores]
    values = np.array([value for _, value in scores])
    selected = (values >= np.median(values)).astype(np.float64) if len(values) else values
    slices = slices_of(one.tags for one in seen)
    is_in = {
        (key, value): np.array([one.tags.get(key) == value for one, _ in scores], dtype=np.float64)
        for key, value in slices
    }
    has_key = {
        key: np.array([key in one.tags for one, _ in scores], dtype=np.float64) for key, _ in slices
    }
    for key, value in slices:
        inside = is_in[key, value]
        outside = has_key[key] - inside
        name, num = f"{key}={value}", int(inside.sum())
        gap = bootstrap_of_sums(
            _two_means(values, inside, outside), prompts, _difference, num_resamples, seed
        )
        found.append(Figure("slice", name, "score gap to the others", "points", gap, num))
        rates = {
            other: float(selected @ is_in[key, other] / is_in[key, other].sum())
            for at, other in slices
            if at == key
        }
        best = max(rates, key=lambda other: rates[other])
        if best == value:
            continue
        chosen = bootstrap_of_sums(
            _two_means(selected, inside, is_in[key, best]), prompts, _ratio, num_resamples, seed
        )
        found.append(
            Figure(
                "slice",
                name,
                "selection ratio",
                "ratio to the slice most selected",
                chosen,
                num,
                neutral=1.0,
                note=f"share of candidates in the better half, to that of {key}={best}",
            )
        )
    return found + _beyond_people(points, relevance, num_resamples, seed)


def _beyond_people(
    points: Sequence[PointObservation], relevance: Relevance, num_resamples: int, seed: int
) -> list[Figure]:
    found = []
    read = [one for one in points if math.isfinite(one.score)]
    prompts = [one.prompt_id for one in read]
    beyond = np.array([one.score - one.points for one in read])
    tags = {one.prompt_id: one.tags for one in read}
    for key, value in slices_of(tags.values()):
        inside = np.array([one.tags.get(key) == value for one in read], dtype=np.float64)
        outside = np.array([key in one.tags for one in read], dtype=np.float64) - inside
        terms = _two_means(beyond, inside, outside)
        found.append(
            Figure(
                "slice",
                f"{key}={value}",
                "score gap beyond people's",
                "points",
                bootstrap_of_sums(terms, prompts, _difference, num_resamples, seed),
                int(inside.sum()),
                sum(one.tags.get(key) == value and not math.isfinite(one.score) for one in points),
                p_value=jackknife_of_sums(terms, prompts, _difference).p_beyond(relevance.points),
            )
        )
    return found


def calibration_figures(
    labels: Sequence[LabelObservation], num_resamples: int = 1000, seed: int = 0
) -> list[Figure]:
    """Expected calibration error and Brier score over all labels, and of each slice."""
    read = [one for one in labels if one.matchup is not None]
    tags = {one.prompt_id: one.tags for one in read}
    slices = [(_ALL, read)] + [
        (f"{key}={value}", [one for one in read if one.tags.get(key) == value])
        for key, value in slices_of(tags.values())
    ]
    found = []
    for name, rows in slices:
        if not rows:
            continue
        prompts = [one.prompt_id for one in rows]
        p = np.array([one.matchup.p_better for one in rows if one.matchup is not None])
        outcomes = np.array([OUTCOME[one.preference] for one in rows])
        bins = np.minimum((p * _NUM_BINS).astype(np.int64), _NUM_BINS - 1)
        binned = (bins[:, None] == np.arange(_NUM_BINS)).astype(np.float64)
        terms = np.concatenate([binned * (p - outcomes)[:, None], np.ones((len(p), 1))], axis=1)
        error = bootstrap_of_sums(terms, prompts, _calibration_error, num_resamples, seed)
        brier = clustered_bootstrap((p - outcomes) ** 2, prompts, num_resamples, seed)
        # A resample is less smooth than the sample, so the interval of an error may lie above it.
        found += [
            Figure("calibration", name, "calibration error", "share", error, len(p), neutral=None),
            Figure(
                "calibration", name, "Brier score", "squared share", brier, len(p), neutral=None
            ),
        ]
    return found


def self_preference_figures(
    seen: Sequence[Observation], num_resamples: int = 1000, seed: int = 0, margin: float = 0.1
) -> list[Figure]:
    """Generator by judge: what a judge gives a generator beyond what the other judges give it.

    Scores are centred within each prompt and divided by their spread for that judge, so that
    judges with different scales compare. Needs two judges and two generators on the same prompts.

    Args:
        seen: groups with several judges in `scores_by`.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
        margin: standard deviations of a judge's scores that do not matter.
    """
    judges = sorted({judge for one in seen for judge in one.scores_by})
    makers = sorted({maker for one in seen for maker in one.generators.values()})
    if len(judges) < 2 or len(makers) < 2:
        return []
    rows: list[tuple[str, str, str, float]] = []  # prompt, judge, generator, centred score
    for one in seen:
        for judge, scores in one.scores_by.items():
            mean = float(np.mean(list(scores.values())))
            rows += [
                (one.prompt_id, judge, one.generators[at], value - mean)
                for at, value in scores.items()
            ]
    spread = {
        judge: float(np.std([value for _, by, _, value in rows if by == judge])) or 1.0
        for judge in judges
    }
    found = []
    for maker in makers:
        mine = [(prompt, by, value / spread[by]) for prompt, by, of, value in rows if of == maker]
        prompts = [prompt for prompt, _, _ in mine]
        terms = np.array(
            [
                [part * (by == judge) for judge in judges for part in (value, 1.0)]
                for _, by, value in mine
            ]
        )
        for at, judge in enumerate(judges):
            statistic = _own_beyond_others(at, len(judges))
            test = jackknife_of_sums(terms, prompts, statistic)
            found.append(
                Figure(
                    "self-preference",
                    maker,
                    f"scores by {judge} beyond those by other judges",
                    "sd of a judge's scores",
                    bootstrap_of_sums(terms, prompts, statistic, num_resamples, seed),
                    sum(by == judge for _, by, _ in mine),
                    p_value=test.p_beyond(margin),
                    note=f"standardised residual {test.value / test.se:.1f}" if test.se else "",
                )
            )
    return found


def _two_means(values: Array, first: Array, second: Array) -> Array:
    return np.stack([values * first, first, values * second, second], axis=1)


def _difference(sums: Array) -> Array:
    return mean_of_sums(sums[:, :2]) - mean_of_sums(sums[:, 2:])


def _ratio(sums: Array) -> Array:
    return ratio(mean_of_sums(sums[:, :2]), mean_of_sums(sums[:, 2:]))


def _calibration_error(sums: Array) -> Array:
    return ratio(np.abs(sums[:, :-1]).sum(axis=1), sums[:, -1])


def _own_beyond_others(at: int, num: int) -> Statistic:
    def statistic(sums: Array) -> Array:
        means = np.stack([mean_of_sums(sums[:, 2 * j : 2 * j + 2]) for j in range(num)], axis=1)
        others = np.delete(means, at, axis=1).mean(axis=1)
        return np.asarray(means[:, at] - others)

    return statistic
