"""What ranking is about: matches, trust in a judge, an order, and what a strategy offers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from schemas.rows import Duel, Group, Score

Match = tuple[int, int]  # index of the candidate shown first, index of the one shown second
Fusion = Literal["least_squares", "davidson"]


@dataclass(frozen=True)
class Noise:
    """How far the judge's statements can be trusted, and how they are brought together.

    score_sd, duel_sd: noise of a score, and of a matchup, in points of the judge's scale.
    logits_per_point: log-odds of a duel for one point of quality.
    quality_sd: spread of one prompt's candidates, in points; infinite where nothing is assumed.
        The best of N by noisy scores is the best partly by luck; knowing the spread takes that
        luck out of the strengths, so that a margin claims no more than it should.
    fusion: `least_squares` reads a matchup's log-odds as a measurement; `davidson` reads its
        verdict as one vote, for judges that give no probabilities (see `factory.ranking.fusion`).
    p_tie: probability of a tie between equals; for `davidson`.
    """

    score_sd: float = 0.5
    duel_sd: float = 0.5
    logits_per_point: float = 2.0
    quality_sd: float = math.inf
    fusion: Fusion = "least_squares"
    p_tie: float = 0.2


@dataclass(frozen=True)
class Order:
    """Candidates by strength. All indices are positions in `candidate_ids`.

    candidate_ids: all candidates, in the order of the group.
    ranking: indices of those that the strategy can place, best first; by the strengths, unless
        the strategy says otherwise.
    strengths: points for each candidate; NaN where nothing is known.
    covariance: of the strengths' errors.
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
