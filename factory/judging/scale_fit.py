"""Fitting how the scores of a scalar judge become verdicts, to what people preferred.

The rule is Rao & Kupper's (`factory.judging.by_scores`). Scores have any unit, so the fit is made
of differences divided by their own spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from factory.judging.by_scores import RaoKupper, RulesError, fit
from factory.judging.calibration import MIN_LABELS
from factory.statistics.intervals import Array, Interval, clustered_bootstrap
from schemas.rows import Preference

_OUTCOMES: tuple[Preference, ...] = ("first", "second", "tie")
#: Logits for a spread of the differences below which scores say nothing of the labels: the least
#: that the fit can find is 0.02.
_NOTHING = 0.03


@dataclass(frozen=True)
class FittedScale:
    """A rule, and what it was fitted to.

    slope: of the rule, in logits for a point, with an interval clustered by prompt.
    accuracy: of the sign of the difference on pairs that are no tie; it is not the fit's doing.
    """

    rule: RaoKupper
    slope: Interval
    accuracy: Interval
    num_pairs: int
    num_ties: int


def fit_scale(
    differences: Sequence[float],
    preferences: Sequence[Preference],
    prompts: Sequence[str],
    num_resamples: int = 100,
    seed: int = 0,
) -> FittedScale:
    """Fit a rule to labels.

    Args:
        differences: scores of first less second, [N], all finite.
        preferences: what people said of the two, [N].
        prompts: id of the prompt of each pair, [N].
        num_resamples: of prompts, for the interval of the slope.
        seed: of the resampling.

    Raises:
        RulesError: too few pairs, or scores that say nothing of the labels.
    """
    d = np.asarray(differences, dtype=np.float64)
    if len(d) < MIN_LABELS:
        raise RulesError(f"{len(d)} pair(s), and a scale is fitted to {MIN_LABELS} or more")
    spread = float(np.sqrt(np.mean(d**2)))
    if not spread > 0:
        raise RulesError("all pairs have equal scores")
    outcomes = np.array([[one == outcome for outcome in _OUTCOMES] for one in preferences])
    wanted = outcomes.astype(np.float64)
    rule = _rescaled(fit(d / spread, wanted), spread)
    if rule.slope * spread < _NOTHING:
        raise RulesError(
            "scores and labels do not go together: no scale makes the judge's scores say what "
            "people said"
        )
    names, codes = np.unique(np.asarray(prompts), return_inverse=True)
    rows = [np.flatnonzero(codes == code) for code in range(len(names))]
    rng = np.random.default_rng(seed)
    slopes = []
    for _ in range(num_resamples):
        drawn = np.concatenate([rows[at] for at in rng.integers(0, len(rows), len(rows))])
        slopes.append(_rescaled(fit(d[drawn] / spread, wanted[drawn]), spread).slope)
    low, high = np.percentile(slopes, [2.5, 97.5])
    return FittedScale(
        rule,
        Interval(rule.slope, float(low), float(high)),
        clustered_bootstrap(_is_right(d, preferences), prompts, seed=seed),
        len(d),
        int(wanted[:, 2].sum()),
    )


def _rescaled(rule: RaoKupper, spread: float) -> RaoKupper:
    return RaoKupper(rule.slope / spread, rule.tie_odds)


def _is_right(differences: Array, preferences: Sequence[Preference]) -> Array:
    """1 or 0 for each pair, one half for equal scores, NaN for a tie of people."""
    signs = {"first": 1.0, "second": -1.0, "tie": np.nan}
    wanted = np.array([signs[one] for one in preferences])
    return np.where(np.isnan(wanted), np.nan, (np.sign(differences) * wanted + 1) / 2)
