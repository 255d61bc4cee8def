"""The noise of a round's judge: by what candidates are ordered, and what the claims that come of it
are worth.

    what the groups at hand tell, and held-out labels of the judge's own error
    `noise.json` beside the judge, where groups are too few
    scale-free defaults, where there is none

The groups at hand come first since they alone know how far apart candidates of these prompts are.
A recipe's constants come before all of this. By what duels were planned: `jobs.pipelines.planning`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from actors.storage import local_copy, place
from factory.judging.calibration import Calibration
from factory.judging.fitting import part
from factory.ranking import (
    ASKS,
    FittedNoise,
    Noise,
    Scale,
    TaskNoise,
    fit_noise,
    noise_of,
)
from factory.ranking.claims import SURE, Claims, claims_on_labels
from jobs.pipelines.opinions import heldout_opinions, was_held_against_labels
from jobs.pipelines.planning import kept_noise
from jobs.pipelines.scales import sample_of, scales_of
from jobs.rounds.workspace import Round, judge, judge_address
from schemas.results import Estimate, TaskRanking
from schemas.rows import Opinion, Task


@dataclass(frozen=True)
class RoundNoise:
    """By what noise the groups of a round are ordered.

    fitted: by task, as it is written beside the pairs.
    sources: where it is from, in a sentence, by task.
    scales: of the judge's scores, by task.
    claims: what P(right) is worth, by task.
    """

    fitted: FittedNoise
    sources: Mapping[Task, str]
    scales: Mapping[Task, Scale]
    claims: Mapping[Task, Claims]

    @property
    def units(self) -> dict[Task, float]:
        """Points of the whole scale, by task."""
        return {task: one.unit for task, one in self.scales.items()}

    def noise(self, task: Task) -> Noise:
        """On the judge's scale."""
        return self.fitted.task(task).noise.on(self.scales.get(task, Scale()))


def noise_at(at: Round) -> RoundNoise:
    """The noise of the round's judge, by its groups and by held-out labels where there are some."""
    rank = at.recipe.curate.rank
    groups = sample_of(at)
    tasks = sorted({one.prompt.task for one in groups})
    scales = scales_of(at, groups)
    fit, rest = _labels(at)
    fitted, kept = FittedNoise(), None
    if not rank.is_in_points and rank.strategy != "random":
        # With verdicts in words where the recipe says so; else as the groups show.
        fitted = fit_noise(groups, labels=fit, scales=scales, fusion=rank.fusion)
        kept = kept_noise(at)
    found: dict[Task, TaskNoise] = {}
    sources: dict[Task, str] = {}
    for task in tasks:
        one, source = _chosen(task, fitted, kept, judge_of(at), ASKS[rank.strategy])
        if rank.strategy == "random":
            source = "none: pairs were drawn without any judgement"
        elif rank.is_in_points:
            source = "constants of the recipe in points of the scale; nothing was fitted"
        elif told := rank.noise.model_dump(exclude_none=True):
            source += f"; but {', '.join(told)} as the recipe says"
        found[task], sources[task] = one, source
    boot = at.recipe.calibration.num_resamples
    claims = {
        task: claims_on_labels(task, fit, rest, scales, boot, at.recipe.seed) for task in tasks
    }
    return RoundNoise(FittedNoise(judge_of(at), found), sources, scales, claims)


def judge_of(at: Round) -> str:
    """Who judged the round's groups."""
    judged = at.recipe.produce.judged
    return judge_address(at) if judged is None else judged.judge


def _chosen(
    task: Task, fitted: FittedNoise, kept: FittedNoise | None, judge: str, asks: Collection[str]
) -> tuple[TaskNoise, str]:
    own = fitted.task(task)
    if own.is_fitted:
        error = (
            f"its own error by {own.num_labels} held-out labels"
            if own.is_by_labels
            else "its own error assumed, since too few held-out labels tell it"
        )
        source = f"fitted on {own.num_groups} groups with {own.num_duels} matchups; {error}"
        if "score" not in asks:
            source += (
                "; nobody was asked for points, so the unit of margins is assumed: their signs and "
                "P(right) mean something, their size does not"
            )
        return own, source
    beside = (kept or FittedNoise()).task(task)
    if beside.tells_scores or (beside.is_fitted and "score" not in asks):
        return beside, f"noise.json of {judge}, by {beside.num_labels} held-out labels"
    return own, "scale-free defaults: too little was said to fit anything"


def _labels(at: Round) -> tuple[list[Opinion], list[Opinion]]:
    """What the judge makes of held-out labels: those to fit on, and those to report on; none of
    groups that came with their judgements, nor of a judge that was never held against any.
    """
    if at.recipe.produce.judged is not None or not was_held_against_labels(at):
        return [], []
    share = at.recipe.calibration.fit_share
    calibration = _calibration(at)
    parts: dict[str, list[Opinion]] = {"fit": [], "report": []}
    for one in heldout_opinions(at):
        parts[part(one, share)].append(_mapped(one, calibration))
    return parts["fit"], parts["report"]


def _calibration(at: Round) -> Calibration | None:
    """That which the groups' statements have been through; what is said of labels is raw."""
    if not at.recipe.produce.is_calibrated:
        return None
    return Calibration.load(local_copy(place(judge(at).path)))


def _mapped(one: Opinion, calibration: Calibration | None) -> Opinion:
    if calibration is None:
        return one
    scores = tuple(calibration.score(one.task, score) for score in one.scores)
    return replace(
        one, scores=scores, duels=tuple(calibration.duel(one.task, duel) for duel in one.duels)
    )


# ---------------------------------------------------------------------------------- for people


def rankings(at: Round, known: RoundNoise) -> tuple[TaskRanking, ...]:
    """What the page of the round shows."""
    return tuple(_ranking(at, task, known) for task in sorted(known.sources))


def _ranking(at: Round, task: Task, known: RoundNoise) -> TaskRanking:
    one = known.fitted.task(task)
    noise = noise_of(at.recipe.curate.rank, known.noise(task))
    sd = noise.quality_sd
    return TaskRanking(
        task,
        known.sources[task],
        noise.scale.unit,
        None if math.isinf(sd) else sd,
        noise.score_sd,
        noise.duel_sd,
        noise.item_sd,
        noise.logits_per_share,
        one.num_groups,
        one.num_duels,
        one.num_labels,
        one.why,
        _estimates(known.claims[task], judge_of(at)),
    )


def _estimates(claims: Claims, judge: str) -> tuple[Estimate, ...]:
    unknown = f"not known: {claims.why}" if claims.why else ""
    few = "" if claims.num_sure or claims.why else "not known: nothing is claimed so surely"
    return (
        Estimate(
            "calibration error of P(right)",
            None if math.isnan(claims.ece) else claims.ece,
            neutral=None,
            unit="share of labels",
            num=claims.num,
            by=judge,
            note=unknown,
        ),
        Estimate.of(
            f"right where P(right) is {SURE:g} or more",
            claims.right,
            None,
            "share of labels",
            claims.num_sure,
            by=judge,
            note=unknown or few,
        ),
    )


def figures(known: RoundNoise) -> dict[str, float]:
    """For manifest and tracking; what is not known is left out."""
    found: dict[str, float] = {}
    for task, claims in known.claims.items():
        one = known.fitted.task(task)
        said = {
            "p_right_error": claims.ece,
            "p_right_sure": claims.right.value,
            "noise_groups": float(one.num_groups),
            "noise_labels": float(one.num_labels),
        }
        found |= {f"{task}_{name}": value for name, value in said.items() if not math.isnan(value)}
    return found
