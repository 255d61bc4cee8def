"""Fitting a judge's noise: on its own groups, by how its scores and its duels go together, and on
held-out labels, by how often it is right.

Spread, noise and logits of a share are those of the highest marginal likelihood over all groups
(`factory.ranking.likelihood`). Scores against duels alone leave one of these four free; what ties
it down are duels with a candidate in common, which bracket, ring and round robin all have. So that
little data gives no wild numbers, the logarithms of the ratios to the spread have a wide normal
prior around those of the defaults; a hundred groups outweigh it.

The error that a candidate's score and duels share is fitted last, to held-out labels: a judge that
claims P and is right less often sees something else than people do. A label is taken for the truth,
so what annotators err counts as the judge's error, and P(right) is that of agreeing with a label.
Where labels are missing that error is a share of the spread, assumed, and told as such. Left out:
labels that are ties, and labels of points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy

from factory.ranking.evidence import Said, statements
from factory.ranking.likelihood import Array, Statements, posterior
from factory.ranking.matchups import bound_of, is_readable, matchups
from factory.ranking.noise import FittedNoise, Fusion, Noise, Scale, TaskNoise
from factory.ranking.order import scores_of
from schemas.rows import Duel, Group, Opinion, Score, Task

#: Fewer groups than this fit nothing, and fewer labels do not tell the judge's own error.
MIN_GROUPS = 20
MIN_LABELS = 50
#: More groups than this add nothing that would be seen in an order; they are taken evenly spaced.
MAX_GROUPS = 1000
#: Standard deviation of the logarithm of each ratio to the spread, around that of the defaults.
PRIOR_SD = 1.0
_LEAST, _MOST = 1e-3, 10.0  # of any sd, in shares
_MIN_RATIO, _MAX_RATIO = 0.02, 50.0  # of noise, and of log-odds, to the spread
_STEP = 1e-4  # of the logarithm of a parameter, for slopes by differences


def fit_noise(
    groups: Sequence[Group],
    *,
    labels: Sequence[Opinion] = (),
    scales: Mapping[Task, Scale] | None = None,
    fusion: Fusion | None = None,
) -> FittedNoise:
    """The noise of the judge that said all this, by task.

    Args:
        groups: as judged, any strategy's. With none of a task, its labels stand for them.
        labels: the judge's opinions of held-out labels of two sides.
        scales: of its scores, by task; scores of a task that is missing are shares as they are.
        fusion: how verdicts are read; as words where all of a task's are sure, if not given.

    Returns:
        The noise of each task that groups or labels are of; what could not be fitted is derived
        from the defaults, and told in `why`.
    """
    by_task: dict[Task, list[Said]] = {}
    for group in groups:
        if group.error is None:
            by_task.setdefault(group.prompt.task, []).append((scores_of(group), group.duels))
    told: dict[Task, list[Opinion]] = {}
    for one in labels:
        if one.preference is not None and one.error is None:
            told.setdefault(one.task, []).append(one)
    tasks = {
        task: _fit_task(
            by_task.get(task, []), told.get(task, []), (scales or {}).get(task, Scale()), fusion
        )
        for task in sorted({*by_task, *told})
    }
    return FittedNoise(_judge(groups, labels), tasks)


def _fit_task(
    said: Sequence[Said], labels: Sequence[Opinion], scale: Scale, fusion: Fusion | None
) -> TaskNoise:
    pairs = [(_sides(one), one.duels) for one in labels]
    used = _spaced(said) or _spaced(pairs)
    how = fusion or ("davidson" if _is_worded(used) else "least_squares")
    start = Noise(fusion=how, scale=scale)
    start = _with_position(used, start)
    given = statements(used, start)
    by_groups = _fit(given, start)
    if not said:
        by_groups = replace(by_groups, why="; ".join(filter(None, (_NO_GROUPS, by_groups.why))))
    if not labels or not by_groups.is_fitted:
        return _assumed(by_groups)
    return _with_labels(by_groups, pairs, labels)


_NO_GROUPS = "no groups: spread and noise are those of the labelled pairs"


def _judge(groups: Sequence[Group], labels: Sequence[Opinion]) -> str:
    for group in groups:
        for score in group.scores:
            return score.judge
        for duel in group.duels:
            return duel.judge
    return labels[0].judge if labels else ""


def _with_position(said: Sequence[Said], start: Noise) -> Noise:
    """What the side shown first gains, by the matchups of which both orders were measured."""
    found = [
        one.logit_position
        for _, duels in said
        for one in matchups(duels)
        if one.bounds == (None, None)
    ]
    if start.fusion == "davidson" or len(found) < MIN_GROUPS:
        return start
    return replace(start, position=float(np.mean(found)), position_sd=float(np.std(found)))


def _spaced(said: Sequence[Said]) -> list[Said]:
    """At most `MAX_GROUPS`, evenly spaced."""
    if len(said) <= MAX_GROUPS:
        return list(said)
    return [said[at] for at in np.linspace(0, len(said) - 1, MAX_GROUPS).astype(int)]


def _sides(opinion: Opinion) -> list[Score]:
    """A score of each side; one that says nothing where none was asked for."""
    known = {one.candidate_id: one for one in opinion.scores}
    return [
        known.get(side) or Score(side, opinion.judge, math.nan, math.nan) for side in ("0", "1")
    ]


def _is_worded(said: Sequence[Said]) -> bool:
    """Whether every verdict is sure of itself, as one in words is; also where a temperature or a
    slice's factor has been at it since, which leaves the mark of what was clipped.
    """
    found = [one for _, duels in said for one in duels if is_readable(one)]
    return bool(found) and all(_is_sure(one) or bound_of(one) is not None for one in found)


def _is_sure(duel: Duel) -> bool:
    return max(duel.p_first, duel.p_second, duel.p_tie) == 1.0


# ------------------------------------------------------------------------- scores and duels


@dataclass(frozen=True)
class _Free:
    """The parameters of a fit, as one vector.

    names: `seen`, the logarithm of the spread of what is seen; fields of `Noise`, the logarithm of
        their ratio to it (of logits to its inverse); `p_tie`, its log-odds; `position`, in logits.
    start: the defaults, whose ratios stand for what is not fitted.
    """

    names: tuple[str, ...]
    start: Noise

    def centre(self, name: str) -> float:
        """Where the prior of a parameter is; that of the spread is flat."""
        if name == "position":
            return self.start.position
        if name == "p_tie":
            return float(scipy.special.logit(min(max(self.start.p_tie, 0.01), 0.99)))
        value, spread = float(getattr(self.start, name)), self.start.seen_sd
        return math.log(value * spread if name == "logits_per_share" else value / spread)

    def value(self, name: str, at: Array) -> float:
        return float(at[self.names.index(name)]) if name in self.names else self.centre(name)

    def noise(self, at: Array, *, is_scored: bool) -> Noise:
        """With all of the spread as quality: no error of the judge's own is taken out of it yet."""
        spread = math.exp(self.value("seen", at))
        logits = math.exp(self.value("logits_per_share", at)) / spread
        return replace(
            self.start,
            quality_sd=spread,
            item_sd=0.0,
            score_sd=spread * math.exp(self.value("score_sd", at)),
            duel_sd=spread * math.exp(self.value("duel_sd", at)),
            # By duels alone a share is whatever has these many logits: nothing else tells.
            logits_per_share=logits if is_scored else self.start.logits_per_share,
            p_tie=float(scipy.special.expit(self.value("p_tie", at))),
            position=self.value("position", at),
        )

    def bounds(self) -> list[tuple[float, float]]:
        limits = {
            "seen": (math.log(_LEAST), math.log(_MOST)),
            "p_tie": (-8.0, 8.0),
            "position": (-6.0, 6.0),
        }
        ratio = (math.log(_MIN_RATIO), math.log(_MAX_RATIO))
        return [limits.get(name, ratio) for name in self.names]

    def log_prior(self, at: Array) -> float:
        away = [
            (value - self.centre(name)) / (2 * PRIOR_SD if name == "position" else PRIOR_SD)
            for name, value in zip(self.names, at, strict=True)
            if name != "seen"
        ]
        return -float(np.sum(np.square(away))) / 2


def _fit(given: Statements, start: Noise) -> TaskNoise:
    """The noise with `quality_sd` that of what is seen, and `item_sd` 0."""
    useful = given.rows(np.flatnonzero(given.is_in.sum(axis=1) > 1))
    counts = len(useful.scores), int(useful.is_met.sum())
    if counts[0] < MIN_GROUPS:
        why = f"{counts[0]} group(s) of two or more judged candidates, and {MIN_GROUPS} are needed"
        return TaskNoise(start, {}, *counts, why=why)
    has_duels, is_scored = counts[1] >= MIN_GROUPS, bool(useful.is_scored.any())
    spread = _within(useful) if is_scored else start.seen_sd
    if spread < _LEAST:
        return TaskNoise(start, {}, *counts, why="all candidates have the same score")
    names = ["seen"]
    names += ["score_sd"] if is_scored and has_duels else []
    names += ["duel_sd"] if has_duels else []
    names += ["logits_per_share"] if is_scored and has_duels else []
    names += ["p_tie", "position"] if has_duels and useful.votes is not None else []
    free = _Free(tuple(names), start)

    def by_group(at: Array) -> Array:
        noise = free.noise(at, is_scored=is_scored)
        return posterior(useful, noise).log_marginal

    def loss(at: Array) -> float:
        return -(float(by_group(at).sum()) + free.log_prior(at))

    first = np.array([free.centre(name) if name != "seen" else math.log(spread) for name in names])
    try:
        found = scipy.optimize.minimize(
            loss, first, method="L-BFGS-B", bounds=free.bounds(), options={"eps": _STEP}
        )
    except np.linalg.LinAlgError as error:
        return TaskNoise(start, {}, *counts, why=f"the fit has failed ({error})")
    if not np.isfinite(found.fun) or not np.isfinite(found.x).all():
        why = f"the fit has not converged ({found.message})"
        return TaskNoise(start, {}, *counts, why=why)
    why = ""
    if not has_duels:
        why = (
            f"{counts[1]} duel(s), and {MIN_GROUPS} are needed to tell noise from spread: their "
            "ratio is that of the defaults"
        )
    elif not is_scored:
        why = "no scores: a share is what has as many logits as the defaults say"
    noise = free.noise(found.x, is_scored=is_scored)
    return TaskNoise(noise, _errors(by_group, found.x, names), *counts, is_fitted=True, why=why)


def _within(given: Statements) -> float:
    """Standard deviation of scores within their groups, in shares."""
    num = given.is_scored.sum(axis=1)
    about = np.where(given.is_scored, given.scores - given.centre[:, None], 0.0)
    return math.sqrt(float((about**2).sum()) / max(int((num - 1).clip(0).sum()), 1))


def _errors(
    by_group: Callable[[Array], Array], at: Array, names: Sequence[str]
) -> dict[str, float]:
    """Standard errors of the parameters by the outer product of the groups' slopes (Berndt, Hall,
    Hall & Hausman 1974); NaN where that tells nothing.
    """
    steps = np.eye(len(at)) * _STEP
    slopes = np.stack([(by_group(at + one) - by_group(at - one)) / (2 * _STEP) for one in steps])
    information = slopes @ slopes.T
    try:
        variances = np.diag(np.linalg.inv(information))
    except np.linalg.LinAlgError:
        variances = np.full(len(at), math.nan)
    sds = np.sqrt(np.where(variances > 0, variances, math.nan)).tolist()
    return dict(zip(names, sds, strict=True))


# ------------------------------------------------------------------------------------- labels


def _assumed(fitted: TaskNoise) -> TaskNoise:
    """With the defaults' share of the judge's own error in the spread of what is seen."""
    if not fitted.is_fitted:
        return fitted
    usual, spread = Noise(), fitted.noise.quality_sd
    kept = math.sqrt(usual.kept)
    noise = replace(
        fitted.noise, quality_sd=spread * kept, item_sd=spread * math.sqrt(1 - usual.kept)
    )
    return replace(fitted, noise=noise)


def _with_labels(fitted: TaskNoise, pairs: Sequence[Said], labels: Sequence[Opinion]) -> TaskNoise:
    """With the judge's own error as held-out labels tell it."""
    given = statements(pairs, fitted.noise)
    is_told = np.array([one.preference != "tie" for one in labels])
    is_told &= given.is_in.all(axis=1) if given.is_in.shape[1] == 2 else False
    num = int(is_told.sum())
    if num < MIN_LABELS:
        few = f"{num} label(s) with a winner, and {MIN_LABELS} are needed for the judge's own error"
        short = _assumed(fitted)
        return replace(short, num_labels=num, why="; ".join(filter(None, (fitted.why, few))))
    told = given.rows(np.flatnonzero(is_told))
    said = np.array(
        [1.0 if one.preference == "first" else -1.0 for one in labels if one.preference != "tie"]
    )[is_told[[one.preference != "tie" for one in labels]]]
    # Labelled pairs need not be as far apart as candidates of a group: they have a spread of
    # their own, and everything else is the judge's.
    spread, lead, variance = _of_pairs(told, fitted.noise)
    most = min(spread, fitted.noise.quality_sd) * 0.999

    def loss(item_sd: float) -> float:
        kept = 1 - item_sd**2 / spread**2
        sd = np.sqrt(kept**2 * variance + 2 * kept * item_sd**2)
        return -float(scipy.special.log_ndtr(said * kept * lead / sd).sum())

    found = scipy.optimize.minimize_scalar(loss, bounds=(1e-4 * most, most), method="bounded")
    item_sd = float(found.x)
    quality_sd = math.sqrt(fitted.noise.quality_sd**2 - item_sd**2)
    noise = replace(fitted.noise, quality_sd=quality_sd, item_sd=item_sd)
    return replace(fitted, noise=noise, num_labels=num, is_by_labels=True)


def _of_pairs(given: Statements, noise: Noise) -> tuple[float, Array, Array]:
    """The spread of labelled pairs; of each, how far the judge sees the first side ahead, and the
    variance of that.
    """

    def loss(log_spread: float) -> float:
        wide = replace(noise, quality_sd=math.exp(log_spread), item_sd=0.0)
        return -float(posterior(given, wide).log_marginal.sum())

    bounds = (math.log(_LEAST), math.log(_MOST))
    spread = math.exp(scipy.optimize.minimize_scalar(loss, bounds=bounds, method="bounded").x)
    found = posterior(given, replace(noise, quality_sd=spread, item_sd=0.0))
    covariance = np.linalg.inv(found.precision)
    lead = found.mode[:, 0] - found.mode[:, 1]
    variance = covariance[:, 0, 0] + covariance[:, 1, 1] - 2 * covariance[:, 0, 1]
    return spread, lead, variance
