"""What ranking is about: matches, an order, and what a strategy offers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy

from schemas.rows import Duel, Group, Score

Match = tuple[int, int]  # index of the candidate shown first, index of the one shown second


@dataclass(frozen=True)
class Order:
    """Candidates by strength. All indices are positions in `candidate_ids`.

    candidate_ids: all candidates, in the order of the group.
    ranking: indices of those that the strategy can place, best first; by the strengths, unless
        the strategy says otherwise.
    strengths: what each candidate's true quality is expected to be, in points of the judge's scale;
        NaN where nothing is known.
    covariance: of the strengths' errors, with what the judge errs about a candidate in its score
        and its duels alike.
    """

    candidate_ids: tuple[str, ...]
    ranking: tuple[int, ...]
    strengths: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]

    def margin(self, i: int, j: int) -> float:
        """How much stronger candidate `i` is than `j`, in points."""
        return self.strengths[i] - self.strengths[j]

    def difference_sd(self, i: int, j: int) -> float:
        """Standard deviation of `margin(i, j)`."""
        cov = self.covariance
        return math.sqrt(max(cov[i][i] + cov[j][j] - 2 * cov[i][j], 0.0))

    def p_right(self, i: int, j: int) -> float:
        """The probability that candidate `i` is truly better than `j`; NaN where nothing is known.

        Of a Gaussian posterior: Φ(margin / sd).
        """
        margin, sd = self.margin(i, j), self.difference_sd(i, j)
        if sd == 0:
            return 0.5 + 0.5 * float(np.sign(margin))
        return float(scipy.special.ndtr(margin / sd))


class Strategy(Protocol):
    """How a group is ranked."""

    def plan(self, scores: Sequence[Score], duels: Sequence[Duel]) -> list[Match]:
        """The next matches, given all duels so far; none when the ranking is done.

        A match is a pair of positions in `scores`, which has one score for each candidate. All
        matches of one plan can be played at once, so few plans mean few batches.
        """

    def order(self, scores: Sequence[Score], duels: Sequence[Duel]) -> Order:
        """The order that scores and duels give, with one score for each candidate (`scores_of`)."""


def scores_of(group: Group) -> tuple[Score, ...]:
    """One score for each candidate of a group; where it was judged by duels alone, scores that say
    nothing, so that candidates have their places.
    """
    if group.scores or not group.duels:
        return group.scores
    judge = group.duels[0].judge
    return tuple(
        Score(one.candidate_id, judge, math.nan, math.nan, one.error) for one in group.candidates
    )


def is_scored(score: Score) -> bool:
    """Whether the judge gave a readable score."""
    return score.error is None and math.isfinite(score.value)
