"""What the parts about ranking share: groups of known quality before a simulated judge.

Errors are in standard deviations of true quality, and one of those is an eighth of the judge's
scale. A score 0.8, a duel 0.5, an error of 0.3 that a candidate's score and its duels share, 2
logits a standard deviation, and 1 logit for the side shown first: the noise by which the strategies
were chosen. Scores end where the scale does. Labels are of pairs of other prompts, and right.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from factory.ranking import FittedNoise, Match, Noise, Scale, Strategy, fit_noise
from schemas.rows import Duel, Group, Opinion, Prompt, Score
from tests.factory.simulated import JUDGE, candidates_of, duel, score

Array = npt.NDArray[np.float64]
TASK = "image_generation"
NUM_CANDIDATES = 8
#: Groups that are ranked by the scale-free defaults, before there is anything to fit.
NUM_PILOT = 64  # `produce.pilot`
NUM_LABELS = 500


@dataclass(frozen=True)
class World:
    """A judge and its scale. What errs is in standard deviations of quality.

    share: of the scale that a standard deviation is.
    """

    scale: Scale = field(default_factory=lambda: Scale.of(1.0, 5.0))
    score_sd: float = 0.8
    duel_sd: float = 0.5
    item_sd: float = 0.3
    logits: float = 2.0
    position: float = 1.0
    share: float = 1 / 8

    @property
    def noise(self) -> Noise:
        """The truth, as the code would say it."""
        return Noise(
            quality_sd=self.share,
            score_sd=self.score_sd * self.share,
            duel_sd=self.duel_sd * self.share,
            item_sd=self.item_sd * self.share,
            logits_per_share=self.logits / self.share,
            scale=self.scale,
        )


@dataclass(frozen=True)
class Draw:
    """One group: quality, what the judge sees, and the noise of all that it could be asked.

    quality, seen, score_noise: [N]; duel_noise: antisymmetric [N, N]. All of variance 1 but `seen`.
    """

    number: int
    quality: Array
    seen: Array
    score_noise: Array
    duel_noise: Array


def draws(world: World, num: int, seed: int, size: int = NUM_CANDIDATES) -> list[Draw]:
    """Groups of one seed: the same whatever the scale, so that comparisons are paired."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(num):
        quality = rng.standard_normal(size)
        seen = quality + world.item_sd * rng.standard_normal(size)
        above = np.triu(rng.standard_normal((size, size)), 1)
        found.append(Draw(number, quality, seen, rng.standard_normal(size), above - above.T))
    return found


def said_of(world: World, one: Draw, looks: float = 1.0) -> tuple[Prompt, list[Score], Callable]:
    """The prompt, the scores, and who answers matches.

    Args:
        looks: how often each candidate is scored, with fresh noise; the mean counts.
    """
    prompt = Prompt.of(f"prompt {one.number}")
    ids = [each.candidate_id for each in candidates_of(prompt, len(one.quality))]
    low, unit = world.scale.low, world.scale.unit
    noisy = one.seen + world.score_sd * one.score_noise / np.sqrt(looks)
    points = np.clip(low + unit * (0.5 + world.share * noisy), low, world.scale.high)
    scores = [score(each, float(value)) for each, value in zip(ids, points, strict=True)]

    def answer(matches: Sequence[Match]) -> list[Duel]:
        """Both orders share their noise, as they do for a deterministic model."""
        lead = one.seen[:, None] - one.seen[None, :] + world.duel_sd * one.duel_noise
        return [
            duel(ids[i], ids[j], float(world.logits * lead[i, j] + world.position))
            for i, j in matches
        ]

    return prompt, scores, answer


def judged(
    world: World, drawn: Sequence[Draw], strategy: Strategy, looks: float = 1.0
) -> list[Group]:
    """Each group judged as the strategy asks."""
    groups = []
    for one in drawn:
        prompt, scores, answer = said_of(world, one, looks)
        duels: list[Duel] = []
        while matches := strategy.plan(scores, duels):
            duels += answer(matches)
        candidates = candidates_of(prompt, len(scores))
        groups.append(Group(prompt, candidates, tuple(scores), tuple(duels)))
    return groups


def labelled(world: World, pairs: Sequence[Draw]) -> list[Opinion]:
    """What the judge makes of groups of two, and which of them is better."""
    opinions = []
    for one in pairs:
        prompt, scores, answer = said_of(world, one)
        sides = {each.candidate_id: str(at) for at, each in enumerate(scores)}
        duels = tuple(
            replace(each, first_id=sides[each.first_id], second_id=sides[each.second_id])
            for each in answer([(0, 1), (1, 0)])
        )
        told = tuple(replace(each, candidate_id=sides[each.candidate_id]) for each in scores)
        better = "first" if one.quality[0] > one.quality[1] else "second"
        name = f"label {one.number}"
        opinions.append(Opinion(name, prompt.prompt_id, TASK, {}, JUDGE, better, None, told, duels))
    return opinions


@dataclass(frozen=True)
class Ranked:
    """Groups of which noise was fitted as a run does it, and their orders by it."""

    groups: list[Group]
    fitted: FittedNoise
    strategy: Strategy

    @property
    def orders(self) -> list:
        return [self.strategy.order(one.scores, one.duels) for one in self.groups]


def ranked(
    world: World,
    drawn: Sequence[Draw],
    strategy_of: Callable[[Noise], Strategy],
    labels: Sequence[Opinion] = (),
    looks: float = 1.0,
) -> Ranked:
    """A pilot by the defaults, the rest by its noise, and all orders by that of all groups."""
    scales = {TASK: world.scale}
    num = min(NUM_PILOT, max(len(drawn) // 4, 20))
    first = judged(world, drawn[:num], strategy_of(Noise().on(world.scale)), looks)
    pilot = fit_noise(first, labels=labels, scales=scales).task(TASK).noise
    rest = judged(world, drawn[num:], strategy_of(pilot.on(world.scale)), looks)
    fitted = fit_noise([*first, *rest], labels=labels, scales=scales)
    noise = fitted.task(TASK).noise.on(world.scale)
    return Ranked([*first, *rest], fitted, strategy_of(noise))


def best_right(found: Ranked, drawn: Sequence[Draw]) -> float:
    """The share of groups whose first in the order is truly the best."""
    firsts = [order.ranking[0] for order in found.orders]
    return float(
        np.mean([first == one.quality.argmax() for first, one in zip(firsts, drawn, strict=True)])
    )


def true_margins(found: Ranked, drawn: Sequence[Draw]) -> Array:
    """True quality of the first less that of the last, in standard deviations [G]."""
    return np.array(
        [
            one.quality[order.ranking[0]] - one.quality[order.ranking[-1]]
            for order, one in zip(found.orders, drawn, strict=True)
        ]
    )


def pairs_of(size: int) -> list[Match]:
    """Each two candidates once."""
    return list(itertools.combinations(range(size), 2))
