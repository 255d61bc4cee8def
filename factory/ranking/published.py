"""The published construction (UnifiedReward, arXiv 2503.05236), as the baseline to beat.

N candidates play N/2 disjoint duels, each in one order only; that is what was published, and it is
why a position bias reaches these orders and no other. Two defects of the published scripts are not
repeated: a tie or an unreadable verdict makes neither side a winner, and an unreadable score is not
a low one. Who meets whom, and who is shown first, depends on the candidates' ids alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from factory.ranking.evidence import Said
from factory.ranking.fusion import fuse_all
from factory.ranking.matchups import is_readable, log_odds
from factory.ranking.noise import Noise
from factory.ranking.order import Match, Order, is_scored
from schemas.rows import Duel, Score, content_id


@dataclass(frozen=True)
class Paper:
    """Winners before losers, each by score: 15 forward passes for 10 candidates.

    The pair of the first and the last is the paper's: the winner with the highest score, the loser
    with the lowest. Its margin is that of the scores; where it is not positive, the paper drops the
    prompt, and an objection to thin margins says so here.
    """

    noise: Noise = field(default_factory=Noise)

    def plan(self, scores: Sequence[Score], duels: Sequence[Duel]) -> list[Match]:
        return _unplayed(scores, duels)

    def order(self, scores: Sequence[Score], duels: Sequence[Duel]) -> Order:
        return self.order_all([(scores, duels)])[0]

    def order_all(self, said: Sequence[Said]) -> list[Order]:
        """The orders of many groups of one task, in one fit of all their scores."""
        orders = []
        by_scores = fuse_all([(scores, ()) for scores, _ in said], self.noise)
        for (scores, duels), by_score in zip(said, by_scores, strict=True):
            leads = _leads(scores, duels)
            placed = [index for index in by_score.ranking if index in leads]
            ranking = tuple(sorted(placed, key=lambda index: leads[index] < 0))
            orders.append(replace(by_score, ranking=ranking))
        return orders


@dataclass(frozen=True)
class Pairwise:
    """The paper's first stage alone: winners before losers, each by how clear their one duel was.

    The first and the last are then the sides of the clearest duel. Scores only say which candidates
    can be judged. Candidates that did not meet are comparable only as far as both duels are.
    """

    noise: Noise = field(default_factory=Noise)

    def plan(self, scores: Sequence[Score], duels: Sequence[Duel]) -> list[Match]:
        return _unplayed(scores, duels)

    def order(self, scores: Sequence[Score], duels: Sequence[Duel]) -> Order:
        ids = tuple(score.candidate_id for score in scores)
        leads = _leads(scores, duels)
        strengths = np.full(len(scores), np.nan)
        covariance = np.full((len(scores), len(scores)), np.nan)
        placed = sorted(leads)
        # What the one duel says of the difference, on its way to the spread's expectation, and
        # the error that a duel shares with the score: the two halves of one noisy difference.
        noise, unit = self.noise, self.noise.scale.unit
        prior = 2 * noise.seen_sd**2
        weight = prior / (prior + noise.duel_sd**2) if math.isfinite(prior) else 1.0
        variance = (noise.kept * noise.duel_sd) ** 2 * weight + 2 * noise.kept * noise.item_sd**2
        points = unit * noise.kept * weight / noise.logits_per_share
        strengths[placed] = [leads[index] / 2 * points for index in placed]
        covariance[np.ix_(placed, placed)] = 0.0
        for i, j in _matches(scores):
            if i in leads and j in leads:
                half = unit**2 * variance / 4
                covariance[[i, j], [i, j]], covariance[[i, j], [j, i]] = half, -half
        ranking = sorted(placed, key=lambda index: (-leads[index], ids[index]))
        return Order(
            ids, tuple(ranking), tuple(strengths.tolist()), tuple(map(tuple, covariance.tolist()))
        )


def _matches(scores: Sequence[Score]) -> list[Match]:
    """Disjoint matches among the readable candidates; with an odd number one sits out."""
    valid = [index for index, score in enumerate(scores) if is_scored(score)]
    drawn = sorted(valid, key=lambda index: content_id("paper", scores[index].candidate_id))
    return list(zip(drawn[0::2], drawn[1::2], strict=False))


def _unplayed(scores: Sequence[Score], duels: Sequence[Duel]) -> list[Match]:
    played = {(duel.first_id, duel.second_id) for duel in duels}
    return [match for match in _matches(scores) if _ids(scores, match) not in played]


def _leads(scores: Sequence[Score], duels: Sequence[Duel]) -> dict[int, float]:
    """Log-odds of each candidate in its one duel, where that has a winner."""
    told = {(duel.first_id, duel.second_id): duel for duel in duels if is_readable(duel)}
    leads: dict[int, float] = {}
    for i, j in _matches(scores):
        duel = told.get(_ids(scores, (i, j)))
        if duel is None or duel.preference == "tie":
            continue
        lead = log_odds(duel)
        leads[i], leads[j] = lead, -lead
    return leads


def _ids(scores: Sequence[Score], match: Match) -> tuple[str, str]:
    return scores[match[0]].candidate_id, scores[match[1]].candidate_id
