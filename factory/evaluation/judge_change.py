"""A judge and one made of it, on the same labels.

Is a judge that went on learning from one region's labels better there, and how much worse is it
elsewhere? How much of its teacher's accuracy has a light judge kept? What is measured are
differences label by label, with intervals clustered by prompt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from factory.ranking.matchups import meeting, score_of
from factory.statistics.intervals import Array, Interval, bootstrap_of_sums, mean_of_sums
from schemas.rows import Opinion

_SIGN = {"first": 1.0, "second": -1.0}


@dataclass(frozen=True)
class Change:
    """One figure of the parent and of the child, on the labels that both could read.

    difference: child minus parent.
    num, num_invalid: labels that count, and those that either could not read.
    """

    parent: Interval
    child: Interval
    difference: Interval
    num: int
    num_invalid: int


def accuracy_change(
    parent: Sequence[Opinion],
    child: Sequence[Opinion],
    num_resamples: int = 1000,
    seed: int = 0,
) -> Change:
    """Share of labels without ties on which a judge prefers the side that people do; an exact draw
    counts half, as in `factory.statistics.metrics.accuracy`.

    Raises:
        ValueError: the judges were asked about different labels.
    """
    asked = [one.label_id for one in parent if one.preference in _SIGN]
    return _change(parent, child, asked, _is_right, num_resamples, seed)


def error_change(
    parent: Sequence[Opinion],
    child: Sequence[Opinion],
    num_resamples: int = 1000,
    seed: int = 0,
) -> Change:
    """Mean distance of a judge's score from the points that people gave; raises as the above."""
    asked = [one.label_id for one in parent if one.points is not None]
    return _change(parent, child, asked, _error, num_resamples, seed)


def accuracy_kept(
    parent: Sequence[Opinion],
    child: Sequence[Opinion],
    num_resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """The child's accuracy above chance as a share of the parent's: 1 where it is as good. Unknown
    where the parent is no better than chance; raises as `accuracy_change`.
    """
    asked = [one.label_id for one in parent if one.preference in _SIGN]
    told, prompts, _ = _told(parent, child, asked, _is_right)
    terms = np.array([(old - 0.5, new - 0.5) for old, new in told]).reshape(-1, 2)
    return bootstrap_of_sums(terms, prompts, share_kept, num_resamples, seed)


def share_kept(sums: Array) -> Array:
    """From sums [..., 2] of the parent's and the child's accuracy above chance: the ratio [...]."""
    above, kept = sums[..., 0], sums[..., 1]
    return np.where(above > 0, kept / np.where(above > 0, above, 1.0), np.nan)


def _change(
    parent: Sequence[Opinion],
    child: Sequence[Opinion],
    asked: Sequence[str],
    figure: Callable[[Opinion], float],
    num_resamples: int,
    seed: int,
) -> Change:
    told, prompts, num_invalid = _told(parent, child, asked, figure)
    terms = np.array([(old, new, new - old, 1.0) for old, new in told]).reshape(-1, 4)
    before_all, after_all, difference = (
        bootstrap_of_sums(terms[:, [column, 3]], prompts, mean_of_sums, num_resamples, seed)
        for column in range(3)
    )
    return Change(before_all, after_all, difference, len(told), num_invalid)


def _told(
    parent: Sequence[Opinion],
    child: Sequence[Opinion],
    asked: Sequence[str],
    figure: Callable[[Opinion], float],
) -> tuple[list[tuple[float, float]], list[str], int]:
    """A figure of both judges on each label that both could read, the labels' prompts, and how many
    of those asked about one of them could not.
    """
    before, after = ({one.label_id: one for one in side} for side in (parent, child))
    if before.keys() != after.keys():
        raise ValueError("the two judges were not asked about the same labels")
    told = {one: (figure(before[one]), figure(after[one])) for one in asked}
    both = [one for one, (old, new) in told.items() if math.isfinite(old + new)]
    prompts = [before[one].prompt_id for one in both]
    return [told[one] for one in both], prompts, len(asked) - len(both)


def _is_right(opinion: Opinion) -> float:
    found = meeting(opinion)
    if found is None or opinion.preference not in _SIGN:
        return math.nan
    lead = float(np.sign(found.p_first - found.p_second))
    return (1 + lead * _SIGN[opinion.preference]) / 2


def _error(opinion: Opinion) -> float:
    score = score_of(opinion, 0)
    if score is None or opinion.points is None:
        return math.nan
    return abs(score.value - opinion.points)
