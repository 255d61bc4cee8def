"""From a judge's opinions to the report on it: figures by slice, and what they look like in words.

`train_judge` reports on the held-out labels that calibration was not fitted on, `evaluate_judge` on
benchmarks; both say the same figures in the same form. What a benchmark's own authors count is a
section of its own (`benchmark_report`), and how the report reads is told in `report_text`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from factory.evaluation.agreement import (
    FIGURES,
    Agreement,
    Bin,
    heard,
    macro_accuracy,
    measure,
    reliability,
)
from factory.evaluation.dimensions import DimensionAgreement, by_dimension
from factory.evaluation.headlines import weighted_mean
from factory.judging.calibration import Calibration
from factory.ranking.matchups import slices
from factory.statistics.intervals import Interval
from schemas.results import Estimate, JudgeReport, JudgeSlice, ReliabilityBin
from schemas.rows import Opinion

ALL = "all"
MACRO = "macro accuracy without ties"
INVALID = "invalid rate"
#: Begins the name of a slice that is about one dimension.
DIMENSION = "dimension: "
#: Ends the names of figures of calibrated probabilities.
AFTER = " after calibration"
_OF_PROBABILITIES = ("calibration error", "Brier score")


def report(
    opinions: Sequence[Opinion],
    judge: str,
    labels: str,
    calibration: Calibration | None = None,
    *,
    tags: Sequence[str] = (),
    macro_tag: str | None = None,
    num_resamples: int = 1000,
    seed: int = 0,
) -> JudgeReport:
    """Measure a judge on all opinions, on each task, and on each value of some tags.

    Args:
        opinions: what is reported on.
        judge: its address.
        labels: what the opinions are about, in words.
        calibration: adds calibrated figures beside the claimed ones, and abstention; those are
            measured without the prompts that it was fitted on.
        tags: slice by these too.
        macro_tag: the macro accuracy is the mean over its values; over tasks where None.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    groups: dict[str, Sequence[Opinion]] = {ALL: opinions}
    by_task = slices(opinions)
    if len(by_task) > 1:
        groups |= by_task
    for tag in tags:
        groups |= {f"{tag}: {name}": group for name, group in slices(opinions, tag).items()}
    boot = {"num_resamples": num_resamples, "seed": seed}
    made = {name: _slice(name, group, judge, calibration, boot) for name, group in groups.items()}
    parts = by_task if macro_tag is None else slices(opinions, macro_tag)
    macro = macro_accuracy(parts, **boot)
    note = f"mean of {len(parts)} {'tasks' if macro_tag is None else macro_tag}"
    first = made[ALL]
    made[ALL] = JudgeSlice(
        first.name,
        (*first.estimates, _estimate(MACRO, macro, judge, note=note)),
        first.claimed,
        first.calibrated,
    )
    about, unscored = by_dimension(opinions, **boot)
    dimensions = [_of_dimension(name, found, judge) for name, found in about.items()]
    remarks = (_by_counts(made, list(parts), macro_tag), _not_scored(unscored))
    return JudgeReport(
        *(judge, labels, (*made.values(), *dimensions)),
        remarks=tuple(one for one in remarks if one),
    )


def _by_counts(made: Mapping[str, JudgeSlice], parts: Sequence[str], tag: str | None) -> str:
    """That the whole is its parts by their counts, as a sentence; empty where there is one part, or
    no figure of any.

    Args:
        made: the slices.
        parts: tasks, or values of a tag.
        tag: whose.
    """
    name = "accuracy without ties"
    keys = {part: part if tag is None else f"{tag}: {part}" for part in parts}
    told = {part: _found(made[key], name) for part, key in keys.items() if key in made}
    known = {
        part: (one.value, one.num)
        for part, one in told.items()
        if one is not None and one.value is not None and one.num
    }
    if len(told) < 2:
        return ""
    mean = weighted_mean(known)
    if not math.isfinite(mean):
        return ""
    of = "tasks" if tag is None else f"values of {tag!r}"
    counts = " + ".join(str(num) for _, num in known.values())
    overall = _found(made[ALL], name)
    value = math.nan if overall is None or overall.value is None else overall.value
    return (
        f"{name} is {value:.3f} over all, and {mean:.3f} as the mean of the {len(known)} {of} by "
        f"their counts ({counts})"
    )


def _not_scored(names: Sequence[str]) -> str:
    if not names:
        return ""
    return f"the labels tell {', '.join(names)}, of which the judge says nothing"


def _of_dimension(name: str, found: DimensionAgreement, judge: str) -> JudgeSlice:
    """The figures of one dimension, each beside what could not be read."""
    num_invalid = found.num_pairs - found.num_read
    invalid_points = found.num_points - found.num_read_points
    told = (
        ("accuracy without ties", found.verdicts, found.num_verdicts, found.num_no_verdict, ""),
        ("score accuracy without ties", found.accuracy, found.num_decided, num_invalid, ""),
        (
            *("score accuracy with ties by threshold", found.ties.accuracy, found.num_read),
            *(num_invalid, _up_to(found.ties.threshold, "points")),
        ),
        ("score correlation", found.correlation, found.num_read_points, invalid_points, ""),
    )
    estimates = [
        _estimate(figure, value, judge, num, invalid, note)
        for figure, value, num, invalid, note in told
        if math.isfinite(value.value)
    ]
    if math.isfinite(found.accuracy.value) or found.num_read_points:
        num = found.num_pairs + found.num_points
        rate = Interval((num_invalid + invalid_points) / num)
        estimates.append(_estimate(INVALID, rate, judge, num))
    return JudgeSlice(f"{DIMENSION}{name}", tuple(estimates))


def _slice(
    name: str,
    opinions: Sequence[Opinion],
    judge: str,
    calibration: Calibration | None,
    boot: Mapping[str, int],
) -> JudgeSlice:
    claimed = measure(opinions, None, **boot)
    estimates = _estimates(claimed, judge)
    if calibration is None:
        return JudgeSlice(name, estimates, _bins(reliability(opinions, None, **boot)))
    unseen = [one for one in opinions if one.prompt_id not in calibration.fitted_on]
    mapped = measure(unseen, calibration, **boot)
    rule = heard(unseen, calibration, **boot)
    num_pairs, num_invalid = _pairs(mapped)
    return JudgeSlice(
        name,
        (
            *estimates,
            *(
                _estimate(
                    figure + AFTER,
                    FIGURES[figure](mapped),
                    judge,
                    num_pairs,
                    num_invalid,
                    _by_chance(mapped) if figure == "calibration error" else "",
                )
                for figure in _OF_PROBABILITIES
            ),
            _estimate("precision where heard", rule.precision, judge, rule.num, num_invalid),
            _estimate("coverage where heard", rule.coverage, judge, num_pairs, num_invalid),
        ),
        _bins(reliability(opinions, None, **boot)),
        _bins(reliability(unseen, calibration, **boot)),
    )


def _estimates(found: Agreement, judge: str) -> tuple[Estimate, ...]:
    """The figures that there is something to say of."""
    num_pairs, num_invalid = _pairs(found)
    num_scored = found.score_ties.num_labels
    num_unscored = found.accuracy.num_labels - num_scored
    rests = {
        "accuracy without ties": (found.num_decided, num_invalid),
        "accuracy without ties, by the labels' weights": (found.num_decided, num_invalid),
        "score accuracy without ties": (found.num_score_decided, num_unscored),
        "score accuracy with ties by threshold": (num_scored, num_unscored),
        "score accuracy with ties by threshold, cross-fitted": (num_scored, num_unscored),
        "score correlation": (
            found.num_points - found.num_invalid_points,
            found.num_invalid_points,
        ),
    }
    notes = {
        "accuracy with ties by threshold": _up_to(found.ties.threshold, "logits"),
        "score accuracy with ties by threshold": _up_to(found.score_ties.threshold, "points"),
        "calibration error": _by_chance(found),
    }
    made = [
        _estimate(
            name,
            pick(found),
            judge,
            *rests.get(name, (num_pairs, num_invalid)),
            notes.get(name, ""),
        )
        for name, pick in FIGURES.items()
        if math.isfinite(pick(found).value)
    ]
    if num_pairs + num_invalid:
        rate = Interval(found.accuracy.invalid_rate)
        made.append(_estimate(INVALID, rate, judge, num_pairs + num_invalid))
    return tuple(made)


def _up_to(threshold: float, unit: str) -> str:
    return f"ties up to {threshold:.3g} {unit}" if threshold >= 0 else "no ties"


def _by_chance(found: Agreement) -> str:
    return f"{found.error_by_chance:.3f} by chance alone"


def _pairs(found: Agreement) -> tuple[int, int]:
    """Readable pairs, and unreadable ones."""
    num = found.accuracy.num_labels
    return found.ties.num_labels, num - found.ties.num_labels


def _estimate(
    name: str, found: Interval, judge: str, num: int | None = None, invalid: int = 0, note: str = ""
) -> Estimate:
    unit = "correlation" if "correlation" in name else "share"
    return Estimate.of(name, found, None, unit, num, invalid, judge, note)


def _bins(bins: Sequence[Bin]) -> tuple[ReliabilityBin, ...]:
    return tuple(
        ReliabilityBin(
            one.confidence,
            one.share_right.value,
            one.share_right.low if math.isfinite(one.share_right.low) else None,
            one.share_right.high if math.isfinite(one.share_right.high) else None,
            one.num,
        )
        for one in bins
    )


def estimate_of(made: JudgeReport, name: str, of: str = ALL) -> Estimate | None:
    """One estimate of one slice."""
    for one in made.slices:
        if one.name == of:
            return _found(one, name)
    return None


def _found(part: JudgeSlice, name: str) -> Estimate | None:
    return next((one for one in part.estimates if one.name == name), None)
