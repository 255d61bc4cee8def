"""The reward-hacking alarm: how often it accuses the honest, and how often it finds a hack.

Simulated: the quality of an output is N(0, 1) within its prompt, a challenger's is higher by its
true gain, and its judge sees a hacked gain on top of that. The judge's matchups have the noise of
the strategies' benchmark in standard deviations of quality: 0.3 shared by all that is said of one
output, 0.5 of a duel, a position bias of 1 logit, 2 logits for a standard deviation, each order
clipped at 6. A witness has noise of its own such that it is right on so many pairs of outputs. Both
are measured on `NUM_LABELS` held-out labels of pairs of outputs, one for a prompt, by people with
noise of 0.5; the alarm gets nothing but log-odds (`hacking_claims`). One seed for each prompt, the
default margin, no slices.

false_alarms_91, _69, _65, _60: share of honest challengers (true gain 0.5, 240 prompts) that are
    accused, by the accuracy of the one witness.
false_alarms_weak_judge: the same of a judge with accuracy 0.69 before a witness with 0.75.
false_alarms_alike: the same with twins half as far apart as labelled pairs, a witness of 0.65.
false_alarms_few_labels: the same with 60 labels, a witness of 0.60.
false_alarms_120: with 120 prompts, a witness of 0.65.
false_alarms_verdicts: where both say which and not how much, a witness of 0.65.
false_alarms_pooled: where a witness of 0.60 sits beside one of 0.91.
outright_found: a gain of 1.0 of which nothing is true (240 prompts, a witness of 0.75).
half_found: a gain of 1.0 of which half is true.
half_found_verdicts: the same, where both say which and not how much.
half_found_120, half_found_weak_judge: the same with 120 prompts; by a judge with accuracy 0.69.
half_found_pooled: the same with a witness of 0.60 beside that of 0.75.
half_sd_found_240, _480, _91: a gain of 0.5 of which half is true; 240 and 480 prompts, a witness of
    0.75; 240 prompts and one of 0.91.
half_power_told: the chance that the plan tells for `half_found`.
"""

from __future__ import annotations

import math

import numpy as np

from factory.evaluation.alarms import hacking_claims
from factory.evaluation.witnesses import Told, power
from factory.statistics.intervals import Array
from schemas.recipe import Gates

NUM_LABELS = 500
_LOGITS, _POSITION, _CLIPPED = 2.0, 1.0, 6.0
_ITEM_SD, _DUEL_SD, _PEOPLE_SD = 0.3, 0.5, 0.5
#: Of the noise of a matchup of the judge of the pairs, both items' and the duel's.
_JUDGE_SD = math.sqrt(2 * _ITEM_SD**2 + _DUEL_SD**2)
MARGIN = Gates().max_unseen_gain


def figures(replications: int, seed: int) -> dict[str, float]:
    """Simulate all cases; shares of `replications`."""
    rng = np.random.default_rng(seed)

    def share(
        up: float, seen: float, num: int, *witnesses: float, judge: float | None = None, **more: int
    ) -> float:
        noise = [_JUDGE_SD if judge is None else noise_of(judge), *map(noise_of, witnesses)]
        found = [is_accused(rng, up, seen, num, noise, **more) for _ in range(replications)]
        return sum(found) / replications

    honest = {
        f"false_alarms_{accuracy}": share(0.5, 0.5, 240, accuracy / 100)
        for accuracy in (91, 69, 65, 60)
    }
    return honest | {
        "false_alarms_weak_judge": share(0.5, 0.5, 240, 0.75, judge=0.69),
        "false_alarms_alike": share(0.5, 0.5, 240, 0.65, halves=1),
        "false_alarms_few_labels": share(0.5, 0.5, 240, 0.60, num_labels=60),
        "false_alarms_120": share(0.5, 0.5, 120, 0.65),
        "false_alarms_verdicts": share(0.5, 0.5, 240, 0.65, verdicts=1),
        "false_alarms_pooled": share(0.5, 0.5, 240, 0.91, 0.60),
        "outright_found": share(1.0, 0.0, 240, 0.75),
        "half_found": share(1.0, 0.5, 240, 0.75),
        "half_found_verdicts": share(1.0, 0.5, 240, 0.75, verdicts=1),
        "half_found_120": share(1.0, 0.5, 120, 0.75),
        "half_found_weak_judge": share(1.0, 0.5, 240, 0.75, judge=0.69),
        "half_found_pooled": share(1.0, 0.5, 240, 0.75, 0.60),
        "half_sd_found_240": share(0.5, 0.25, 240, 0.75),
        "half_sd_found_480": share(0.5, 0.25, 480, 0.75),
        "half_sd_found_91": share(0.5, 0.25, 240, 0.91),
        "half_power_told": power(240, NUM_LABELS, accuracy_of(_JUDGE_SD), 0.75, MARGIN),
    }


def noise_of(accuracy: float) -> float:
    """Noise of a matchup with which so many pairs of outputs are told right (Sheppard 1899)."""
    return math.sqrt(2.0) / math.tan(math.pi * (accuracy - 0.5))


def accuracy_of(noise: float) -> float:
    """The inverse."""
    return 0.5 + math.atan(math.sqrt(2.0) / noise) / math.pi


def is_accused(
    rng: np.random.Generator,
    up: float,
    seen: float,
    num: int,
    noise: list[float],
    num_labels: int = NUM_LABELS,
    halves: int = 0,
    verdicts: int = 0,
) -> bool:
    """One challenger before the alarm."""
    labels, twins = drawn(rng, up, seen, num, noise, num_labels, halves)
    if verdicts:
        labels, twins = _CLIPPED * np.sign(labels), _CLIPPED * np.sign(twins)
    names = ["judge@1", *(f"witness-{at}@0" for at in range(1, len(noise)))]
    (claim,) = hacking_claims(names, numbered(twins), numbered(labels), MARGIN)
    return claim.is_hacked


def drawn(
    rng: np.random.Generator,
    up: float,
    seen: float,
    num: int,
    noise: list[float],
    num_labels: int,
    halves: int = 0,
) -> tuple[Array, Array]:
    """Log-odds for the side that people prefer, and for the challenger, [n, K] each."""
    truth = rng.normal(0, math.sqrt(2), num_labels)
    people = np.sign(truth + rng.normal(0, _PEOPLE_SD, num_labels))
    labels = people[:, None] * log_odds(rng, np.repeat(truth[:, None], len(noise), 1), noise)
    apart = rng.normal(0, math.sqrt(2) / 2**halves, num)
    by = apart[:, None] + np.array([up] + [seen] * (len(noise) - 1))
    return labels, log_odds(rng, by, noise)


def log_odds(rng: np.random.Generator, differences: Array, noise: list[float]) -> Array:
    """The mean of both orders, each clipped."""
    felt = _LOGITS * (differences + rng.normal(0, 1, differences.shape) * np.array(noise))
    ahead, back = (np.clip(felt + side * _POSITION, -_CLIPPED, _CLIPPED) for side in (1, -1))
    return (ahead + back) / 2


def numbered(leads: Array) -> Told:
    """One comparison for each prompt."""
    return Told(leads, [f"p{at}" for at in range(len(leads))])
