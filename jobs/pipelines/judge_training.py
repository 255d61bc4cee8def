"""What every training of a judge shares: its rows, what is trained, and how it is calibrated.

`train_judge` begins with a base, `localise` goes on with a judge; both learn from label rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from actors.storage import local_model, place
from actors.weights import hub_commit
from factory.judging.calibration import Calibration
from factory.judging.fitting import fit, part
from factory.judging.specification import (
    DEFAULT,
    FILE,
    JudgeSpecification,
    Kind,
    find,
    not_trained,
)
from factory.media.shape import shape_fault
from factory.prompt_parts import role_fault
from jobs.datasets.files import read_columns, row_batches
from jobs.pipelines.judge_backends import check_clips
from jobs.rounds.workspace import InputError
from schemas.places import Place
from schemas.recipe import Calibrate, JudgeSpec, Recipe, TrainJudge
from schemas.rows import Opinion, Task

if TYPE_CHECKING:
    from actors.trainers.judge import JudgeTask


def label_datasets(rows: Any, task: JudgeTask) -> dict[str, Any]:
    """The label rows that a task reads, by the names that it has for them."""
    from ray.data.expressions import col

    datasets = {}
    for name in task.shares:
        *of, kind = name.split()
        column = "preference" if kind == "pairs" else "points"
        datasets[name] = rows.filter(expr=col(column).is_not_null())
        if of:
            datasets[name] = datasets[name].filter(expr=col("task") == of[0])
    return datasets


def fit_calibration(
    opinions: Sequence[Opinion], settings: Calibrate
) -> tuple[Calibration | None, list[Opinion]]:
    """The calibration, and the opinions that it did not see: those are reported on."""
    if settings.fit_share == 0:
        return None, list(opinions)
    parts: dict[str, list[Opinion]] = {"fit": [], "report": []}
    for one in opinions:
        parts[part(one, settings.fit_share)].append(one)
    fitted = fit(parts["fit"], settings.method, settings.target_precision)
    return fitted, parts["report"]


def check_points(files: Sequence[Place], specification: JudgeSpecification) -> None:
    """Refuse points beyond the judge's scale, before it is trained on them. Between two numbers of
    it they are learned by both (`actors.trainers.judge`).

    Raises:
        InputError: names the file, the task and the points.
    """
    for path in files:
        table = read_columns(path, ["task", "points"])
        for task, group in _points(table).items():
            scale = specification.task(task).scale
            outside = [points for points in group if not scale[0] <= points <= scale[-1]]
            if outside:
                raise InputError(
                    f"{path}: {len(outside)} label(s) of {task} have points off the judge's scale "
                    f"of {scale[0]:g} to {scale[-1]:g}, such as {outside[0]:g}; import them with "
                    f"`--scale {scale[0]:g}:{scale[-1]:g}`"
                )


def check_shares(specification: JudgeSpecification, section: TrainJudge) -> None:
    """Refuse to train on a kind of question that the specification has no words for.

    Raises:
        InputError: names the share and what to do.
    """
    for task in section.task_shares or specification.tasks:
        kinds = specification.task(task).kinds
        shares: list[tuple[Kind, float, int]] = [
            ("duel", section.pair_share, 0),
            ("score", 1 - section.pair_share, 1),
        ]
        for kind, share, other in shares:
            if share > 0 and kind not in kinds:
                raise InputError(
                    f"train_judge.pair_share: {section.pair_share:g}: {not_trained(task, kind)}: "
                    f"set it to {other}, or give the specification words for them"
                )


def check_shown(files: Sequence[Place], specification: JudgeSpecification) -> None:
    """Refuse labels of which the judge would not be shown all, before it is trained on them: edits,
    where it has no words for what they start from, roles that nothing here knows, and media that
    are too long and narrow.

    Raises:
        InputError: names the file and what it holds.
    """
    for path in files:
        num: Counter[Task] = Counter()
        for batch in row_batches(path, _ROWS_AT_ONCE, ["task", _ROLES, *_SIZES]):
            for row in batch.to_pylist():  # of before there were parts, without them
                sides = [one for one in (row["first"], row["second"]) if one and one["width"]]
                faults = (shape_fault(one["width"], one["height"]) for one in sides)
                if fault := next(filter(None, faults), None):
                    raise InputError(f"{path}: a label is of a medium of {fault}; leave it out")
                roles = [part["role"] for part in row.get("prompt_parts") or ()]
                if fault := next(filter(None, map(role_fault, roles)), None):
                    raise InputError(f"{path}: a part of a label's prompt: {fault}")
                num[row["task"]] += "source" in roles
        for task in +num:
            if not specification.task(task).source:
                raise InputError(
                    f"{path}: {num[task]} label(s) of {task} are about edits of a source picture, "
                    f"and the judge's specification does not say in `source` of {task} how one is "
                    "shown"
                )


def check_clips_of(files: Sequence[Place], recipe: Recipe) -> None:
    """Refuse labels of clips, of a task that is learned, where what reads them is not installed.

    Raises:
        InputError: names the package.
    """
    specification, shares = specification_of(recipe.judge), recipe.train_judge.task_shares
    tasks = {one for path in files for one in read_columns(path, ["task"])["task"].to_pylist()}
    learned = tasks & set(shares) if shares else tasks
    if any(one.startswith("video") and not specification.task(one).is_pictures for one in learned):
        check_clips(recipe.judge, "judge.path")


#: The leaf of the prompts' parts that is read, and none of their media.
_ROLES = "prompt_parts.list.element.role"
_SIZES = [f"{side}.{size}" for side in ("first", "second") for size in ("width", "height")]
_ROWS_AT_ONCE = 1024


def _points(table: pa.Table) -> dict[Task, list[float]]:
    found: dict[Task, list[float]] = {}
    for row in table.filter(pc.field("points").is_valid()).to_pylist():
        found.setdefault(row["task"], []).append(row["points"])
    return found


def judge_task(recipe: Recipe) -> JudgeTask:
    """What the recipe says is to be trained."""
    from actors.trainers.judge import JudgeTask, LossWeights

    section = recipe.train_judge
    return JudgeTask(
        recipe.judge.path,
        specification_of(recipe.judge),
        section.pair_share,
        section.label_smoothing,
        LossWeights(
            section.answer_weight,
            section.verdict_weight,
            section.score_weight,
            section.order_consistency,
            section.justification_weight,
        ),
        section.tie_odds,
        dict(section.task_shares),
        section.lora,
        recipe.judge.trust_remote_code,
        hub_commit(recipe.judge.path, recipe.judge.revision),
        tuple(recipe.judge.allow_missing),
    )


def specification_of(judge: JudgeSpec) -> JudgeSpecification:
    """How the judge is asked: as the recipe says, else as its base does, else as UnifiedReward."""
    if judge.specification is not None:
        return find("", judge.specification)
    if not (place(judge.path) / FILE).is_file():
        return DEFAULT
    return find(local_model(judge.path))
