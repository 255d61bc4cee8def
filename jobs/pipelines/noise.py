"""The noise of a round's judge: by what duels are planned, by what candidates are ordered, and what
the claims that come of it are worth.

    duels are planned   by `noise.json` beside the judge, from its held-out labels; without one by
                        scale-free defaults
    orders are made     by what the groups at hand tell of the judge's noise, and held-out labels of
                        its own error; where groups are too few by `noise.json`, then by defaults

The groups at hand come first since they alone know how far apart candidates of these prompts are.
They are chosen by their prompts' ids, which are hashes: not by the order of rows, and a killed run
ends with the same noise. A recipe's constants come before all of this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from actors.storage import local_copy, local_model, place
from factory.judging.calibration import Calibration
from factory.judging.criteria import weigh
from factory.judging.fitting import part
from factory.judging.specification import FILE as SPECIFICATION
from factory.judging.specification import JudgeSpecification, SpecificationError
from factory.ranking import (
    ByTask,
    FittedNoise,
    Noise,
    NoiseError,
    Scale,
    TaskNoise,
    fit_noise,
    is_scored,
    noise_of,
    strategy_of,
)
from factory.ranking.claims import SURE, Claims, claims_on_labels
from factory.ranking.fitting import MAX_GROUPS
from factory.ranking.noise import FILE
from jobs.datasets.reading import JUDGED, find_rows, stream
from jobs.pipelines.judge_backends import backend_of, name_of, scalar_given, specification_given
from jobs.pipelines.opinions import heldout_opinions, was_held_against_labels
from jobs.rounds.workspace import InputError, Round, is_judge_given, judge, judge_address
from schemas.arrow import groups_from_table
from schemas.manifest import Parent, digest_file
from schemas.places import Place
from schemas.recipe import JudgeSpec
from schemas.results import Estimate, TaskRanking
from schemas.rows import Group, Opinion, Task

# ------------------------------------------------------------------------------------- scales


def scales_of(at: Round, groups: Sequence[Group] = ()) -> dict[Task, Scale]:
    """The scales of the judge's scores, by task.

    Args:
        at: the round.
        groups: that it judged. Of a judge that has no scale, they are what tells its unit: a share
            is then so many points that scores spread within prompts as they do by the defaults.
    """
    judged = at.recipe.produce.judged
    if judged is not None:
        found = _alike(Scale() if judged.scale is None else Scale.of(*judged.scale))
    elif (own := _own_specification(at)) is not None:
        found = _of_specification(own)
    else:
        found = _scales(at.recipe.judge)
    return {
        task: scale if scale != Scale() else _fitted_unit(groups, task)
        for task, scale in found.items()
    }


def points_per_scale(at: Round) -> float:
    """Points of the whole scale on which the round's groups are judged; of several tasks with
    different scales the least, so that a limit in shares of it is the strictest.
    """
    directory = at.directory("groups")
    seen: set[Task] = set()
    for table in stream(directory, ["task"], media="none"):
        seen |= set(table.column("task").unique().to_pylist())
    scales = scales_of(at)
    if any(scales.get(task, Scale()) == Scale() for task in seen):
        scales = scales_of(at, sample_of(at))
    return min((scales.get(task, Scale()).unit for task in seen), default=1.0)


def _alike(scale: Scale) -> dict[Task, Scale]:
    return dict.fromkeys(get_args(Task), scale)


def _scales(spec: JudgeSpec) -> dict[Task, Scale]:
    if spec.panel:  # on the scale of its first member that has one, else from 0 to 1
        members = [_scales(one) for one in spec.panel if name_of(one) != "scalar"]
        found = _alike(Scale.of(0.0, 1.0))
        for scales in reversed(members):
            found |= {task: one for task, one in scales.items() if one != Scale()}
        return found
    if name_of(spec) == "scalar":
        return _of_rules(spec)
    if not backend_of(spec).is_specified:
        return _alike(Scale())
    return _of_specification(specification_given(spec, "judge"))


def _own_specification(at: Round) -> JudgeSpecification | None:
    """Of a judge that the round has trained: its base need not be there any more."""
    file = at.directory("judge") / SPECIFICATION
    if is_judge_given(at) or not file.is_file():
        return None
    try:
        return JudgeSpecification.read(file.read_text(encoding="utf-8"), str(file))
    except SpecificationError as error:
        raise InputError(str(error)) from None


def _of_specification(told: JudgeSpecification) -> dict[Task, Scale]:
    return {
        task: Scale.of(float(one.scale[0]), float(one.scale[-1]))
        for task, one in told.tasks.items()
    }


def _of_rules(spec: JudgeSpec) -> dict[Task, Scale]:
    """Of a model that gives a number: by the rule that makes two of them a verdict."""
    if not place(spec.path).is_dir():
        return _alike(Scale())
    from actors.judges.scalar.loading import rules_of

    rules = rules_of(local_model(spec.path), scalar_given(spec, "judge"))
    return {**_alike(Scale()), **{task: Scale.by_logits(one.slope) for task, one in rules.items()}}


def _fitted_unit(groups: Sequence[Group], task: Task) -> Scale:
    within = [
        values - values.mean()
        for group in groups
        if group.prompt.task == task and len(values := _points(group)) > 1
    ]
    if not within:
        return Scale()
    spread = math.sqrt(
        sum(float(one @ one) for one in within) / sum(len(one) - 1 for one in within)
    )
    usual = Noise()
    return Scale(spread / math.hypot(usual.seen_sd, usual.score_sd)) if spread > 0 else Scale()


def _points(group: Group) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([one.value for one in group.scores if is_scored(one)])


# ------------------------------------------------------------------------------- before groups


def kept_noise(at: Round) -> FittedNoise | None:
    """The `noise.json` beside the round's judge; None where it has none.

    Raises:
        InputError: it cannot be read.
    """
    file = _file(at)
    if file is None:
        return None
    try:
        return FittedNoise.read(file.read_text(encoding="utf-8"), str(file))
    except (NoiseError, OSError, ValueError) as error:
        raise InputError(str(error)) from None


def noise_parents(at: Round) -> list[Parent]:
    """That file, as a parent of what is planned by it: of a judge that is used as it is. One that
    the round trained has it among its own files.
    """
    file = _file(at) if is_judge_given(at) else None
    return [] if file is None else [Parent("noise", str(file), digest_file(file))]


def _file(at: Round) -> Place | None:
    if at.recipe.produce.judged is not None:
        return None
    if is_judge_given(at) and (
        at.recipe.judge.panel or not backend_of(at.recipe.judge).has_weights
    ):
        return None
    file = place(judge(at).path) / FILE
    return file if file.is_file() else None


def planning(at: Round) -> ByTask:
    """The round's strategy, as duels are planned by it: before there is anything to fit."""
    rank, kept = at.recipe.curate.rank, kept_noise(at) or FittedNoise()
    return ByTask(
        strategy_of(rank),
        {
            task: strategy_of(rank, kept.task(task).noise.on(scale))
            for task, scale in scales_of(at).items()
        },
    )


def told_planning(at: Round) -> str:
    """By what noise duels are planned, in a sentence; empty where no plan depends on it."""
    rank = at.recipe.curate.rank
    if rank.strategy != "bracket":
        return ""
    if rank.is_in_points:
        return "finals are planned by the recipe's constants of noise, in points"
    kept = kept_noise(at)
    known = [] if kept is None else [task for task, one in kept.tasks.items() if one.is_fitted]
    if not known:
        return (
            "finals are planned by scale-free defaults of noise: no noise.json lies beside the "
            "judge; curate fits it on the groups that come of this"
        )
    labels = sum(one.num_labels for one in kept.tasks.values()) if kept else 0
    return f"finals are planned by the judge's noise.json ({', '.join(known)}; {labels} labels)"


# -------------------------------------------------------------------------------- from groups


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
        one, source = _chosen(task, fitted, kept, judge_of(at))
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
    task: Task, fitted: FittedNoise, kept: FittedNoise | None, judge: str
) -> tuple[TaskNoise, str]:
    own = fitted.task(task)
    if own.is_fitted:
        error = (
            f"its own error by {own.num_labels} held-out labels"
            if own.is_by_labels
            else "its own error assumed, since too few held-out labels tell it"
        )
        return own, f"fitted on {own.num_groups} groups with {own.num_duels} matchups; {error}"
    beside = (kept or FittedNoise()).task(task)
    if beside.is_fitted:
        return beside, f"noise.json of {judge}, by {beside.num_labels} held-out labels"
    return own, "scale-free defaults: too little was said to fit anything"


def sample_of(at: Round) -> list[Group]:
    """Groups of each task to fit noise on, without media: those with the lowest prompt ids, which
    are hashes, in their order.
    """
    directory = at.directory("groups")
    ids: dict[str, list[str]] = {}
    for table in stream(directory, ["prompt_id", "task"], media="none"):
        for prompt_id, task in zip(*table.to_pydict().values(), strict=True):
            ids.setdefault(task, []).append(prompt_id)
    wanted = {one for some in ids.values() for one in sorted(some)[:MAX_GROUPS]}
    if not wanted:
        return []
    rows = find_rows(directory, "prompt_id", wanted, JUDGED, media="none")
    groups = sorted(groups_from_table(rows), key=lambda one: one.prompt.prompt_id)
    return [weigh(one, at.recipe.criteria) for one in groups if one.error is None]


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
