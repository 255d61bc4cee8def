"""The figures by which benchmarks are quoted, counted as their own authors count them.

Published tables count in ways that differ in small print: what becomes of a verdict that cannot be
read, of a tie that is said where people see none, of two equal scores, and of subsets of different
sizes. A `Definition` says so for one figure, and `headline` counts by it. The report has the same
accuracies in one way for all benchmarks; only the two side by side can be compared with a paper.

Scripts that show a pair once, in an order drawn by a coin, are counted here in both orders, each a
half: that is the figure that they give on average over the coin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from factory.ranking.matchups import is_readable, score_of, slices
from factory.statistics.intervals import Array, Interval, bootstrap_of_sums, mean_of_sums, ratio
from schemas.rows import Duel, Opinion


@dataclass(frozen=True)
class Definition:
    """How the authors of a benchmark count a figure.

    name: of the figure.
    words: what they count, and where they say so.
    by: verdicts, each order of a pair by itself; or the two scores of a pair, of which the larger
        is the preferred one and equal ones are wrong.
    ties: whether labels that are ties count; a tie must be said then. Of scores they never do.
    unread: what becomes of a judgement that cannot be read.
    subsets: tag over whose values the figure is the plain mean; None where each label counts once.
    """

    name: str
    words: str
    by: Literal["verdicts", "scores"] = "verdicts"
    ties: bool = False
    unread: Literal["wrong", "left out"] = "wrong"
    subsets: str | None = None


@dataclass(frozen=True)
class Headline:
    """A figure by its definition.

    num: labels that it rests on.
    num_unread: of them, those with a judgement that could not be read.
    """

    value: Interval
    num: int
    num_unread: int


def headline(
    opinions: Sequence[Opinion], definition: Definition, num_resamples: int = 1000, seed: int = 0
) -> Headline | None:
    """The figure of some opinions, clustered by prompt; None where there is nothing to count.

    Args:
        opinions: of labels of any kind; those of pairs count.
        definition: how.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    asked = [
        one
        for one in opinions
        if one.preference is not None and (definition.ties or one.preference != "tie")
    ]
    if definition.by == "scores" and not any(one.scores for one in asked):
        return None
    names = [*slices(asked, definition.subsets)] if definition.subsets is not None else [""]
    terms, prompts, num_unread = [], [], 0
    for one in asked:
        hits = _by_scores(one) if definition.by == "scores" else _by_verdicts(one)
        num_unread += any(hit is None for hit in hits)
        told = [float(hit or 0) for hit in hits if hit is not None or definition.unread == "wrong"]
        subset = names.index(one.tags.get(definition.subsets or "", ""))
        row = np.zeros(2 * len(names))
        # Both orders of a pair together count as one judgement, where both are read.
        row[subset], row[len(names) + subset] = sum(told) / len(hits), len(told) / len(hits)
        terms.append(row)
        prompts.append(one.prompt_id)
    if not terms:
        return None

    def mean(sums: Array) -> Array:
        if len(names) == 1:
            return mean_of_sums(sums)
        return np.asarray(ratio(sums[:, : len(names)], sums[:, len(names) :]).mean(axis=1))

    found = bootstrap_of_sums(np.stack(terms), prompts, mean, num_resamples, seed)
    return Headline(found, len(terms), num_unread)


def weighted_mean(parts: Mapping[str, tuple[float, int]]) -> float:
    """The mean of figures of subsets, each by the number of labels that it rests on; NaN where
    there are none. Subsets of which nothing is known have no weight.
    """
    known = [(value, num) for value, num in parts.values() if num and math.isfinite(value)]
    total = sum(num for _, num in known)
    return sum(value * num for value, num in known) / total if total else math.nan


def _by_verdicts(opinion: Opinion) -> list[bool | None]:
    """Whether the verdict is right in each order; None where it cannot be read."""
    orders = [_duel(opinion, "0", "1"), _duel(opinion, "1", "0")]
    told = [orders[0], None if orders[1] is None else orders[1].swap()]
    return [None if one is None else one.preference == opinion.preference for one in told]


def _duel(opinion: Opinion, first: str, second: str) -> Duel | None:
    for one in opinion.duels:
        if (one.first_id, one.second_id) == (first, second) and is_readable(one):
            return one
    return None


def _by_scores(opinion: Opinion) -> list[bool | None]:
    """Whether the preferred side has the higher score; None where either has none."""
    first, second = (score_of(opinion, side) for side in (0, 1))
    if first is None or second is None:
        return [None]
    gap = first.value - second.value
    return [gap > 0 if opinion.preference == "first" else gap < 0]
