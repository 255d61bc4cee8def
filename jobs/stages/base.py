"""What every stage has in common: a plan, parents, settings, and an artifact that it makes.

A stage makes one artifact of one round. `run_stage` finds it complete and leaves it alone, or has
it made as `jobs/rounds/lifecycle.py` says, and records it in MLflow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

from actors.storage import local_path
from jobs.rounds import lifecycle
from jobs.rounds.checks import (
    check_cpus,
    check_revisions,
    check_writable,
    told_missing,
    trusted_checkpoints,
)
from jobs.rounds.lifecycle import Blueprint, Outcome
from jobs.rounds.promotion import publish
from jobs.rounds.tracking import StageRun, Tracker, tracking_uri
from jobs.rounds.workspace import Round
from jobs.session.run_log import note
from schemas import manifest, results
from schemas.artifacts import kind_named
from schemas.manifest import Manifest, Parent
from schemas.places import Place
from schemas.recipe import Recipe, Training
from schemas.section import MissingSectionError, Section

# What a stage is written with.
__all__ = ["Outcome", "Plan", "Stage", "fit_plan", "print_plan", "run_stage"]


@dataclass(frozen=True)
class Plan:
    """What a stage is about to do, for `--dry-run` and for checking resources.

    at_hand: says what of it need not be done; looked up only where a plan is told, since it takes
        reading what others have made.
    notes: what a user should know of it before it starts, a sentence each; likewise.
    """

    rows: str
    actors: str
    cpus: float
    gpus: float = 0.0
    at_hand: Callable[[], str] = str
    notes: Callable[[], Sequence[str]] = tuple


class Stage(Protocol):
    """One stage of the loop."""

    kind: str  # of the artifact it makes
    #: Whether what a killed run left is continued, and must therefore be of the same recipe.
    resumes: bool

    def needs(self, recipe: Recipe) -> Sequence[str]:
        """The keys that it cannot do without, of those that a recipe may leave out."""

    def plan(self, at: Round) -> Plan:
        """Validate everything that can be checked without the earlier stages' outputs."""

    def settings(self, at: Round) -> Section:
        """The part of the recipe that the artifact depends on. What is only a place or a resource
        may be in it: that is marked where the knob is (`schemas.identity`).
        """

    def parents(self, at: Round) -> list[Parent]:
        """What the artifact is made from. Raises InputError where something is missing."""

    def make(self, at: Round, directory: Place, run: StageRun) -> Outcome:
        """Make the artifact in `directory`."""


@runtime_checkable
class Growing(Protocol):
    """A stage whose complete artifact takes in what comes later: its `parents` begin with those of
    the artifact that is there, and end with those that are new.
    """

    def grow(self, at: Round, made: Manifest, new: Sequence[Parent], run: StageRun) -> Manifest:
        """The artifact with its new parents; with none, only what a killed run left undone."""


def run_stage(stage: Stage, at: Round, tracker: Tracker) -> Manifest:
    """Make the stage's artifact, or return it where it is complete already.

    Raises:
        InputError: a missing input, or work of another recipe under this address.
        LostRaceError: another driver was faster.
    """
    found = find_complete(stage, at)
    if found is not None:
        lifecycle.say_complete(found)
        note("stage_found", stage=found.address, counts=found.counts)
        return found
    blueprint = blueprint_of(stage, at)
    directory = blueprint.directory
    made = lifecycle.find(_so_far(stage, blueprint))
    job = kind_named(stage.kind).job
    with tracker.stage(at.number, job, lifecycle.known_as(blueprint)) as run:
        run.log_params(blueprint.spelled)
        if made is None:
            made = lifecycle.make(
                blueprint,
                lambda: stage.make(at, directory, run),
                resumes=stage.resumes,
                gpus=stage.plan(at).gpus,
                mlflow_run=run.run_id,
            )
        elif isinstance(stage, Growing):
            made = stage.grow(at, made, _new_parents(blueprint, made), run)
        # A job killed between manifest and here comes by again; saying it twice leaves one record.
        run.log_metrics({**made.counts, **made.figures})
        run.log_curve(results.read(directory / results.CURVES, list[dict[str, Any]]) or ())
        run.log_dataset(made, directory)
        publish(made, at, tracker, run)
        lifecycle.finish(directory, made)
    return made


def blueprint_of(stage: Stage, at: Round) -> Blueprint:
    """What the stage is to make.

    Raises:
        InputError: a missing input.
    """
    return Blueprint(
        at.directory(stage.kind), stage.kind, stage.settings(at), tuple(stage.parents(at))
    )


def _so_far(stage: Stage, blueprint: Blueprint) -> Blueprint:
    """Of what there is already: a stage that grows may have been given more since."""
    made = manifest.read(blueprint.directory)
    if made is None or not isinstance(stage, Growing):
        return blueprint
    return replace(blueprint, parents=blueprint.parents[: len(made.parents)])


def _new_parents(blueprint: Blueprint, made: Manifest) -> list[Parent]:
    return [parent for parent in blueprint.parents if parent not in made.parents]


def find_complete(stage: Stage, at: Round) -> Manifest | None:
    """The stage's artifact where it is complete and recorded, so that nothing is left to do.

    Raises:
        InputError: it was made with another recipe, or of other inputs.
    """
    directory = at.directory(stage.kind)
    if manifest.read(directory) is None:  # its parents may not be there yet
        return None
    blueprint = blueprint_of(stage, at)
    so_far = _so_far(stage, blueprint)
    made = lifecycle.find(so_far)
    has_all = len(so_far.parents) == len(blueprint.parents)
    return made if has_all and lifecycle.is_finished(directory) else None


def say_complete(stages: Sequence[Stage], at: Round) -> bool:
    """Whether nothing is left to do for some stages, so that neither Ray nor MLflow is needed; says
    so where it is so.

    Raises:
        InputError: one was made with another recipe, or of other inputs.
    """
    if not at.report().is_file():
        return False
    every = []
    for stage in stages:
        made = find_complete(stage, at)
        if made is None:
            return False
        every.append(made)
    for made in every:
        lifecycle.say_complete(made)
    return True


def say_made(stages: Sequence[Stage], at: Round) -> None:
    """Say what there is of some stages, which a run would not make again, up to the first that is
    not complete.

    Raises:
        InputError: one was made or begun with another recipe, or of other inputs.
    """
    for stage in stages:
        made = find_complete(stage, at)
        if made is not None:
            lifecycle.say_complete(made)
            continue
        if stage.resumes and lifecycle.is_begun(at.directory(stage.kind)):
            lifecycle.check_begun(blueprint_of(stage, at))
            print(f"{at.address(stage.kind)}: begun already; a run goes on with it", flush=True)
        return


def print_plan(recipe: Recipe, names: Sequence[str]) -> None:
    """Validate recipe, inputs, paths, models and resources of some stages, and print what they
    will do. Starts nothing.

    Raises:
        MissingSectionError: names all that the recipe lacks for them.
        InputError, PromptsError: the first thing found that would stop the stages.
    """
    stages: dict[str, Stage] = {name: import_module(f"jobs.stages.{name}").STAGE for name in names}
    ask_for_sections(recipe, stages)
    at = Round(recipe, 1)
    check_writable(at.root)
    check_revisions(recipe)
    print(f"recipe {recipe.name}: {recipe.num_rounds} round(s) in {recipe.root}")
    if local_path(at.root) is None and recipe.tracking_uri is None:
        print(
            f"warning: MLflow's database is a file of this machine, {tracking_uri(recipe)}: "
            "started elsewhere, this loop is tracked anew. tracking_uri names a server for all",
            flush=True,
        )
    for key, path in trusted_checkpoints(recipe):
        print(f"warning: {key} is on: code that comes with {path} is run", flush=True)
    for told in told_missing(recipe):
        print(f"warning: {told}", flush=True)
    for name, stage in stages.items():
        plan = stage.plan(at)
        check_cpus(plan.cpus, recipe, f"jobs.{name}")
        resources = f"{plan.cpus:g} CPUs" + (f", {plan.gpus:g} GPUs" if plan.gpus else "")
        output = f"{at.name(stage.kind)}@N"
        rows = "; ".join(filter(None, (plan.rows, plan.at_hand())))
        print(f"  {name:<12} {rows}; {plan.actors} ({resources}) -> {output}", flush=True)
        for one in plan.notes():
            print(f"    note: {one}", flush=True)


def ask_for_sections(recipe: Recipe, stages: Mapping[str, Stage]) -> None:
    """Refuse a recipe without what some stages read.

    Raises:
        MissingSectionError: names all of it, and the stages that read it.
    """
    lacks = {
        name: [lack for key in stage.needs(recipe) if (lack := recipe.lacks(key)) is not None]
        for name, stage in stages.items()
    }
    every = dict.fromkeys(one for of_stage in lacks.values() for one in of_stage)
    if every:
        readers = ", ".join(f"jobs.{name}" for name, of_stage in lacks.items() if of_stage)
        raise MissingSectionError.of(every, readers)


def fit_plan(rows: str, training: Training) -> Plan:
    """Workers of a training run, beside one CPU for reading its rows."""
    return Plan(
        f"{rows}, {training.num_steps} steps of {training.batch_size}",
        f"{training.num_workers} worker(s), ZeRO {training.zero_stage}, {training.precision}",
        training.num_workers * training.cpus_per_worker + 1,
        training.num_workers * float(training.use_gpu),
    )
