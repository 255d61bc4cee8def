"""A judge that only scores: what its duels say follows from the scores of the two sides.

Rao & Kupper's model (1967) turns the difference of two scores into probabilities of first, second
and tie. It has two numbers, fitted to what a judge with duels of its own says (`fit`). Such a judge
looks at each candidate once, however many duels are asked for, and its verdicts cannot depend on
the order or run in a circle. What it gives up is all that only comparing shows.

The numbers lie beside the weights (`verdict_rules.json`), for each task. A reward model whose
publisher trained it by such a model has one without a fit (`factory.judging.scalar`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import scipy

from factory.protocols import Judge, Sitting, scores_of
from factory.ranking.matchups import Matchup, is_readable, matchups
from factory.statistics.intervals import Array
from schemas.rows import Candidate, Duel, Prompt, Score, Task

FILE = "verdict_rules.json"
#: Where the fit looks: a point of the scale is worth 0.02 to 50 logits, and a tie between equals
#: has a probability of 0.0005 to 0.998.
_BOUNDS = ((math.log(0.02), math.log(50.0)), (math.log(0.001), math.log(1000.0)))


class RulesError(ValueError):
    """Rules that are missing, unreadable, or cannot be fitted."""


#: Nodes and weights of the Gauss-Hermite quadrature of an expectation over a standard normal.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(64)


class Rule(Protocol):
    """How two scores become a verdict."""

    @property
    def slope(self) -> float:
        """Logits of margin for a point of difference."""

    def probabilities(self, differences: Array, spreads: Array | None = None) -> Array:
        """Of first, second and tie [N, 3].

        Args:
            differences: scores of first less second, [N].
            spreads: their standard deviations by what the judge says of its own scores, [N].
        """


@dataclass(frozen=True)
class RaoKupper:
    """How the difference of two scores becomes a verdict.

    slope: logits of margin for a point of difference.
    tie_odds: k of `factory.alignment.losses.bradley_terry_with_ties`, above 1; at 1 there are no
        ties, and the model is Bradley and Terry's.
    """

    slope: float
    tie_odds: float

    def probabilities(self, differences: Array, spreads: Array | None = None) -> Array:
        """Of first, second and tie [N, 3], from scores of first less second [N]."""
        margin = self.slope * np.asarray(differences, dtype=np.float64)
        first = 1.0 / (1.0 + self.tie_odds * np.exp(-margin))
        second = 1.0 / (1.0 + self.tie_odds * np.exp(margin))
        tie = (self.tie_odds**2 - 1.0) * (first * second)  # the same whichever side comes first
        return np.stack([first, second, tie], axis=-1)


@dataclass(frozen=True)
class UncertainBradleyTerry:
    """Bradley and Terry's model, expected over what a judge does not know of its own scores: two
    independent Gaussians, whose standard deviations it gives (HPSv3's `uncertainty` loss,
    MizzenAI/HPSv3 at d232ff86, hpsv3/model/qwen2vl_trainer.py, which draws samples of them).
    It knows no ties.
    """

    slope: float

    def probabilities(self, differences: Array, spreads: Array | None = None) -> Array:
        """Of first, second and tie [N, 3], from scores of first less second [N] and the standard
        deviations of these differences [N].

        Raises:
            RulesError: there are none.
        """
        if spreads is None:
            raise RulesError("this rule needs the standard deviations of the scores")
        means = np.asarray(differences, dtype=np.float64)[..., None]
        margin = self.slope * (means + np.asarray(spreads, dtype=np.float64)[..., None] * _NODES)
        first = scipy.special.expit(margin) @ _WEIGHTS / _WEIGHTS.sum()
        second = scipy.special.expit(-margin) @ _WEIGHTS / _WEIGHTS.sum()
        return np.stack([first, second, np.zeros_like(first)], axis=-1)


def fit(differences: Sequence[float] | Array, p: Sequence[Sequence[float]] | Array) -> RaoKupper:
    """The rule that is nearest to given verdicts, by cross-entropy.

    Args:
        differences: scores of first less second, [N].
        p: probabilities of first, second and tie, [N, 3].

    Raises:
        RulesError: there are none, or a number is not finite.
    """
    d, wanted = np.asarray(differences, dtype=np.float64), np.asarray(p, dtype=np.float64)
    if not len(d) or not (np.isfinite(d).all() and np.isfinite(wanted).all()):
        raise RulesError("a rule is fitted to one duel or more, of finite numbers")

    def cross_entropy(at: Array) -> float:
        said = RaoKupper(math.exp(at[0]), 1.0 + math.exp(at[1])).probabilities(d)
        return float(-(wanted * np.log(np.maximum(said, 1e-12))).sum(axis=-1).mean())

    found = scipy.optimize.minimize(
        cross_entropy, x0=(0.0, 0.0), bounds=_BOUNDS, method="Nelder-Mead"
    )
    return RaoKupper(math.exp(found.x[0]), 1.0 + math.exp(found.x[1]))


def met_with_scores(scores: Sequence[Score], duels: Sequence[Duel]) -> list[tuple[Matchup, float]]:
    """The matchups of a group between candidates with a readable score each, and the difference of
    the two scores, first less second.
    """
    values = {one.candidate_id: one.value for one in scores if one.error is None}
    return [
        (one, values[one.first_id] - values[one.second_id])
        for one in matchups([duel for duel in duels if is_readable(duel)])
        if one.first_id in values and one.second_id in values
    ]


def save(rules: Mapping[Task, RaoKupper], directory: Path) -> None:
    """Write `verdict_rules.json` beside the weights."""
    told = {task: asdict(one) for task, one in rules.items()}
    (directory / FILE).write_text(json.dumps(told, indent=2) + "\n")


def load(directory: Path) -> dict[Task, RaoKupper] | None:
    """Read the `verdict_rules.json` of a model directory; None for a judge with duels of its own.

    Raises:
        RulesError: unreadable.
    """
    path = directory / FILE
    if not path.is_file():
        return None
    try:
        raw = json.loads(path.read_text())
        return {
            task: RaoKupper(float(one["slope"]), float(one["tie_odds"]))
            for task, one in raw.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RulesError(f"{path}: no rules: {error!r}") from None


@dataclass(frozen=True)
class JudgeByScores:
    """A judge of which only the scores are asked."""

    judge: Judge
    rules: Mapping[Task, Rule]

    @property
    def name(self) -> str:
        return self.judge.name

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> SittingByScores:
        """Take in one prompt's candidates.

        Raises:
            RulesError: the judge was not made for this task.
        """
        if prompt.task not in self.rules:
            known = ", ".join(self.rules)
            raise RulesError(f"{self.name} was made for {known}, not for {prompt.task}")
        sitting = self.judge.sit(prompt, candidates)
        return SittingByScores(sitting, len(candidates), self.rules[prompt.task])


class SittingByScores:
    """One prompt's candidates before such a judge; each is scored once."""

    def __init__(self, sitting: Sitting, num: int, rule: Rule) -> None:
        self._sitting = sitting
        self._rule = rule
        self._num = num
        self._scores: dict[int, Score] = {}

    def scores(self, indices: Sequence[int] | None = None) -> list[Score]:
        wanted = range(self._num) if indices is None else indices
        missing = sorted(set(wanted) - self._scores.keys())
        if missing:
            some = None if len(missing) == self._num else missing
            self._scores |= dict(zip(missing, scores_of(self._sitting, some), strict=True))
        return [self._scores[index] for index in wanted]

    def about(self, prompt: Prompt) -> SittingByScores:
        return SittingByScores(self._sitting.about(prompt), self._num, self._rule)

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        self.scores([side for match in matches for side in match])  # those that are missing
        sides = [(self._scores[first], self._scores[second]) for first, second in matches]
        differences = np.array([first.value - second.value for first, second in sides])
        spreads = np.array([math.hypot(first.spread, second.spread) for first, second in sides])
        found = self._rule.probabilities(differences.reshape(-1), spreads.reshape(-1)).tolist()
        unknown = (math.nan, math.nan, math.nan)
        made = []
        for (first, second), p in zip(sides, found, strict=True):
            error = first.error or second.error
            p_first, p_second, p_tie = p if error is None else unknown
            names = (first.candidate_id, second.candidate_id, first.judge)
            made.append(Duel(*names, p_first, p_second, p_tie, error))
        return made
