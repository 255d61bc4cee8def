"""One number that makes a judge's log-odds right: its temperature, over all and slice by slice.

An over-confident judge seems to have an excess of everything that people value, so the excess is
measured after this. Left out: maps of more than one number, which belong to the judge itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import scipy

from factory.bias.observation import LabelObservation
from factory.bias.slices import OUTCOME, slices_of
from factory.statistics.intervals import Array
from schemas.rows import seed_of

ALL = ""
#: Labels that the temperature of all counts for in that of a slice.
PRIOR_LABELS = 50.0
_RANGE = (0.05, 20.0)
_ROUNDS = 50


def temperature(
    logits: Sequence[float] | Array,
    outcomes: Sequence[float] | Array,
    centre: float = 1.0,
    weight: float = 1.0,
) -> float:
    """The factor t for which sigmoid(t · logit) is the likeliest, between 1/20 and 20.

    The penalty weight · logit² · (log t - log centre)² / 8, with logit² its mean, is what `weight`
    labels that fit `centre` would add; it keeps the factor finite where a judge is always right.

    Args:
        logits: log-odds that the first side is better, [n].
        outcomes: 1 where it is, 0 where the second is, 0.5 for a tie, [n].
        centre: what the factor is pulled to.
        weight: how strongly, in labels.
    """
    x, y = np.asarray(logits, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    if len(x) == 0 or not np.any(x):
        return centre
    stiff = weight * float(np.mean(x**2)) * centre**2 / 4

    def slope(log_t: float) -> float:
        """Of the penalised loss over log t: rising."""
        t = np.exp(log_t)
        return float(
            ((scipy.special.expit(t * x) - y) * t * x).sum() + stiff * (log_t - np.log(centre))
        )

    low, high = np.log(_RANGE[0]), np.log(_RANGE[1])
    for _ in range(_ROUNDS):  # the loss falls, then rises: halving finds where it turns
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float(np.exp((low + high) / 2))


def temperatures(labels: Sequence[LabelObservation]) -> dict[str, float]:
    """The temperature over all labels ("") and for each slice, pulled to that of all."""
    read = [one for one in labels if one.matchup is not None]
    if not read:
        return {}
    logits = np.array([one.matchup.logit for one in read if one.matchup is not None])
    outcomes = np.array([OUTCOME[one.preference] for one in read])
    found = {ALL: temperature(logits, outcomes)}
    for key, value in slices_of({one.prompt_id: one.tags for one in read}.values()):
        inside = np.array([one.tags.get(key) == value for one in read])
        found[f"{key}={value}"] = temperature(
            logits[inside], outcomes[inside], found[ALL], PRIOR_LABELS
        )
    return found


def left_out(
    labels: Sequence[LabelObservation], num_folds: int = 5
) -> list[tuple[dict[str, float], list[int]]]:
    """Temperatures for every fold of prompts, fitted without it, and the places of its labels.

    What a temperature leaves of a calibration error is measured on labels that it was not fitted
    on; on its own it is too small. A prompt's fold depends on its id alone.
    """
    fold = [seed_of("temperature", one.prompt_id) % num_folds for one in labels]
    found = []
    for number in range(num_folds):
        inside = [at for at, of in enumerate(fold) if of == number]
        others = [one for one, of in zip(labels, fold, strict=True) if of != number]
        if inside:
            found.append((temperatures(others), inside))
    return found


def temperature_of(tags: Mapping[str, str], found: Mapping[str, float]) -> float:
    """The temperature for a prompt: the mean of its slices', else that of all, else 1."""
    own = [found[name] for name in (f"{k}={v}" for k, v in tags.items()) if name in found]
    if own:
        return float(np.exp(np.mean(np.log(own))))
    return found.get(ALL, 1.0)
