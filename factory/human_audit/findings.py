"""What the answers about an audit sample say: precision, agreement, and the time that it took."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from factory.human_audit.agreement import cohens_kappa, krippendorffs_alpha
from factory.human_audit.estimate import (
    Cells,
    Known,
    Predicted,
    cells_of,
    predict,
    weighted_share,
)
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
    doubt: that the judge's own statements leave, as `sampling.doubts` tells it; NaN where unknown.
    """

    pair_id: str
    prompt_id: str
    p_drawn: float
    slice: str
    is_chosen_first: bool
    doubt: float = math.nan

    @property
    def verdict(self) -> Preference:
        """What the judge said, in the order shown."""
        return "first" if self.is_chosen_first else "second"


@dataclass(frozen=True)
class Findings:
    """Figures of an audit. Shares, kappa and alpha stand for the whole set: answers are weighted by
    one over the probability with which their pair was drawn. Precision and ties are sharpened by
    the judge's doubt where that is known of all pairs (`estimate`).

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


#: How many kept pairs have each doubt (`estimate.cells_of`), [NUM_CELLS], by the value of the tag
#: by which the sample was shared out.
DoubtOfAll = Mapping[str, Array]


def find(
    sample: Sequence[Sampled],
    answers: Iterable[Answer],
    num_resamples: int = 1000,
    seed: int = 0,
    doubt_of_all: DoubtOfAll | None = None,
) -> Findings:
    """The figures of an audit.

    Args:
        sample: every pair that was drawn, looked at or not.
        answers: about them.
        num_resamples: of the bootstrap that the agreements' intervals come from.
        seed: of that bootstrap.
        doubt_of_all: of the pairs that the sample was drawn from; None where it is not known, and
            then nothing is predicted from doubt.

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
    shares = _Shares.of(sample, doubt_of_all)
    right = _hits(sample, said, lambda pair, given: given == pair.verdict)
    tied = _hits(sample, said, lambda _, given: given == "tie")
    looks = [(pair, one.annotator, given) for pair, one, given in clear if given is not None]
    people = sorted({annotator for _, annotator, _ in looks})
    units = sorted(said)
    timed = [one for one in everything if math.isfinite(one.seconds)]
    return Findings(
        num_answered=len(said),
        num_unclear=sum(given is None for _, _, given in clear),
        precision=shares.over_all(right),
        ties=shares.over_all(tied),
        precision_by_slice=shares.by_slice(right),
        agreement=_agreement(looks, num_resamples, seed),
        kappa=_kappa(looks, num_resamples, seed),
        kappa_by_person={
            name: _kappa([look for look in looks if look[1] == name], num_resamples, seed)
            for name in people
        },
        alpha=krippendorffs_alpha(
            [said[one] for one in units],
            [by_id[one].prompt_id for one in units],
            [1 / by_id[one].p_drawn for one in units],
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


def _hits(
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


@dataclass(frozen=True)
class _Shares:
    """Shares of the whole set and of its slices, from the same sample.

    p: with which each pair was drawn, [n].
    slices: of each, [n].
    cells: of each one's doubt, [n]; None where the doubt of all pairs is not known.
    """

    p: Array
    slices: npt.NDArray[np.str_]
    cells: Cells | None
    doubt_of_all: DoubtOfAll

    @classmethod
    def of(cls, sample: Sequence[Sampled], doubt_of_all: DoubtOfAll | None) -> _Shares:
        doubt = np.array([one.doubt for one in sample], dtype=np.float64)
        is_known = doubt_of_all is not None and bool(np.isfinite(doubt).all())
        return cls(
            np.array([one.p_drawn for one in sample], dtype=np.float64),
            np.array([one.slice for one in sample], dtype=np.str_),
            cells_of(doubt) if is_known else None,
            doubt_of_all or {},
        )

    def over_all(self, hits: Array) -> Interval:
        """The share of all pairs, from hits [n]; NaN where there is no answer."""
        if self.cells is None or not self.doubt_of_all:
            return weighted_share(hits, self.p)
        counts = np.sum(list(self.doubt_of_all.values()), axis=0)
        return weighted_share(hits, self.p, Known(self.cells, counts))

    def by_slice(self, hits: Array) -> dict[str, tuple[Interval, int]]:
        """The share in each slice, and the answered pairs that it rests on. What doubt says of the
        answers is learnt from all slices together; how much of it is taken, from each.
        """
        predicted = None if self.cells is None else predict(hits, self.p, self.cells)
        return {
            name: self._in_slice(hits, predicted, name)
            for name in sorted(set(self.slices.tolist()))
        }

    def _in_slice(
        self, hits: Array, predicted: Predicted | None, name: str
    ) -> tuple[Interval, int]:
        mine = self.slices == name
        known, learnt = None, None
        if predicted is not None and self.cells is not None and name in self.doubt_of_all:
            known, learnt = Known(self.cells[mine], self.doubt_of_all[name]), predicted.take(mine)
        share = weighted_share(hits[mine], self.p[mine], known, learnt)
        return share, int(np.isfinite(hits[mine]).sum())


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
