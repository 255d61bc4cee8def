"""Several judges as one: what their verdicts say together, and how much each is listened to.

    members' opinions on held-out labels -> fit -> weights (`panel.json`)
    members' scores and duels of a group, weights -> one score and one duel in the place of each

**Duels.** The log-odds of a member's duel, x_i (a tie counts half), is what people say, y =
±1, times the member's own strength a_i, and an error: x_i = a_i y + e_i. Errors of members
are correlated, since judges like the same pictures wrongly. Of all weighted sums of the x_i,
the one with the largest expected margin per standard deviation of error has the weights
S⁻¹ a, with S the covariance of the errors (Fisher's discriminant; for forecasts Bates &
Granger 1969, "The combination of forecasts"). S is shrunk towards its diagonal by the
intensity of Schäfer & Strimmer (2005, "A shrinkage approach to large-scale covariance matrix
estimation", target D), since a correlation of few labels is mostly noise. A member whose
weight would be negative is left out and the others are weighed again: a judge that helps only
by being subtracted does so by an accident of few labels. The sum is made into log-odds by one
slope, fitted to the same labels by logistic regression through the origin. Without labels
every member counts alike and the log-odds are averaged (the logarithmic opinion pool of
Genest & Zidek 1986).

**Scores.** A member's score becomes a share of its scale; or, where labels have told mean and
spread of each member's scores, its distance from its mean in standard deviations, brought to
the mean and the spread that the members' shares have together. Shares are averaged by the
same weights, and told on the panel's scale.

A panel is all of its members. Where one of them could not be read, the fused verdict is an
error that names it: verdicts of fewer members lie elsewhere, and a group that mixed both
would rank candidates by who was asked about them. What the others said is kept. Left out: who
asks the members (`panel_judge`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import scipy

from factory.ranking.matchups import (
    MAX_LOGIT,
    bound_of,
    is_readable,
    log_odds,
    matchup,
    meeting,
    score_of,
    slices,
)
from factory.statistics.intervals import Array
from schemas.rows import Duel, Group, Opinion, Score, Task

FILE = "panel.json"
#: From fewer labelled pairs without ties of a task, its members are weighed alike.
MIN_PAIRS = 50
#: A slope is looked for between a hundredth and a hundred of what the sum says.
_SLOPES = (math.log(0.01), math.log(100.0))


class PanelError(ValueError):
    """Weights that are missing, unreadable or those of other members."""


@dataclass(frozen=True)
class TaskWeights:
    """How the members of a panel are listened to about one task, in their order.

    weights: of the members' log-odds, before the slope; of scores by their shares of the sum of
        weights times `deviation`.
    deviation: of each member's log-odds, by which they are comparable.
    slope: from the weighted sum to log-odds.
    centre, spread: mean and standard deviation of each member's scores, as it gives them; NaN where
        too few were read.
    num_pairs: labelled pairs without ties that this was fitted on; 0 where the members count alike.
    correlation: of the members' errors, as estimated and shrunk. It includes how hard a pair is for
        anybody, which adds a multiple of a aᵀ to S and so changes no weight.
    """

    weights: tuple[float, ...]
    deviation: tuple[float, ...]
    slope: float = 1.0
    centre: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    num_pairs: int = 0
    correlation: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def alike(cls, num: int) -> TaskWeights:
        """Of members that nothing is known of."""
        return cls((1.0 / num,) * num, (1.0,) * num)

    @property
    def shares(self) -> Array:
        """Of each member in the whole, [M], summing to one."""
        counted = np.asarray(self.weights)
        return cast(Array, counted / counted.sum())

    def margins(self, log_odds: Array) -> Array:
        """The panel's log-odds [N], from those of its members [N, M]."""
        standardised = log_odds / np.asarray(self.deviation)
        return cast(Array, self.slope * (standardised @ np.asarray(self.weights)))


@dataclass(frozen=True)
class PanelWeights:
    """Weights by task, and whose they are.

    members: names of the judges, without versions, in order.
    """

    members: tuple[str, ...]
    tasks: Mapping[Task, TaskWeights] = field(default_factory=dict)

    def task(self, task: Task) -> TaskWeights:
        """Those of one task; of one without labels, all alike."""
        return self.tasks.get(task) or TaskWeights.alike(len(self.members))

    def to_json(self) -> str:
        told = {"members": self.members, "tasks": {k: asdict(v) for k, v in self.tasks.items()}}
        return json.dumps(told, indent=2) + "\n"

    @classmethod
    def read(cls, text: str, source: str, members: Sequence[str]) -> PanelWeights:
        """From the text of a file.

        Args:
            text: as `to_json` wrote it.
            source: names the file in messages.
            members: of the panel that is to be weighed by it, in order.

        Raises:
            PanelError: it is none, or of other members.
        """
        try:
            raw = json.loads(text)
            found = tuple(map(str, raw["members"]))
            tasks = {task: _task(one, len(found)) for task, one in raw["tasks"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PanelError(f"{source}: no weights of a panel: {error!r}") from None
        if found != tuple(members):
            raise PanelError(
                f"{source}: weighs {', '.join(found)}, and the members of this panel are "
                f"{', '.join(members)}: fit it anew (`python -m jobs.panel`)"
            )
        return cls(found, cast(dict[Task, TaskWeights], tasks))

    @classmethod
    def load(cls, path: Path, members: Sequence[str]) -> PanelWeights:
        """From a file. Raises as `read`."""
        try:
            text = path.read_text()
        except (OSError, ValueError) as error:
            raise PanelError(f"{path}: cannot be read: {error}") from None
        return cls.read(text, str(path), members)


def _task(raw: Mapping[str, Any], num: int) -> TaskWeights:
    rows = {key: tuple(float(one) for one in raw[key]) for key in ("weights", "deviation")}
    rows |= {key: tuple(float(one) for one in raw[key]) for key in ("centre", "spread")}
    correlation = tuple(tuple(float(one) for one in row) for row in raw["correlation"])
    if any(len(one) != num for one in rows.values()) or min(rows["weights"]) < 0:
        raise ValueError(f"weights are to be {num} numbers, none of them negative")
    if not sum(rows["weights"]) > 0 or not min(rows["deviation"]) > 0:
        raise ValueError("nobody would be listened to")
    slope, num_pairs = float(raw["slope"]), int(raw["num_pairs"])
    return TaskWeights(slope=slope, num_pairs=num_pairs, correlation=correlation, **rows)


# ------------------------------------------------------------------------------------- fitting


@dataclass(frozen=True)
class Asked:
    """What the members say of labelled pairs that all of them could read.

    margins: log-odds of each member that the first side is better, both orders together, [N, M].
    said: what people say, 1 for the first side, -1 for the second and 0 for a tie, [N].
    prompts: of each label, of length N.
    num_unread: labels of pairs that some member could not read.
    """

    margins: Array
    said: Array
    prompts: tuple[str, ...]
    num_unread: int = 0


def fit(members: Mapping[str, Sequence[Opinion]]) -> PanelWeights:
    """The weights by what each member makes of the same held-out labels.

    Args:
        members: opinions by the name of the judge, in the order of the panel.

    Raises:
        PanelError: fewer than two members.
    """
    if len(members) < 2:
        raise PanelError("a panel has two members or more")
    by_task = [slices(opinions) for opinions in members.values()]
    tasks: dict[Task, TaskWeights] = {}
    for task in sorted({task for one in by_task for task in one}):
        opinions = [one.get(task, []) for one in by_task]
        fitted = fit_task(asked_of(opinions))
        if fitted is not None:
            centre, spread = zip(*(_moments(one) for one in opinions), strict=True)
            tasks[cast(Task, task)] = _with_scores(fitted, centre, spread)
    return PanelWeights(tuple(members), tasks)


def _with_scores(
    one: TaskWeights, centre: tuple[float, ...], spread: tuple[float, ...]
) -> TaskWeights:
    fields = {**vars(one), "centre": centre, "spread": spread}
    return TaskWeights(**fields)


def asked_of(members: Sequence[Sequence[Opinion]]) -> Asked:
    """What all members made of the pairs among their opinions, label by label."""
    found = [{one.label_id: one for one in opinions} for opinions in members]
    margins, said, prompts, num_unread = [], [], [], 0
    for label_id, opinion in found[0].items():
        if opinion.preference is None:
            continue
        met = [meeting(one[label_id]) if label_id in one else None for one in found]
        if any(one is None for one in met):
            num_unread += 1
            continue
        margins.append([one.logit for one in met if one is not None])
        said.append({"first": 1.0, "second": -1.0, "tie": 0.0}[opinion.preference])
        prompts.append(opinion.prompt_id)
    table = np.array(margins, dtype=np.float64).reshape(len(margins), len(members))
    return Asked(table, np.array(said), tuple(prompts), num_unread)


def fit_task(asked: Asked) -> TaskWeights | None:
    """The weights for one task; None where too few pairs without ties were labelled, or where no
    member is better than chance on them.
    """
    is_told = asked.said != 0
    x, y = asked.margins[is_told], asked.said[is_told]
    if len(y) < MIN_PAIRS:
        return None
    deviation = np.sqrt((x**2).mean(axis=0))
    if not (deviation > 0).all():
        return None
    x = x / deviation
    strength = (x * y[:, None]).mean(axis=0)
    errors = x * y[:, None] - strength  # told from the side that people prefer
    covariance = shrunk(errors)
    weights = _non_negative(strength, covariance)
    if weights is None:
        return None
    slope = _slope((x @ weights) * y)
    sd = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(sd, sd)
    return TaskWeights(
        tuple(weights.tolist()),
        tuple(deviation.tolist()),
        slope,
        (math.nan,) * len(weights),
        (math.nan,) * len(weights),
        len(y),
        tuple(tuple(row) for row in correlation.tolist()),
    )


def shrunk(errors: Array) -> Array:
    """The covariance of columns [N, M], its correlations shrunk towards none (Schäfer & Strimmer
    2005, target D: intensity Σ Var(r_ij) / Σ r_ij², at most 1), [M, M].
    """
    num = len(errors)
    centred = errors - errors.mean(axis=0)
    sd = np.sqrt((centred**2).sum(axis=0) / (num - 1))
    z = centred / np.where(sd > 0, sd, 1.0)
    products = z[:, :, None] * z[:, None, :]
    mean = products.mean(axis=0)
    r = num / (num - 1) * mean
    variance = num / (num - 1) ** 3 * ((products - mean) ** 2).sum(axis=0)
    off = ~np.eye(len(sd), dtype=bool)
    total = float((r[off] ** 2).sum())
    intensity = min(1.0, float(variance[off].sum()) / total) if total else 1.0
    r = np.where(off, (1 - intensity) * r, 1.0)
    floor = np.maximum(sd, 1e-6)  # a member without any error is trusted much, not without end
    return cast(Array, r * np.outer(floor, floor))


def _non_negative(strength: Array, covariance: Array) -> Array | None:
    """S⁻¹ a, normalised to a sum of one, without members that would count against what they say."""
    kept = np.flatnonzero(strength > 0)
    while len(kept):
        weights = np.linalg.solve(covariance[np.ix_(kept, kept)], strength[kept])
        if (weights > 0).all():
            whole = np.zeros(len(strength))
            whole[kept] = weights / weights.sum()
            return whole
        kept = np.delete(kept, int(weights.argmin()))
    return None


def _slope(right: Array) -> float:
    """Of log-odds per unit of the sum, from the sum told from the side that is right, [N]."""

    def loss(log_slope: float) -> float:
        return float(np.logaddexp(0.0, -math.exp(log_slope) * right).mean())

    return math.exp(scipy.optimize.minimize_scalar(loss, bounds=_SLOPES, method="bounded").x)


def _moments(opinions: Sequence[Opinion]) -> tuple[float, float]:
    """Mean and standard deviation of a member's scores of sides; NaN of fewer than two."""
    found = [score_of(one, side) for one in opinions for side in (0, 1)]
    values = [one.value for one in found if one is not None]
    if len(values) < 2:
        return math.nan, math.nan
    return float(np.mean(values)), float(np.std(values))


# -------------------------------------------------------------------------------------- fusing


def fused_duel(duels: Sequence[Duel], judge: str, weights: TaskWeights) -> Duel:
    """One duel of the same two sides in the order shown, of what each member says.

    Args:
        duels: one of each member, in order.
        judge: name@version of the panel.
        weights: of the task.
    """
    first, second = duels[0].first_id, duels[0].second_id
    bad = next((one for one in duels if not is_readable(one)), None)
    if bad is not None:
        why = f"{bad.judge}: {bad.error or 'no finite verdict'}"
        return Duel(first, second, judge, math.nan, math.nan, math.nan, why)
    (margin,) = weights.margins(np.array([[log_odds(one) for one in duels]]))
    margin = min(max(float(margin), -MAX_LOGIT), MAX_LOGIT)
    p_tie = float(weights.shares @ np.array([one.p_tie for one in duels]))
    # So that the log-odds with half of the tie on either side are the margin.
    p_first = float(np.clip(scipy.special.expit(margin) - p_tie / 2, 0.0, 1.0 - p_tie))
    # A member whose log-odds were clipped makes the sum "at least" so much.
    heard = [one for one, weight in zip(duels, weights.weights, strict=True) if weight > 0]
    bounds = {bound_of(one) for one in heard} - {None}
    bound = bounds.pop() if len(bounds) == 1 else None
    return Duel(first, second, judge, p_first, 1.0 - p_tie - p_first, p_tie, bound=bound)


@dataclass(frozen=True)
class Scale:
    """Lowest and highest score of a member; NaN of one that scores on no scale."""

    low: float = math.nan
    high: float = math.nan

    @property
    def is_known(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)


def fused_score(
    scores: Sequence[Score],
    judge: str,
    weights: TaskWeights,
    scales: Sequence[Scale],
    scale: Scale,
) -> Score:
    """One score of a candidate, of what each member says.

    Args:
        scores: one of each member, in order.
        judge: name@version of the panel.
        weights: of the task.
        scales: of the members.
        scale: of the panel.

    Raises:
        PanelError: a member scores on no scale, and nothing tells what its numbers mean.
    """
    candidate = scores[0].candidate_id
    bad = next((one for one in scores if one.error or not math.isfinite(one.value)), None)
    if bad is not None:
        why = f"{bad.judge}: {bad.error or 'the score is not a finite number'}"
        return Score(candidate, judge, math.nan, math.nan, why)
    width = scale.high - scale.low

    def mean(values: Sequence[float]) -> float:
        parts = [_share(one, index, weights, scales) for index, one in enumerate(values)]
        return scale.low + width * float(weights.shares @ np.array(parts))

    # What members get wrong goes together: their spreads are added, and not their squares.
    units = np.array([_unit(index, weights, scales) for index in range(len(scores))])
    spread = width * float(weights.shares @ (units * [one.spread for one in scores]))
    named = [name for name in scores[0].breakdown if all(name in one.breakdown for one in scores)]
    breakdown = {name: mean([one.breakdown[name] for one in scores]) for name in named}
    value = mean([one.value for one in scores])
    return Score(candidate, judge, value, spread, None, breakdown)


def _is_standardised(index: int, weights: TaskWeights) -> bool:
    known = weights.spread and all(map(math.isfinite, (*weights.centre, *weights.spread)))
    return bool(known) and weights.spread[index] > 0


def _share(value: float, index: int, weights: TaskWeights, scales: Sequence[Scale]) -> float:
    """A member's score as a share of the panel's scale."""
    if _is_standardised(index, weights):
        middle, width = _common(weights, scales)
        return middle + width * (value - weights.centre[index]) / weights.spread[index]
    scale = scales[index]
    if not scale.is_known:
        raise PanelError(
            f"member {index + 1} scores on no scale, and nobody has said what its numbers mean: "
            "fit the panel on held-out labels (`python -m jobs.panel`)"
        )
    return (value - scale.low) / (scale.high - scale.low)


def _unit(index: int, weights: TaskWeights, scales: Sequence[Scale]) -> float:
    """The share of the panel's scale that one point of a member is."""
    if _is_standardised(index, weights):
        return _common(weights, scales)[1] / weights.spread[index]
    return 1.0 / (scales[index].high - scales[index].low)


def _common(weights: TaskWeights, scales: Sequence[Scale]) -> tuple[float, float]:
    """Mean and standard deviation of the members' scores as shares of their scales: the mean over
    those that have one. Half of the scale and a quarter of it where none has.
    """
    known = [
        ((centre - one.low) / (one.high - one.low), spread / (one.high - one.low))
        for centre, spread, one in zip(weights.centre, weights.spread, scales, strict=True)
        if one.is_known
    ]
    if not known:
        return 0.5, 0.25
    middle, width = np.mean(known, axis=0).tolist()
    return middle, width


# ------------------------------------------------------------------------------- disagreement


def dissent(group: Group, chosen_id: str, rejected_id: str) -> float | None:
    """The share of a panel's members who prefer the second of two candidates: by their own duels of
    the two, both orders together, or by their scores where the two never met. A tie is half of a
    preference. None where no panel judged, or where a member said nothing of the two.
    """
    signed = [*(one.judge for one in group.member_scores), *(d.judge for d in group.member_duels)]
    names = list(dict.fromkeys(signed))
    leads = [_lead(group, name, chosen_id, rejected_id) for name in names]
    known = [one for one in leads if one is not None]
    if not known or len(known) < len(leads):
        return None
    return sum(1.0 if one < 0 else 0.5 if one == 0 else 0.0 for one in known) / len(known)


def _lead(group: Group, judge: str, chosen_id: str, rejected_id: str) -> float | None:
    """How far one member prefers the first of two candidates, in its own unit."""
    met = matchup([one for one in group.member_duels if one.judge == judge], chosen_id, rejected_id)
    if met is not None:
        return met.logit
    values = {
        one.candidate_id: one.value
        for one in group.member_scores
        if one.judge == judge and one.error is None and math.isfinite(one.value)
    }
    if chosen_id not in values or rejected_id not in values:
        return None
    return values[chosen_id] - values[rejected_id]
