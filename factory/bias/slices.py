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
from dataclasses import dataclass

import numpy as np

from factory.bias.figure import Figure, Relevance
from factory.bias.observation import LabelObservation, Observation, PointObservation
from factory.bias.seen import Flags, PromptSums, Seen, as_seen
from factory.statistics.intervals import (
    Array,
    Statistic,
    bootstrap_of_clusters,
    bootstrap_of_sums,
    clustered_bootstrap,
    jackknife_of_clusters,
    jackknife_of_sums,
    mean_of_sums,
    ratio,
)
from schemas.rows import Preference

OUTCOME: Mapping[Preference, float] = {"first": 1.0, "second": 0.0, "tie": 0.5}
#: A slice of fewer prompts is too small to say anything of.
MIN_PROMPTS = 10
#: The measure of a slice that a gate looks at.
GAP_BEYOND_PEOPLES = "score gap beyond people's"
_NUM_BINS = 10
_ALL = "all prompts"


def slices_of(tags: Iterable[Mapping[str, str]]) -> list[tuple[str, str]]:
    """Every (key, value) with at least `MIN_PROMPTS` prompts, of keys with two such values."""
    counts: dict[tuple[str, str], int] = {}
    for one in tags:
        for item in one.items():
            counts[item] = counts.get(item, 0) + 1
    return _large(counts)


def slices_of_seen(seen: Seen) -> list[tuple[str, str]]:
    """The same of groups that were reduced to numbers."""
    return _large(seen.num_tagged())


def _large(counts: Mapping[tuple[str, str], int]) -> list[tuple[str, str]]:
    large = sorted(item for item, num in counts.items() if num >= MIN_PROMPTS)
    keys = [key for key, _ in large]
    return [item for item in large if keys.count(item[0]) > 1]


def slice_figures(
    observations: Seen | Iterable[Observation],
    points: Sequence[PointObservation],
    relevance: Relevance,
    num_resamples: int = 1000,
    seed: int = 0,
) -> list[Figure]:
    """Gaps of scores, rates of selection and, where there are points, gaps beyond people's."""
    seen = as_seen(observations)
    often = (num_resamples, seed)
    found = []
    slices = slices_of_seen(seen)
    scores = _Scores.of(seen, slices)
    for key, value in slices:
        inside = scores.is_in[key, value]
        outside = scores.has_key[key] & ~inside
        name, num = f"{key}={value}", int(scores.num[inside].sum())
        gap = bootstrap_of_clusters(
            _two_means_of(scores.points, scores.num, inside, outside), _difference, *often
        )
        found.append(Figure("slice", name, "score gap to the others", "points", gap, num))
        rates = {
            other: float(ratio(scores.selected[is_in].sum(), scores.num[is_in].sum()))
            for (at, other), is_in in scores.is_in.items()
            if at == key
        }
        best = max(rates, key=lambda other: rates[other])
        if best == value:
            continue
        chosen = bootstrap_of_clusters(
            _two_means_of(scores.selected, scores.num, inside, scores.is_in[key, best]),
            _ratio,
            *often,
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


@dataclass(frozen=True, eq=False)
class _Scores:
    """The scores of each prompt that has any.

    points: their sum, [P].
    selected: how many are in the better half of all, [P].
    num: how many there are, [P].
    is_in, has_key: whether the prompt is of a slice, and whether it has the slice's key, [P] each.
    """

    points: Array
    selected: Array
    num: Array
    is_in: Mapping[tuple[str, str], Flags]
    has_key: Mapping[str, Flags]

    @classmethod
    def of(cls, seen: Seen, slices: Sequence[tuple[str, str]]) -> _Scores:
        middle = _median([block.scores[block.is_scored] for block in seen.blocks()])
        keys = sorted({key for key, _ in slices})
        sums = PromptSums(seen, 3 + len(keys) + len(slices))
        for block in seen.blocks():
            group, values = block.group[block.is_scored], block.scores[block.is_scored]
            tags = {key: block.tags[key][group] for key in keys}
            sums.add(
                block.prompts[group],
                values,
                values >= middle,
                np.ones(len(values)),
                *(tags[key] >= 0 for key in keys),
                *(tags[key] == seen.values[key].index(value) for key, value in slices),
            )
        points, selected, num, *rest = sums.all().T
        flags = [one > 0 for one in rest]
        return cls(
            points,
            selected,
            num,
            dict(zip(slices, flags[len(keys) :], strict=True)),
            dict(zip(keys, flags[: len(keys)], strict=True)),
        )


def _median(parts: Sequence[Array]) -> float:
    """Of all numbers together; NaN where there are none."""
    return float(np.median(np.concatenate(parts))) if any(map(len, parts)) else math.nan


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
                GAP_BEYOND_PEOPLES,
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
    observations: Seen | Iterable[Observation],
    num_resamples: int = 1000,
    seed: int = 0,
    margin: float = 0.1,
) -> list[Figure]:
    """Generator by judge: what a judge gives a generator beyond what the other judges give it.

    Scores are centred within each prompt and divided by their spread for that judge, so that
    judges with different scales compare. Needs two judges and two generators on the same prompts.

    Args:
        observations: groups with several judges in `scores_by`.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
        margin: standard deviations of a judge's scores that do not matter.
    """
    seen = as_seen(observations)
    judges, makers = sorted(seen.judges), sorted(seen.makers)
    if len(judges) < 2 or len(makers) < 2:
        return []
    spread = _spreads(seen)
    found = []
    for maker in makers:
        mine = PromptSums(seen, 2 * len(judges))
        for block in seen.blocks():
            is_mine = block.given_to == seen.makers.index(maker)
            by, given = block.given_by[is_mine], block.given[is_mine]
            is_by = [by == seen.judges.index(judge) for judge in judges]
            terms = [
                part
                for judge, flags in zip(judges, is_by, strict=True)
                for part in (given / spread[judge] * flags, flags)
            ]
            mine.add(block.prompts[block.given_in[is_mine]], *terms)
        sums = mine.all()
        for at, judge in enumerate(judges):
            statistic = _own_beyond_others(at, len(judges))
            test = jackknife_of_clusters(sums, statistic)
            found.append(
                Figure(
                    "self-preference",
                    maker,
                    f"scores by {judge} beyond those by other judges",
                    "sd of a judge's scores",
                    bootstrap_of_clusters(sums, statistic, num_resamples, seed),
                    int(sums[:, 2 * at + 1].sum()),
                    p_value=test.p_beyond(margin),
                    note=f"standardised residual {test.value / test.se:.1f}" if test.se else "",
                )
            )
    return found


def _spreads(seen: Seen) -> dict[str, float]:
    """The standard deviation of what each judge gives beyond its mean in a group; 1 where none."""
    sums = np.zeros((len(seen.judges), 3))  # of 1, x and x²; x is 0 on average
    for block in seen.blocks():
        for power in range(3):
            sums[:, power] += np.bincount(block.given_by, block.given**power, len(sums))
    num, mean, square = sums[:, 0], sums[:, 1] / sums[:, 0], sums[:, 2] / sums[:, 0]
    sds = np.sqrt(np.where(num > 0, square - mean**2, 0.0))
    return {judge: float(sd) or 1.0 for judge, sd in zip(seen.judges, sds, strict=True)}


def _two_means(values: Array, first: Array, second: Array) -> Array:
    return np.stack([values * first, first, values * second, second], axis=1)


def _two_means_of(values: Array, num: Array, first: Flags, second: Flags) -> Array:
    """The same from sums of prompts and how many they are sums of, [P, 4]."""
    return np.stack([values * first, num * first, values * second, num * second], axis=1)


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
