"""By what noise duels are planned, before there are groups to order.

    noise.json beside the judge    by its held-out labels, scored and compared
    a pilot                        where there is none: the first prompts are judged, planned by
                                   scale-free defaults, and what they tell plans all others
    scale-free defaults            where prompts are too few for a pilot

A recipe's constants come before all of this. Only the finals of `bracket` depend on it: other
strategies ask for their duels without any noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from actors.storage import place
from factory.ids import Ids, numbers_of
from factory.prompts import Prompts
from factory.ranking import ByTask, FittedNoise, NoiseError, Scale, fit_noise, strategy_of
from factory.ranking.noise import FILE
from jobs.datasets.parts import read_parts
from jobs.pipelines.groups import Pilot
from jobs.pipelines.judge_backends import backend_of
from jobs.pipelines.scales import judged, lowest, sample_of, scales_of
from jobs.rounds.workspace import InputError, Round, is_judge_given, judge, judge_address
from schemas import manifest
from schemas.manifest import Parent, digest_file
from schemas.places import Place
from schemas.rows import Group, Task

#: A pilot starts the models once more, so there is none for less than so many times its prompts.
_WORTH_IT = 4


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


def known_noise(at: Round) -> FittedNoise:
    """Of `kept_noise`, the tasks of which it tells scores and duels alike; there may be none."""
    kept = kept_noise(at) or FittedNoise()
    return replace(kept, tasks={task: one for task, one in kept.tasks.items() if one.tells_scores})


def planning(at: Round) -> ByTask:
    """The round's strategy, as duels are planned by it where nobody has judged any yet."""
    return _planned_by(at, known_noise(at), scales_of(at))


def pilot_of(at: Round, prompts: Prompts) -> Pilot | None:
    """The prompts that are judged first, so that what they tell plans the duels of the others: of
    each task those with the lowest ids, which are hashes. None where the judge's noise is known or
    decides nothing, or where there are too few prompts.
    """
    if not _needs_pilot(at):
        return None
    known = known_noise(at).tasks
    each = ((one.prompt_id, one.task) for one in prompts if one.task not in known)
    ids = [one for some in lowest(each, at.recipe.produce.pilot).values() for one in some]
    if not ids or len(prompts) < _WORTH_IT * len(ids):
        return None

    def planned() -> ByTask:
        # Of what killed writers left torn, or others are still writing, nothing can be read.
        files = [part.name for part in read_parts(at.directory("groups"), "prompt_id")]
        return _planned_by_groups(at, judged(at, ids, files))

    return Pilot(_ascending(ids), planned)


def planning_again(at: Round) -> ByTask:
    """The round's strategy where groups are there already: by what they tell."""
    return _planned_by_groups(at, sample_of(at) if _needs_pilot(at) else [])


def _needs_pilot(at: Round) -> bool:
    """Whether any duel is planned by noise that can be fitted, and the recipe wants it to be."""
    rank = at.recipe.curate.rank
    return rank.strategy == "bracket" and not rank.is_in_points and at.recipe.produce.pilot > 0


def _ascending(ids: Sequence[str]) -> Ids:
    numbers = numbers_of(ids)
    numbers.sort()
    return numbers


def _planned_by_groups(at: Round, groups: Sequence[Group]) -> ByTask:
    """By what is known of the judge's noise, and by what groups tell of it where nothing is."""
    scales = scales_of(at, groups)
    fitted = fit_noise(groups, scales=scales, fusion=at.recipe.curate.rank.fusion)
    tasks = {**fitted.tasks, **known_noise(at).tasks}
    return _planned_by(at, FittedNoise(judge_address(at), tasks), scales)


def _planned_by(at: Round, noise: FittedNoise, scales: Mapping[Task, Scale]) -> ByTask:
    rank = at.recipe.curate.rank
    by_task = {
        task: strategy_of(rank, noise.task(task).noise.on(scale)) for task, scale in scales.items()
    }
    return ByTask(strategy_of(rank), by_task)


def told_planning(at: Round, prompts: Prompts | None) -> str:
    """By what noise duels are planned, in a sentence; empty where no plan depends on it.

    Args:
        at: the round.
        prompts: of the run; None where they are not known yet.
    """
    rank = at.recipe.curate.rank
    if rank.strategy != "bracket":
        return ""
    if rank.is_in_points:
        return "finals are planned by the recipe's constants of noise, in points"
    kept, known = kept_noise(at), known_noise(at).tasks
    if kept is not None and known:
        labels = sum(one.num_labels for one in kept.tasks.values())
        return f"finals are planned by the judge's noise.json ({', '.join(known)}; {labels} labels)"
    if kept is None and not is_judge_given(at) and manifest.read(at.directory("judge")) is None:
        return f"finals are planned by the {FILE} that train_judge will keep beside the judge"
    return f"nothing tells the judge's noise: {_told_pilot(at, prompts)}"


def _told_pilot(at: Round, prompts: Prompts | None) -> str:
    most = at.recipe.produce.pilot
    defaults = "finals are planned by scale-free defaults of noise"
    if not most:
        return defaults
    pilot = None if prompts is None else pilot_of(at, prompts)
    if prompts is not None and pilot is None:
        return f"{defaults}, since {len(prompts)} prompts are too few for a pilot"
    who = f"{most} of each task" if pilot is None else f"{len(pilot.ids)} of the prompts"
    return (
        f"{who} are a pilot, judged before all others: what they tell of the judge's noise plans "
        "the finals of the others. The models start twice (produce.pilot: 0 for no pilot)"
    )
