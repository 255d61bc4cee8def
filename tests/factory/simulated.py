"""A judge made of numbers: known quality, noise and bias, behind rows like those of a model."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from factory.ranking import Match, Noise, Strategy
from factory.ranking.noise import Fusion
from schemas.rows import Candidate, Duel, Group, Prompt, Score, content_id

JUDGE = "judge@1"


def constants(
    score_sd: float = 0.5,
    duel_sd: float = 0.5,
    logits_per_point: float = 2.0,
    quality_sd: float = math.inf,
    fusion: Fusion = "least_squares",
    p_tie: float = 0.2,
    item_sd: float = 0.0,
) -> Noise:
    """Noise in points; nothing is assumed of the spread, and score and duels share no error."""
    return Noise(quality_sd, score_sd, duel_sd, item_sd, logits_per_point, p_tie, fusion=fusion)


def score(candidate_id: str, value: float, error: str | None = None) -> Score:
    return Score(candidate_id, JUDGE, value, 0.0, error)


def duel(first: str, second: str, logit: float, p_tie: float = 0.0) -> Duel:
    """A duel whose first side has these log-odds among the verdicts that are no tie."""
    p = 1 / (1 + math.exp(-logit))
    return Duel(first, second, JUDGE, (1 - p_tie) * p, (1 - p_tie) * (1 - p), p_tie)


def unreadable(first: str, second: str) -> Duel:
    return Duel(first, second, JUDGE, math.nan, math.nan, math.nan, "no verdict")


@dataclass
class SimulatedJudge:
    """Sees `quality` through noise that is drawn once for each statement.

    item_sd: error of a candidate that scores and duels share, in points.
    position: logits that the side shown first gains.
    likings: points for one unit of an attribute.
    """

    rng: np.random.Generator
    score_sd: float = 0.0
    duel_sd: float = 0.0
    item_sd: float = 0.0
    position: float = 0.0
    logits_per_point: float = 2.0
    likings: Mapping[str, float] = field(default_factory=dict)

    def seen(
        self, quality: Sequence[float], looks: Sequence[Mapping[str, float]] | None = None
    ) -> np.ndarray:
        seen = np.asarray(quality) + self.item_sd * self.rng.standard_normal(len(quality))
        for name, liking in self.likings.items():
            seen = seen + liking * np.array([look[name] for look in looks or []])
        return seen

    def scores(self, ids: Sequence[str], seen: np.ndarray) -> list[Score]:
        noisy = seen + self.score_sd * self.rng.standard_normal(len(seen))
        return [score(one, float(value)) for one, value in zip(ids, noisy, strict=True)]

    def duels(
        self, ids: Sequence[str], seen: np.ndarray, matches: Sequence[tuple[int, int]]
    ) -> list[Duel]:
        """Both orders of a match share their noise, as they do for a deterministic model."""
        noise: dict[frozenset[int], float] = {}
        found = []
        for i, j in matches:
            sign = 1 if i < j else -1
            noise.setdefault(frozenset((i, j)), self.duel_sd * self.rng.standard_normal())
            points = seen[i] - seen[j] + sign * noise[frozenset((i, j))]
            found.append(duel(ids[i], ids[j], self.logits_per_point * points + self.position))
        return found

    def judge(
        self,
        number: int,
        quality: Sequence[float],
        looks: Sequence[Mapping[str, float]] | None = None,
    ) -> Group:
        """A group in which every candidate has met every other in both orders."""
        prompt = Prompt.of(f"prompt {number}")
        candidates = candidates_of(prompt, len(quality))
        ids = [one.candidate_id for one in candidates]
        seen = self.seen(quality, looks)
        matches = list(itertools.permutations(range(len(ids)), 2))
        scores, duels = self.scores(ids, seen), self.duels(ids, seen, matches)
        return Group(prompt, candidates, tuple(scores), tuple(duels))


def candidates_of(prompt: Prompt, num: int) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(content_id(prompt.prompt_id, index), "generator@1", index) for index in range(num)
    )


def play(
    strategy: Strategy,
    scores: Sequence[Score],
    answer: Callable[[list[Match]], Sequence[Duel]],
) -> tuple[list[Duel], list[list[Match]]]:
    """Play a strategy to its end, as the judge actor does: all duels, and the matches by plan."""
    duels: list[Duel] = []
    plans: list[list[Match]] = []
    while matches := strategy.plan(scores, duels):
        plans.append(matches)
        if len(plans) > 10:
            raise AssertionError(f"{strategy} does not come to an end")
        duels += answer(matches)
    return duels, plans
