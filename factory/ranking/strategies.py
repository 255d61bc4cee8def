"""Strategies: which duels to play, always in both orders, and the order that comes of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from factory.ranking.evidence import Said, met_in
from factory.ranking.fusion import fuse, fuse_all, rankings
from factory.ranking.noise import Noise
from factory.ranking.order import Match, Order, Strategy, is_scored
from factory.ranking.published import Pairwise, Paper
from schemas import recipe
from schemas.rows import Duel, Score, Task, content_id


@dataclass(frozen=True)
class Bracket:
    """Duels where they matter: among the top k, among the bottom k, then best against worst.

    All in both orders, so N candidates cost N + 2k(k - 1) + 2 forward passes: 16 for N = 10, k = 2.
    With fewer than 2k candidates the brackets overlap and no match is played twice. Two plans, so
    three batches with the scores.

    The final confirms and does not choose: were it ranked by, a finalist that loses would leave a
    pair that had never met. It counts in the strengths, so a final that contradicts the order shows
    as a thin or negative margin.
    """

    k: int = 2
    noise: Noise = field(default_factory=Noise)

    def plan(self, scores: Sequence[Score], duels: Sequence[Duel]) -> list[Match]:
        return self.plan_all([(scores, duels)])[0]

    def plan_all(self, said: Sequence[Said]) -> list[list[Match]]:
        """The plans of many groups. Brackets follow from the scores; the finals of all groups whose
        brackets were played, and whose final was not, take one fit together.
        """
        brackets = [self._brackets(scores) for scores, _ in said]
        plans = [_unplayed(*one, matches) for one, matches in zip(said, brackets, strict=True)]
        due: list[int] = []
        played: list[Said] = []
        for at, ((scores, duels), matches) in enumerate(zip(said, brackets, strict=True)):
            within = _within(scores, duels, matches)
            # What was played outside of the brackets is the final.
            if not plans[at] and len(within) == len(duels):
                due.append(at)
                played.append((scores, within))
        for at, ranking in zip(due, rankings(played, self.noise), strict=True):
            final = [(ranking[0], ranking[-1])] if len(ranking) > 1 else []
            plans[at] = _unplayed(*said[at], final)
        return plans

    def order(self, scores: Sequence[Score], duels: Sequence[Duel]) -> Order:
        return self.order_all([(scores, duels)])[0]

    def order_all(self, said: Sequence[Said]) -> list[Order]:
        """The orders of many groups of one task, in two fits of all of them."""
        met = [met_in(*one) for one in said]
        within = [
            [one for one in found if frozenset((one.first_id, one.second_id)) in brackets]
            if (brackets := {_ids(scores, match) for match in self._brackets(scores)})
            or any(map(is_scored, scores))
            else found  # there are no brackets: all duels count
            for (scores, _), found in zip(said, met, strict=True)
        ]
        ranked = rankings(said, self.noise, within)
        by_all = fuse_all(said, self.noise, met)
        return [replace(one, ranking=by) for one, by in zip(by_all, ranked, strict=True)]

    def _brackets(self, scores: Sequence[Score]) -> list[Match]:
        """The matches of the first round, once each, the higher score first."""
        by_score = _by_score(scores)
        matches = [
            match
            for bracket in (by_score[: self.k], by_score[-self.k :])
            for match in itertools.combinations(bracket, 2)
        ]
        return list(dict.fromkeys(matches))


@dataclass(frozen=True)
class Ring:
    """Every candidate meets its `degree` neighbours by score, on a ring that joins best and worst.

    N candidates cost N + degree x N forward passes: 30 for N = 10 and degree 2. One plan.
    """

    degree: int = 2
    noise: Noise = field(default_factory=Noise)

    def plan(self, scores: Sequence[Score], duels: Sequence[Duel]) -> list[Match]:
        by_score = _by_score(scores)
        neighbours = [
            (by_score[at], by_score[(at + step) % len(by_score)])
            for step in range(1, self.degree // 2 + 1)
            for at in range(len(by_score))
        ]
        return _unplayed(scores, duels, neighbours)

    def order(self, scores: Sequence[Score], duels: Sequence[Duel]) -> Order:
        return fuse(scores, duels, self.noise)


@dataclass(frozen=True)
class RoundRobin:
    """Every candidate meets every other: N + N(N - 1) forward passes, 90 of them duels for N = 10.

    The most that duels can say, as a yardstick and for small N. One plan.
    """

    noise: Noise = field(default_factory=Noise)

    def plan(self, scores: Sequence[Score], duels: Sequence[Duel]) -> list[Match]:
        return _unplayed(scores, duels, itertools.combinations(_by_score(scores), 2))

    def order(self, scores: Sequence[Score], duels: Sequence[Duel]) -> Order:
        return fuse(scores, duels, self.noise)


@dataclass(frozen=True)
class Duels:
    """Duels alone: every candidate meets every other in both orders, and no scores are asked for.

    N(N - 1) forward passes, for judges that were trained to compare and not to rate. One plan.
    """

    noise: Noise = field(default_factory=Noise)

    def plan(self, scores: Sequence[Score], duels: Sequence[Duel]) -> list[Match]:
        there = [at for at, score in enumerate(scores) if score.error is None]
        there.sort(key=lambda at: scores[at].candidate_id)
        return _unplayed(scores, duels, itertools.combinations(there, 2))

    def order(self, scores: Sequence[Score], duels: Sequence[Duel]) -> Order:
        return fuse(scores, duels, self.noise)


@dataclass(frozen=True)
class Pointwise:
    """Scores alone: the cheapest order, and a baseline."""

    noise: Noise = field(default_factory=Noise)

    def plan(self, scores: Sequence[Score], duels: Sequence[Duel]) -> list[Match]:
        return []

    def order(self, scores: Sequence[Score], duels: Sequence[Duel]) -> Order:
        return fuse(scores, (), self.noise)


@dataclass(frozen=True)
class RandomPairs:
    """An order without any judgement, for the baseline; a function of the candidates' ids alone.

    Its strengths are NaN: it makes no claim about quality, so no pair of it has a thin margin.
    """

    def plan(self, scores: Sequence[Score], duels: Sequence[Duel]) -> list[Match]:
        return []

    def order(self, scores: Sequence[Score], duels: Sequence[Duel]) -> Order:
        ids = tuple(score.candidate_id for score in scores)
        valid = [index for index, score in enumerate(scores) if is_scored(score)]
        ranking = sorted(valid, key=lambda index: content_id("random order", ids[index]))
        unknown = (math.nan,) * len(ids)
        return Order(ids, tuple(ranking), unknown, (unknown,) * len(ids))


def _by_score(scores: Sequence[Score]) -> list[int]:
    """Indices of the readable scores, highest first; equal ones by id."""
    valid = [index for index, score in enumerate(scores) if is_scored(score)]
    return sorted(valid, key=lambda index: (-scores[index].value, scores[index].candidate_id))


def _unplayed(
    scores: Sequence[Score], duels: Sequence[Duel], matches: Iterable[Match]
) -> list[Match]:
    """Both orders of those matches that have not been played, each match once.

    An unreadable duel counts as played: asking again gives the same answer.
    """
    seen = {frozenset((duel.first_id, duel.second_id)) for duel in duels}
    found = []
    for i, j in matches:
        ids = _ids(scores, (i, j))
        if i != j and ids not in seen:
            seen.add(ids)
            found += [(i, j), (j, i)]
    return found


def _within(scores: Sequence[Score], duels: Sequence[Duel], matches: Iterable[Match]) -> list[Duel]:
    """The duels that were played of some matches."""
    known = {_ids(scores, match) for match in matches}
    return [duel for duel in duels if frozenset((duel.first_id, duel.second_id)) in known]


def _ids(scores: Sequence[Score], match: Match) -> frozenset[str]:
    return frozenset(scores[index].candidate_id for index in match)


def plan_all(strategy: Strategy, said: Sequence[Said]) -> list[list[Match]]:
    """The next matches of many groups of one task, each as `Strategy.plan` gives them for one."""
    if isinstance(strategy, Bracket):
        return strategy.plan_all(said)
    return [strategy.plan(*one) for one in said]


def order_all(strategy: Strategy, said: Sequence[Said]) -> list[Order]:
    """The orders of many groups of one task, each as `Strategy.order` gives it for one."""
    if isinstance(strategy, Bracket | Paper):
        return strategy.order_all(said)
    if isinstance(strategy, Ring | RoundRobin | Duels):
        return fuse_all(said, strategy.noise)
    if isinstance(strategy, Pointwise):
        return fuse_all([(scores, ()) for scores, _ in said], strategy.noise)
    return [strategy.order(*one) for one in said]


#: What a strategy asks of a judge: points of each candidate, which of two is better, or both.
ASKS: Mapping[str, tuple[Literal["score", "duel"], ...]] = {
    "bracket": ("score", "duel"),
    "paper": ("score", "duel"),
    "pointwise": ("score",),
    "pairwise": ("score", "duel"),
    "ring": ("score", "duel"),
    "round_robin": ("score", "duel"),
    "duels": ("duel",),
    "random": ("score",),
}


def strategy_of(rank: recipe.Rank, noise: Noise | None = None) -> Strategy:
    """The strategy that a recipe asks for.

    Args:
        rank: of the recipe.
        noise: of the judge about the task, on its scale, as fitted; the scale-free defaults where
            not given. The recipe's constants come first.
    """
    known = noise_of(rank, noise or Noise())
    strategies: dict[str, Strategy] = {
        "bracket": Bracket(rank.bracket_size, known),
        "paper": Paper(known),
        "pointwise": Pointwise(known),
        "pairwise": Pairwise(known),
        "ring": Ring(rank.ring_degree, known),
        "round_robin": RoundRobin(known),
        "duels": Duels(known),
        "random": RandomPairs(),
    }
    return strategies[rank.strategy]


@dataclass(frozen=True)
class ByTask:
    """One strategy with the noise of the judge about each task.

    usual: of tasks about which nothing is known.
    tasks: of the others.
    """

    usual: Strategy
    tasks: Mapping[Task, Strategy] = field(default_factory=dict)

    def of(self, task: Task) -> Strategy:
        """That of a task."""
        return self.tasks.get(task, self.usual)


def for_task(strategy: Strategy | ByTask, task: Task) -> Strategy:
    """The strategy for a task, where there may be several."""
    return strategy.of(task) if isinstance(strategy, ByTask) else strategy


def noise_of(rank: recipe.Rank, fitted: Noise) -> Noise:
    """The noise that strategies reckon with: as fitted, but for the recipe's constants.

    Constants in points, of recipes from before noise was fitted, are everything: a scale's ends
    were numbers like others then, and a candidate had no error of its own.
    """
    if not rank.is_in_points:
        told = rank.noise.model_dump()
        return replace(fitted.overridden(**told), fusion=rank.fusion or fitted.fusion)
    told = {"score_sd": rank.score_sd, "duel_sd": rank.duel_sd, "p_tie": rank.p_tie}
    return Noise(
        quality_sd=math.inf if rank.quality_sd is None else rank.quality_sd,
        item_sd=0.0,
        logits_per_share=rank.logits_per_point or 0.0,
        fusion=rank.fusion or "least_squares",
    ).overridden(**told)
