"""A judge that is used as it was published: `judge@0`. What it is known by, and what is refused of
it before anything is drawn.

A round that trains no judge of its own has this one, of whatever backend (`judge_backends`). It
stays where it is: nothing is copied, and what is made with it names the digest of its weights, the
hub's commit, or the endpoint's model, and that of its specification. A judge that was made by this
factory, in another root, is given like any other.
"""

from __future__ import annotations

from collections.abc import Collection

from actors.storage import place
from factory.judging import by_scores, calibration
from factory.judging.specification import JudgeSpecification, Kind, SpecificationError
from factory.ranking import ASKS
from jobs.pipelines.judge_backends import (
    backend_of,
    check_clips,
    check_scales,
    check_section,
    check_trainable,
    check_units,
    has_verdicts,
    is_served,
    member_sections,
    name_of,
    parents_of,
    scalar_given,
    specification_given,
)
from jobs.rounds.workspace import InputError, Round, is_judge_given, judge, was_labelled
from schemas import manifest
from schemas.manifest import Parent, digest_file
from schemas.recipe import JudgeSpec, Pool
from schemas.rows import Task
from schemas.section import MissingSectionError


def judge_parents(at: Round) -> list[Parent]:
    """The round's judge, as a parent of what is made with it: of one that is given, its weights and
    how it is asked, and its calibration where the recipe uses it.

    Raises:
        InputError: it was to be trained, and is not complete.
    """
    if not is_judge_given(at):
        return [at.parent("judge")]
    spec = at.recipe.judge
    parents = parents_of(spec, judge(at).address)
    if _uses_calibration(at) and backend_of(spec).has_weights:
        file = place(spec.path) / calibration.FILE
        if file.is_file():
            parents.append(Parent("calibration", str(file), digest_file(file)))
    return parents


def check_judge(at: Round, tasks: Collection[Task] = (), strategy: str | None = None) -> None:
    """Refuse, before anything starts, a judge that could not judge: the one that is given, or the
    base of the one that is to be trained.

    Args:
        at: the round; a judge that it has trained already was looked at then.
        tasks: of what is to be judged.
        strategy: `curate.rank.strategy`, where the judge will be asked what that wants to know.

    Raises:
        InputError: names the key and says what to do.
        PluginError: code that cannot be loaded.
    """
    spec = at.recipe.judge
    if not is_judge_given(at):
        if manifest.read(at.directory("judge")) is None:
            check_trainable(spec, "judge.path", "trained")
            backend_of(spec).check(spec, "judge")
        return
    check_section(spec, "judge")
    check_tasks(spec, "judge", tasks)
    if strategy is not None:
        check_strategy(spec, "judge", tasks, strategy)
    check_units(spec, "judge", at.recipe.curate)
    if _uses_calibration(at):
        _check_calibrated(at)


def check_tasks(spec: JudgeSpec, key: str, tasks: Collection[Task]) -> None:
    """Refuse tasks that a judge has no words for, and clips where what reads them is not installed.
    Raises InputError.
    """
    for below, one in member_sections(spec, key).items():
        check_tasks(one, below, tasks)
    if spec.panel:
        check_scales(spec, key, tasks)
    if name_of(spec) == "scalar":
        told = scalar_given(spec, key)
        for task in tasks:
            if task not in told.tasks:
                raise InputError(
                    f"{key}: {spec.path}: {told.name} judges {', '.join(told.tasks)}, and not "
                    f"{task}: it was trained on nothing else"
                )
    if not backend_of(spec).is_specified:
        return
    specification = specification_given(spec, key)
    for task in tasks:
        try:
            specification.task(task)
        except SpecificationError as error:
            raise InputError(f"{key}.specification: {error}") from None
    if any(one.startswith("video") and not specification.task(one).is_pictures for one in tasks):
        check_clips(spec, key)


def check_contest(spec: JudgeSpec, key: str, tasks: Collection[Task]) -> None:
    """Refuse a judge that cannot do what an evaluation asks of each: to score, and to compare.

    Raises:
        InputError: names the judge, and what it was not trained for.
    """
    for below, one in member_sections(spec, key).items():
        check_contest(one, below, tasks)
    if name_of(spec) == "scalar" and not has_verdicts(spec, key):
        raise InputError(
            f"{key}: an evaluation compares, and nothing says how the scores of {spec.path} become "
            "verdicts: fit that on labels (`python -m jobs.fit_scale`), or name another judge"
        )
    if not backend_of(spec).is_specified:
        return
    specification = specification_given(spec, key)
    asked: tuple[Kind, ...] = ("score", "duel")
    for task in tasks:
        try:
            kinds = _kinds(spec, specification, task)
            lacking = [one for one in asked if one not in kinds]
            specification.check_kinds(task, lacking, "an evaluation")
        except SpecificationError as error:
            raise InputError(f"{key}: {spec.path}: {error}: name another judge") from None


def check_strategy(spec: JudgeSpec, key: str, tasks: Collection[Task], strategy: str) -> None:
    """Refuse a strategy of ranking that asks what a checkpoint, or a member of a panel, was not
    trained for.

    Raises:
        InputError: names the strategy, and those that do not.
    """
    for below, one in member_sections(spec, key).items():
        check_strategy(one, below, tasks, strategy)
    if not backend_of(spec).is_specified:
        return
    specification = specification_given(spec, key)
    for task in tasks:
        kinds = _kinds(spec, specification, task)
        try:
            specification.check_kinds(
                task, [one for one in ASKS[strategy] if one not in kinds], "it"
            )
        except SpecificationError as error:
            others = [name for name, asks in ASKS.items() if kinds.issuperset(asks)]
            raise InputError(
                f"curate.rank.strategy: {strategy}: {error}: choose {' or '.join(others)}"
            ) from None


def _kinds(spec: JudgeSpec, specification: JudgeSpecification, task: Task) -> set[Kind]:
    """What a judge can be asked: duels too, where these are made of its scores."""
    kinds: set[Kind] = set(specification.task(task).kinds)
    return kinds | {"duel"} if "score" in kinds and _has_rules(spec) else kinds


def _has_rules(spec: JudgeSpec) -> bool:
    """Whether rules lie beside the weights by which two scores make a duel."""
    return backend_of(spec).has_weights and (place(spec.path) / by_scores.FILE).is_file()


def _check_calibrated(at: Round) -> None:
    """Refuse a judge that is used as it is and was not calibrated. Raises InputError."""
    spec, backend = at.recipe.judge, backend_of(at.recipe.judge)
    key = "produce.is_calibrated" if at.recipe.produce.is_calibrated else _ABSTAIN
    if not backend.has_weights:
        raise InputError(
            f"{key}: needs a judge that is calibrated, and {spec.path or spec.name} is "
            f"{backend.what}: there is no directory in which a {calibration.FILE} could lie; "
            "leave the key out"
        )
    if not (place(spec.path) / calibration.FILE).is_file():
        raise InputError(
            f"{key}: needs a judge that is calibrated, and {spec.path}, which is used "
            f"as it is, has no {calibration.FILE}: train it on people's labels (sections `labels` "
            "and `train_judge`), or leave the key out"
        )


_ABSTAIN = "curate.objections.abstain"


def _uses_calibration(at: Round) -> bool:
    return at.recipe.produce.is_calibrated or at.recipe.curate.objections.abstain


def judging_pool(at: Round, others: Collection[JudgeSpec] = ()) -> Pool:
    """The pool of workers for the round's judge and others: without a GPU where none runs here."""
    pool = at.recipe.produce.judges
    runs_elsewhere = is_judge_given(at) and all(
        is_served(one) for one in (at.recipe.judge, *others)
    )
    return pool.model_copy(update={"num_gpus": 0.0}) if runs_elsewhere else pool


def ask_for_labels(at: Round, reader: str) -> None:
    """Refuse a recipe without labels, for a job that holds judges against them.

    Raises:
        MissingSectionError: no round so far has any, and the recipe does not say whence they come.
    """
    lack = at.recipe.lacks("labels")
    if lack is not None and not was_labelled(at):
        raise MissingSectionError.of([lack], reader)


def told(at: Round) -> str:
    """The round's judge in a plan."""
    if not is_judge_given(at):
        return at.address("judge")
    spec = at.recipe.judge
    if spec.panel:
        names = ", ".join(f"{one.name} ({one.path})" for one in spec.panel)
        how = (
            "alike: no judge.fusion says how much each counts"
            if spec.fusion is None
            else (f"as {spec.fusion} says")
        )
        return f"{judge(at).address}, a panel of {names}, weighed {how}"
    calibrated = "calibrated" if at.recipe.produce.is_calibrated else "raw verdicts"
    return f"{judge(at).address} as it is ({spec.path}, {calibrated})"
