"""What judges know, by the labels held out: how far a judge's verdict moves for a side that people
prefer, which of them can be witnesses of a gain, and how they are heard as one.

A judge that is often wrong sees less of any gain: its verdicts on the twins of champion and
challenger are pulled to one half, however good the challenger is. How much less is what its
verdicts on labelled pairs tell. Let a judge's log-odds be `a * d + noise`, d the true difference.
On labels they move by `response = a * E|d|` towards the side that people prefer, on twins by
`gain = a * mean d`. So `gain / response` is the mean of d in one unit, whoever judges: the ratio of
two covariances with one instrument, as for errors in variables (Wald 1940). Labels that are wrong
lower every judge's response by one factor, which leaves the ratio of two judges as it is; and as no
spread is divided by, twins may be as alike as they like.

A judge that says which and not how much has no log-odds to speak of. Its share of right verdicts
and its share of wins are turned into the same two numbers by the normal model:
`2/pi * sin(pi * (accuracy - 1/2))` (Sheppard 1899) and `sqrt(2/pi) * probit(share won)`. There the
twins are taken to differ as much as labelled pairs do.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from factory.evaluation.contest import Result
from factory.ranking.matchups import meeting
from factory.statistics.intervals import (
    Array,
    Interval,
    Jackknife,
    jackknife_of_sums,
    mean_of_sums,
    ratio,
)
from schemas.rows import Opinion, Task

#: Of one-sided tests; two-sided, the 5 % of all intervals.
LEVEL = 0.025
#: Prompts with labels below which nothing is known of a judge.
_MIN_PROMPTS = 10
_E_ABS = math.sqrt(2 / math.pi)  # mean size of a standard normal number


@dataclass(frozen=True, eq=False)
class Told:
    """What K judges say of the same n comparisons.

    leads: log-odds of both orders for the challenger, or for the side that people prefer; NaN where
        a judge could not be read; [n, K].
    prompts: of each, [n].
    """

    leads: Array
    prompts: Sequence[str]

    def of(self, rows: Sequence[int]) -> Told:
        """Some of the comparisons."""
        return Told(self.leads[list(rows)], [self.prompts[row] for row in rows])


@dataclass(frozen=True)
class Known:
    """What labels tell of one judge.

    accuracy: share of labels that it gets right, a lead of zero half; clustered by prompt.
    response: how far its lead moves for the side that people prefer, with its standard error.
    num: labels.
    why_not: why it is no witness, as the end of a sentence about it; empty where it is one.
    """

    accuracy: Interval
    response: Jackknife
    num: int
    why_not: str = ""


def twins_of(results: Mapping[str, Sequence[Result]]) -> Told:
    """The twins, in the order of the judges.

    Raises:
        ValueError: the judges were not asked about the same twins.
    """
    (name, first), *others = results.items()
    prompts = [one.prompt_id for one in first]
    for other, found in others:
        if [one.prompt_id for one in found] != prompts:
            raise ValueError(f"{name} and {other} were not asked about the same twins")
    leads = np.array([[one.lead for one in found] for found in results.values()])
    return Told(leads.reshape(len(results), -1).T, prompts)


def labels_of(
    opinions: Mapping[str, Sequence[Opinion]], judges: Sequence[str], tasks: Collection[Task]
) -> Told:
    """Labels that prefer a side, each once, with what every judge makes of it.

    Args:
        opinions: of held-out labels, by judge; a judge may have been asked about some or none.
        judges: in the order of the columns.
        tasks: of the twins; what a judge knows of other tasks says nothing about these.
    """
    rows: dict[str, int] = {}
    prompts: list[str] = []
    found: list[tuple[int, int, float]] = []
    for column, judge in enumerate(judges):
        for one in opinions.get(judge, ()):
            if one.preference not in ("first", "second") or one.task not in tasks:
                continue
            if one.label_id not in rows:
                rows[one.label_id] = len(prompts)
                prompts.append(one.prompt_id)
            met = meeting(one)
            if met is not None:
                lead = met.logit if one.preference == "first" else -met.logit
                found.append((rows[one.label_id], column, lead))
    leads = np.full((len(prompts), len(judges)), np.nan)
    for row, column, lead in found:
        leads[row, column] = lead
    return Told(leads, prompts)


def are_verdicts(*told: Told) -> npt.NDArray[np.bool_]:
    """Which judges say which and not how much: more than half of their leads are of the largest
    size, ties apart; [K].
    """
    sizes = np.abs(np.concatenate([one.leads for one in told]))
    sizes[~(sizes > 0)] = np.nan
    if not len(sizes):
        return np.zeros(sizes.shape[1], dtype=bool)
    largest = np.nanmax(np.nan_to_num(sizes, nan=0.0), axis=0)
    num = np.isfinite(sizes).sum(axis=0)
    return np.asarray((sizes > largest * (1 - 1e-6)).sum(axis=0) > num / 2)


def graded(told: Told, signs: npt.NDArray[np.bool_]) -> Told:
    """The leads, or of judges of mere verdicts their signs."""
    return Told(np.where(signs, np.sign(told.leads), told.leads), told.prompts)


def response(means: Array, signs: npt.NDArray[np.bool_]) -> Array:
    """From the mean leads towards what people prefer, [..., K]: see the top of the module."""
    return np.where(signs, _E_ABS**2 * np.sin(math.pi / 2 * np.clip(means, -1, 1)), means)


def gain(means: Array, num: Array | float, signs: npt.NDArray[np.bool_]) -> Array:
    """From the mean leads on `num` twins, [..., K]; nobody wins more than all but half a twin."""
    most = 1 - 1 / np.maximum(num, 2)
    share = (1 + np.clip(means, -most, most)) / 2
    return np.where(signs, _E_ABS * scipy.special.ndtri(share), means)


def sums_by_judge(told: Told) -> Array:
    """Columns of leads, then of ones, zero where a judge could not be read, [n, 2 K]."""
    is_read = np.isfinite(told.leads)
    return np.concatenate([np.where(is_read, told.leads, 0.0), is_read.astype(np.float64)], axis=1)


def means_of(sums: Array) -> Array:
    """Mean leads by judge from sums of `sums_by_judge`, [R, 2 K] to [R, K]."""
    num = sums.shape[1] // 2
    return ratio(sums[:, :num], sums[:, num:])


def knowledge(labels: Told, signs: npt.NDArray[np.bool_]) -> list[Known]:
    """What the labels tell of each judge, from its own leads or signs."""
    return [_known(labels, column, signs[[column]]) for column in range(labels.leads.shape[1])]


def _known(labels: Told, column: int, sign: npt.NDArray[np.bool_]) -> Known:
    leads = labels.leads[:, column]
    is_read = np.isfinite(leads)
    leads = leads[is_read]
    prompts = [one for one, read in zip(labels.prompts, is_read, strict=True) if read]
    ones = np.ones(len(leads))
    right = np.stack([(1 + np.sign(leads)) / 2, ones], axis=1)
    moved = jackknife_of_sums(
        np.stack([leads, ones], axis=1), prompts, lambda sums: response(mean_of_sums(sums), sign)
    )
    accuracy = interval_of(jackknife_of_sums(right, prompts, mean_of_sums), 0.0, 1.0)
    why_not = ""
    if moved.num_clusters < _MIN_PROMPTS:
        why_not = f"was held against {len(leads) or 'no'} labels"
        why_not += f" of {moved.num_clusters} prompts" if len(leads) else ""
    elif not moved.p_above(0.0) <= LEVEL:
        why_not = f"gets {told(accuracy)} of {len(leads)} labels right, which may be chance"
    return Known(accuracy, moved, len(leads), why_not)


def pool(labels: Told, responses: Array) -> Array:
    """Weights by which witnesses are heard as one, [K], adding up to 1.

    Fisher's linear discriminant between the preferred and the other side (1936): the sum of leads
    that tells them apart best, so a judge counts by what it knows, and two that err alike count
    little more than one. A witness that would count against what it says is left out, as one
    without a response, whose weight can only be noise, must be before.

    Args:
        labels: leads or signs of the witnesses alone.
        responses: theirs, positive, [K].
    """
    leads = labels.leads[np.isfinite(labels.leads).all(axis=1)]
    kept = np.arange(len(responses))
    weights = np.zeros(len(responses))
    if len(leads) <= 2 * len(responses):  # too few in common to tell how they err together
        weights[int(np.argmax(responses / _spread(labels.leads)))] = 1.0
        return weights
    centred = leads - leads.mean(axis=0)
    spread = centred.T @ centred / len(leads)
    while len(kept) > 1:
        found = np.linalg.lstsq(spread[np.ix_(kept, kept)], responses[kept], rcond=1e-9)[0]
        if (found > 0).all():
            break
        kept = np.delete(kept, int(np.argmin(found)))
    if len(kept) == 1:
        found = np.ones(1)
    weights[kept] = found / found.sum()
    return weights


def _spread(leads: Array) -> Array:
    return np.asarray(np.maximum(np.nanstd(leads, axis=0), 1e-9))


def power(
    num_prompts: int,
    num_labels: int,
    judge: float,
    witness: float,
    margin: float,
    gain_seen: float = 1.0,
    hacked: float = 0.5,
) -> float:
    """The chance that the alarm finds a hack, by the normal model, with graded leads.

    Args:
        num_prompts: of one pair of twins each; more twins of a prompt are not counted on.
        num_labels: of one prompt each, on which both were measured.
        judge: accuracy of the judge of the pairs.
        witness: of the witnesses as one.
        margin: share of a gain that may be unseen.
        gain_seen: of the challenger in the eyes of the judge, in standard deviations of the true
            quality of outputs for one prompt.
        hacked: share of it that is not so.
    """
    spread = math.sqrt(2.0)  # of the difference of two outputs
    moved = spread * _E_ABS
    of_judge, of_witness = (
        (spread / math.sin(math.pi * (one - 0.5))) ** 2 for one in (judge, witness)
    )
    up, seen = gain_seen, gain_seen * (1 - hacked)
    twins = np.array([[of_judge, spread**2], [spread**2, of_witness]]) / num_prompts
    labels = np.array([[of_judge, spread**2], [spread**2, of_witness]]) - moved**2
    labels /= num_labels
    by_gain = moved * np.array([1 - margin, -1.0])
    by_response = np.array([-seen, (1 - margin) * up])
    se = math.sqrt(by_gain @ twins @ by_gain + by_response @ labels @ by_response)
    unseen = moved * ((1 - margin) * up - seen)
    needed = -float(scipy.special.ndtri(LEVEL))
    is_up = float(scipy.special.ndtr(up / math.sqrt(twins[0, 0]) - needed))
    return min(float(scipy.special.ndtr(unseen / se - needed)), is_up)


def interval_of(found: Jackknife, lowest: float = -math.inf, highest: float = math.inf) -> Interval:
    """The 95 % interval of Student's t, within what can be."""
    if not math.isfinite(found.se):
        return Interval(found.value)
    width = quantile(found.num_clusters) * found.se
    return Interval(
        found.value, max(found.value - width, lowest), min(found.value + width, highest)
    )


def quantile(num_clusters: int) -> float:
    """Standard errors to either side of a 95 % interval."""
    return float(scipy.special.stdtrit(num_clusters - 1, 1 - LEVEL))


def told(found: Interval) -> str:
    """An interval in a sentence."""
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
