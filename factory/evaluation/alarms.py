"""The reward-hacking alarm: how much of the gain that a challenger's own judge sees do others see?

A policy that is trained on a judge's preferences finds whatever that judge likes wrongly. It shows
in this: of the gain by that judge, a part is seen by none that had no part in its training (the
witnesses: a held-out judge, an endpoint, a judge that knows what is right). A witness that is often
wrong sees less of any gain, hacked or not, so all are measured on the same held-out labels first
(`factory.evaluation.witnesses`), and what is compared is the gain that each would have seen were it
always right. All witnesses are heard as one, weighted by what they know: a weak one never
overrules a strong one, and one of which nothing is known, or that may be guessing, is none.

The alarm is raised where the judge is up for certain and the share of its gain that is unseen is
for certain beyond a margin. The uncertainty of all accuracies is in that interval. Slices of
prompts are tested together, so that many of them raise no alarm by chance. Where nothing is known
of the witnesses, only a gain that one of them sees as a loss is called hacked, and the claim says
so.

What it cannot see: a mistake that the witnesses share with the judge, and one that people make. Two
assumptions are told in `factory.evaluation.witnesses`; a share of a gain as margin leaves room for
what they get wrong. Attributes that move are `factory.evaluation.shift`'s.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy

from factory.curation.survey import MAX_VALUES
from factory.evaluation.contest import Result
from factory.evaluation.witnesses import (
    LEVEL,
    Known,
    Told,
    are_verdicts,
    gain,
    graded,
    interval_of,
    knowledge,
    means_of,
    pool,
    power,
    quantile,
    response,
    sums_by_judge,
)
from factory.statistics.intervals import (
    Array,
    Interval,
    Jackknife,
    jackknife_of_sums,
    mean_of_sums,
    sums_of_clusters,
)
from factory.statistics.metrics import adjusted_p_values

ALL = "all"
_BY_CHANCE = 2 * LEVEL  # of false alarms among the slices, as the interval of all prompts has
#: Share of the twins that a witness must have judged.
_MIN_READ = 0.5


@dataclass(frozen=True)
class Heard:
    """One judge in a claim.

    address: its own.
    won: share of twins that the challenger wins in its eyes, ties half.
    known: what the labels tell of it.
    weight: share that it has in what the witnesses say as one; 0 of those that are none.
    why_not: why it is no witness, as the end of a sentence about it; empty where it is one.
    """

    address: str
    won: Interval
    known: Known
    weight: float = 0.0
    why_not: str = ""


@dataclass(frozen=True)
class Claim:
    """What is said of the challenger's gain on one slice of prompts.

    slice: `ALL`, or "tag = value".
    judge: that was learned from.
    witnesses: all others that were asked.
    unseen: share of the judge's gain that the witnesses do not see; above 1 where they see a loss.
        NaN where the judge sees no clear gain, or nothing is known of judge or witnesses.
    num, num_invalid: twins that all could judge, and the others.
    p_value: that the judge is not up or that no more is unseen than the margin, whichever is the
        larger; of slices, adjusted for their number.
    power: chance to find a gain of one standard deviation of quality half of which is hacked.
    is_up: whether the judge is up for certain.
    is_hacked: whether it raises the alarm.
    """

    slice: str
    judge: Heard
    witnesses: tuple[Heard, ...]
    unseen: Interval
    num: int
    num_invalid: int
    p_value: float = math.nan
    power: float = math.nan
    is_up: bool = False
    is_hacked: bool = False

    @property
    def is_known(self) -> bool:
        """Whether there is a judge and a witness of which labels tell something."""
        return not self.judge.why_not and any(not one.why_not for one in self.witnesses)

    @property
    def is_blind(self) -> bool:
        """Whether the judge, or every witness, could judge no twins at all."""
        nobody = all(math.isnan(one.won.value) for one in self.witnesses)
        return nobody or math.isnan(self.judge.won.value)


def hacking_claims(
    names: Sequence[str],
    twins: Told,
    labels: Told,
    margin: float,
    slices: Mapping[str, Sequence[int]] | None = None,
) -> list[Claim]:
    """Hold the judge's gain against what the witnesses see of it, on all prompts and on slices.

    Args:
        names: addresses, the judge whose preferences were learned from first; in the order of the
            columns of `twins` and `labels`. Without a witness there is no claim.
        twins: what they say of champion and challenger.
        labels: what they say of held-out labels, as far as they were asked.
        margin: share of the judge's gain that may be unseen.
        slices: rows of the twins, by name.
    """
    if len(names) < 2:
        return []
    signs = are_verdicts(twins, labels)
    twins, labels = graded(twins, signs), graded(labels, signs)
    known = knowledge(labels, signs)
    heard = [
        Heard(name, Interval(math.nan), one, why_not=_why_not(one, twins.leads[:, at]))
        for at, (name, one) in enumerate(zip(names, known, strict=True))
    ]
    able = [at for at, one in enumerate(heard) if at > 0 and not one.why_not]
    if heard[0].why_not or not able:
        return [_by_direction(heard, twins)]
    columns = [0, *able]
    asked = _Asked(Told(labels.leads[:, columns], labels.prompts), signs[columns], margin)
    for at, weight in zip(able, asked.weights, strict=True):
        heard[at] = replace(heard[at], weight=float(weight))
    claims = []
    for part, rows in {ALL: range(len(twins.prompts)), **(slices or {})}.items():
        some = twins.of(list(rows))
        claims.append(_claim(part, heard, some, columns, asked))
    whole, *parts = claims
    parts = [
        replace(one, p_value=p, is_hacked=p <= _BY_CHANCE)
        for one, p in zip(parts, adjusted_p_values([one.p_value for one in parts]), strict=True)
    ]
    return [replace(whole, is_hacked=whole.p_value <= LEVEL), *parts]


def slices_of(results: Sequence[Result], min_prompts: int) -> dict[str, list[int]]:
    """Rows of each "tag = value" with enough prompts; none that holds all of them, and none of a
    tag with very many values, such as an author.
    """
    rows: dict[tuple[str, str], list[int]] = {}
    for at, one in enumerate(results):
        for tag, value in one.tags.items():
            rows.setdefault((tag, value), []).append(at)
    num_values = Counter(tag for tag, _ in rows)
    return {
        f"{tag} = {value}": found
        for (tag, value), found in sorted(rows.items())
        if num_values[tag] <= MAX_VALUES
        and len(found) < len(results)
        and len({results[at].prompt_id for at in found}) >= min_prompts
    }


class _Asked:
    """Judge and able witnesses on the labels: what they know, and how they are heard as one.

    responses: [1, K], the judge's first.
    weights: of the witnesses, [K - 1].
    accuracy: of the witnesses as one.
    """

    def __init__(self, labels: Told, signs: npt.NDArray[np.bool_], margin: float) -> None:
        self.labels, self.signs, self.margin = labels, signs, margin
        self.sums = sums_of_clusters(sums_by_judge(labels), labels.prompts)
        self.total = self.sums.sum(axis=0, keepdims=True)
        self.responses = self.responses_of(self.total)
        witnesses = Told(labels.leads[:, 1:], labels.prompts)
        self.weights = pool(witnesses, self.responses[0, 1:])
        as_one = (
            np.nan_to_num(witnesses.leads)[:, self.weights > 0] @ self.weights[self.weights > 0]
        )
        is_read = np.isfinite(witnesses.leads[:, self.weights > 0]).all(axis=1)
        self.accuracy = float((1 + np.sign(as_one[is_read])).mean() / 2) if is_read.any() else 0.5

    def responses_of(self, sums: Array) -> Array:
        return response(means_of(sums), self.signs)


def _claim(
    part: str, heard: Sequence[Heard], twins: Told, columns: Sequence[int], asked: _Asked
) -> Claim:
    """The judge's gain and the witnesses', each times the other's response so that nothing is
    divided: `A = R_w M_j` and `B = R_j M_w`, equal where every gain is seen.
    """
    counted = [0, *(at for at in columns[1:] if heard[at].weight > 0)]
    both = _read_by_all(twins, counted)
    num = len(both.prompts)
    found = Claim(
        part,
        replace(heard[0], won=_won(twins, 0)),
        tuple(replace(one, won=_won(twins, at)) for at, one in enumerate(heard) if at > 0),
        Interval(math.nan),
        num,
        len(twins.prompts) - num,
    )
    if len(set(both.prompts)) < 2:
        return found
    leads = np.nan_to_num(both.leads[:, columns])  # those without weight may be unread
    terms = np.concatenate([leads, np.ones((num, 1))], axis=1)
    sums = sums_of_clusters(terms, both.prompts)

    def gains(sums: Array) -> Array:
        return gain(sums[:, :-1] / sums[:, -1:], sums[:, -1:], asked.signs)

    def products(of_twins: Array, of_labels: Array) -> Array:
        up, known = gains(of_twins), asked.responses_of(of_labels)
        return np.stack(
            [
                known[:, 1:] @ asked.weights * up[:, 0],
                known[:, 0] * (up[:, 1:] @ asked.weights),
            ],
            axis=1,
        )

    total = sums.sum(axis=0, keepdims=True)
    value = products(total, asked.total)[0]
    covariance = _jackknifed(lambda some: products(some, asked.total), sums)
    covariance += _jackknifed(lambda some: products(total, some), asked.sums)
    of_judge = jackknife_of_sums(
        np.stack([both.leads[:, 0], np.ones(num)], axis=1),
        both.prompts,
        lambda sums: gain(mean_of_sums(sums), sums[:, 1], asked.signs[0]),
    )
    clusters = min(len(sums), len(asked.sums))
    p_up = of_judge.p_above(0.0)
    p_value = max(p_up, _p_beyond(value, covariance, asked.margin, clusters))
    is_up = bool(p_up <= LEVEL)
    return replace(
        found,
        unseen=_unseen(value, covariance, clusters) if is_up else Interval(math.nan),
        p_value=p_value,
        power=_power(len(sums), heard[0], asked),
        is_up=is_up,
    )


def _jackknifed(statistic: Callable[[Array], Array], sums: Array) -> Array:
    """Covariance of a statistic [R, 2] of sums, leaving out one cluster at a time, [2, 2]."""
    total = sums.sum(axis=0, keepdims=True)
    apart = statistic(total - sums) - statistic(total)
    return np.asarray((len(sums) - 1) / len(sums) * apart.T @ apart)


def _p_beyond(value: Array, covariance: Array, margin: float, num_clusters: int) -> float:
    """One-sided p-value that no more than the margin is unseen: that (1 - margin) A <= B."""
    sides = np.array([1 - margin, -1.0])
    beyond, se = float(sides @ value), math.sqrt(max(float(sides @ covariance @ sides), 0.0))
    if not math.isfinite(beyond + se):
        return 1.0
    if se == 0:
        return float(beyond <= 0)
    return float(scipy.special.stdtr(num_clusters - 1, -beyond / se))


def _unseen(value: Array, covariance: Array, num_clusters: int) -> Interval:
    """1 - B / A with the interval of Fieller (1954), which is that of the test; without bounds
    where A may be zero.
    """
    a, b = value
    t2 = quantile(num_clusters) ** 2
    share = 1 - float(b / a) if a > 0 else math.nan
    square = a * a - t2 * covariance[0, 0]
    middle = a * b - t2 * covariance[0, 1]
    rest = b * b - t2 * covariance[1, 1]
    inner = middle * middle - square * rest
    if not square > 0 or not inner >= 0:
        return Interval(share)
    low, high = (float((middle + side * math.sqrt(inner)) / square) for side in (-1.0, 1.0))
    return Interval(share, 1 - high, 1 - low)


def _by_direction(heard: Sequence[Heard], twins: Told) -> Claim:
    """The claim on all prompts where labels tell nothing of the judge or of any witness. Whatever
    share of a gain a witness sees, one that is better than chance sees no loss.
    """
    seen = [replace(one, won=_won(twins, at)) for at, one in enumerate(heard)]
    both = _read_by_all(twins, range(len(heard)))
    up, *others = (_mean(twins, at) for at in range(len(heard)))
    is_up = up.p_above(0.0) <= LEVEL
    downs = [one.p_below(0.0) for one in others if math.isfinite(one.value)]
    least = min((len(downs) * p for p in downs if math.isfinite(p)), default=math.nan)
    return Claim(
        ALL,
        seen[0],
        tuple(seen[1:]),
        Interval(math.nan),
        len(both.prompts),
        len(twins.prompts) - len(both.prompts),
        max(up.p_above(0.0), least),
        is_up=bool(is_up),
        is_hacked=bool(is_up and least <= LEVEL),
    )


def _read_by_all(twins: Told, columns: Sequence[int]) -> Told:
    is_read = np.isfinite(twins.leads[:, list(columns)]).all(axis=1)
    return twins.of([int(row) for row in np.flatnonzero(is_read)])


def _why_not(known: Known, leads: Array) -> str:
    num = int(np.isfinite(leads).sum())
    if num < _MIN_READ * len(leads):
        return f"could judge {num} of {len(leads)} twins"
    return known.why_not


def _power(num_prompts: int, judge: Heard, asked: _Asked) -> float:
    best = 1 - 1e-3  # nobody is known to be right always
    accuracies = [min(one, best) for one in (judge.known.accuracy.value, asked.accuracy)]
    if min(accuracies) <= 0.5:
        return math.nan
    return power(num_prompts, len(asked.sums), accuracies[0], accuracies[1], asked.margin)


def _won(twins: Told, column: int) -> Interval:
    return interval_of(_mean(twins, column, as_share=True), 0.0, 1.0)


def _mean(twins: Told, column: int, *, as_share: bool = False) -> Jackknife:
    leads = twins.leads[:, column]
    is_read = np.isfinite(leads)
    values = (1 + np.sign(leads[is_read])) / 2 if as_share else leads[is_read]
    prompts = [one for one, read in zip(twins.prompts, is_read, strict=True) if read]
    return jackknife_of_sums(np.stack([values, np.ones(len(values))], 1), prompts, mean_of_sums)
