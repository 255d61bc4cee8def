"""What the answers about an audit sample say: precision, agreement, and the time that it took."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from factory.human_audit.agreement import cohens_kappa, krippendorffs_alpha
from factory.human_audit.estimate import weighted_share
from factory.human_audit.sheets import Answer
from factory.statistics.intervals import (
    Array,
    Interval,
    bootstrap_of_sums,
    clustered_bootstrap,
    mean_of_sums,
)
from schemas.rows import Preference


@dataclass(frozen=True)
class Sampled:
    """One pair of the sample.

    p_drawn: the probability with which it was drawn.
    slice: value of the tag by which the sample was shared out; empty where there is none.
    is_chosen_first: whether the chosen side was the one shown first.
    """

    pair_id: str
    prompt_id: str
    p_drawn: float
    slice: str
    is_chosen_first: bool

    @property
    def verdict(self) -> Preference:
        """What the judge said, in the order shown."""
        return "first" if self.is_chosen_first else "second"


@dataclass(frozen=True)
class Findings:
    """Figures of an audit. Shares and kappa stand for the whole set: answers are weighted by one
    over the probability with which their pair was drawn.

    num_answered: pairs with an answer that is not "cannot tell".
    num_unclear: answers "cannot tell".
    precision: share of kept pairs whose chosen side people prefer; a tie counts against. Several
        people's answers to a pair are averaged.
    ties: share of kept pairs that people call a tie.
    precision_by_slice: the same for each slice, with the pairs that it rests on.
    agreement: share of answers that are the judge's verdict.
    kappa: the same beyond chance (Cohen), judge against all people's answers.
    kappa_by_person: judge against each.
    alpha: people among themselves (Krippendorff); NaN where no pair has two answers.
    seconds: mean time of a look, of those that were measured.
    """

    num_answered: int
    num_unclear: int
    precision: Interval
    ties: Interval
    precision_by_slice: Mapping[str, tuple[Interval, int]]
    agreement: Interval
    kappa: Interval
    kappa_by_person: Mapping[str, Interval]
    alpha: Interval
    seconds: Interval


def find(
    sample: Sequence[Sampled], answers: Iterable[Answer], num_resamples: int = 1000, seed: int = 0
) -> Findings:
    """The figures of an audit.

    Args:
        sample: every pair that was drawn, looked at or not.
        answers: about them.
        num_resamples: of the bootstrap that the agreements' intervals come from.
        seed: of that bootstrap.

    Raises:
        KeyError: an answer is about a pair that was not drawn.
    """
    by_id = {one.pair_id: one for one in sample}
    everything = sorted(answers, key=lambda one: (one.pair_id, one.annotator))
    clear = [(by_id[one.pair_id], one, one.preference) for one in everything]
    said: dict[str, list[Preference]] = defaultdict(list)
    for pair, _, preference in clear:
        if preference is not None:
            said[pair.pair_id].append(preference)
    p = np.array([one.p_drawn for one in sample], dtype=np.float64)
    right = _shares(sample, said, lambda pair, given: given == pair.verdict)
    tied = _shares(sample, said, lambda _, given: given == "tie")
    looks = [(pair, one.annotator, given) for pair, one, given in clear if given is not None]
    people = sorted({annotator for _, annotator, _ in looks})
    units = sorted(said)
    timed = [one for one in everything if math.isfinite(one.seconds)]
    return Findings(
        num_answered=len(said),
        num_unclear=sum(given is None for _, _, given in clear),
        precision=weighted_share(right, p),
        ties=weighted_share(tied, p),
        precision_by_slice={
            name: _in_slice(sample, right, p, name)
            for name in sorted({one.slice for one in sample})
        },
        agreement=_agreement(looks, num_resamples, seed),
        kappa=_kappa(looks, num_resamples, seed),
        kappa_by_person={
            name: _kappa([look for look in looks if look[1] == name], num_resamples, seed)
            for name in people
        },
        alpha=krippendorffs_alpha(
            [said[one] for one in units],
            [by_id[one].prompt_id for one in units],
            num_resamples,
            seed,
        ),
        seconds=clustered_bootstrap(
            [one.seconds for one in timed],
            [by_id[one.pair_id].prompt_id for one in timed],
            num_resamples,
            seed,
        ),
    )


Look = tuple[Sampled, str, Preference]  # pair, annotator, answer


def _shares(
    sample: Sequence[Sampled],
    said: Mapping[str, Sequence[Preference]],
    is_hit: Callable[[Sampled, Preference], bool],
) -> Array:
    """For each pair the share of its answers that are hits; NaN where it has none."""
    return np.array(
        [
            np.mean([is_hit(one, given) for given in said[one.pair_id]])
            if one.pair_id in said
            else math.nan
            for one in sample
        ]
    )


def _in_slice(sample: Sequence[Sampled], right: Array, p: Array, name: str) -> tuple[Interval, int]:
    mine = np.array([one.slice == name for one in sample])
    return weighted_share(right[mine], p[mine]), int(np.isfinite(right[mine]).sum())


def _agreement(looks: Sequence[Look], num_resamples: int, seed: int) -> Interval:
    weights = np.array([1 / pair.p_drawn for pair, _, _ in looks])
    hits = np.array([given == pair.verdict for pair, _, given in looks], dtype=np.float64)
    terms = np.stack([weights * hits, weights], axis=1)
    clusters = [pair.prompt_id for pair, _, _ in looks]
    return bootstrap_of_sums(terms, clusters, mean_of_sums, num_resamples, seed)


def _kappa(looks: Sequence[Look], num_resamples: int, seed: int) -> Interval:
    return cohens_kappa(
        [pair.verdict for pair, _, _ in looks],
        [given for _, _, given in looks],
        [pair.prompt_id for pair, _, _ in looks],
        [1 / pair.p_drawn for pair, _, _ in looks],
        num_resamples,
        seed,
    )
