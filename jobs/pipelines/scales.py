"""The scales of a round's judge: how many points a share of it is, by task; and the groups by which
noise, and the unit of a judge that has no scale, are told.

Those groups are chosen by their prompts' ids, which are hashes: not by the order of rows, and a
killed run ends with the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import get_args

import numpy as np

from actors.storage import local_model, place
from factory.judging.criteria import weigh
from factory.judging.specification import FILE as SPECIFICATION
from factory.judging.specification import JudgeSpecification, SpecificationError
from factory.ranking import Noise, Scale, is_scored
from factory.ranking.fitting import MAX_GROUPS
from jobs.datasets.reading import JUDGED, find_rows, stream
from jobs.pipelines.judge_backends import backend_of, name_of, scalar_given, specification_given
from jobs.rounds.workspace import InputError, Round, is_judge_given
from schemas.arrow import groups_from_table
from schemas.recipe import JudgeSpec
from schemas.rows import Group, Task

_IDS_AT_ONCE = 8192


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


# ------------------------------------------------------------------------------ groups as a sample


def sample_of(at: Round) -> list[Group]:
    """Groups of each task to fit noise on, without media, in the order of their prompts' ids."""
    rows = stream(at.directory("groups"), ["prompt_id", "task"], media="none")
    asked = (one for table in rows for one in zip(*table.to_pydict().values(), strict=True))
    return judged(at, [one for ids in lowest(asked, MAX_GROUPS).values() for one in ids])


def lowest(prompts: Iterable[tuple[str, Task]], most: int) -> dict[Task, list[str]]:
    """The lowest ids of each task's prompts, ascending.

    Args:
        prompts: id and task of each, in any order.
        most: so many of a task.
    """
    found: dict[Task, list[str]] = {}
    for prompt_id, task in prompts:
        ids = found.setdefault(task, [])
        ids.append(prompt_id)
        if len(ids) >= most + _IDS_AT_ONCE:
            ids[:] = sorted(ids)[:most]
    return {task: sorted(ids)[:most] for task, ids in sorted(found.items())}


def judged(at: Round, wanted: Sequence[str], files: Sequence[str] | None = None) -> list[Group]:
    """What is there of the groups of some prompts, by prompt id, without media and those that
    failed.

    Args:
        at: the round.
        wanted: ids of prompts.
        files: to read, where the groups are still being made: those that can be opened. The first
            that holds a row has it.
    """
    if not wanted:
        return []
    rows = find_rows(at.directory("groups"), "prompt_id", wanted, JUDGED, files, media="none")
    found: dict[str, Group] = {}
    for one in groups_from_table(rows):
        found.setdefault(one.prompt.prompt_id, one)
    groups = [found[prompt_id] for prompt_id in sorted(found)]
    return [weigh(one, at.recipe.criteria) for one in groups if one.error is None]
