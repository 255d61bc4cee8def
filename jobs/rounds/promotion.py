"""The model registry: what is registered when, and where the aliases point.

A judge that passed its gate is champion at once, and so is one that is used as it was published;
a local judge is champion of its own line, where
it passed its gates, and else challenger. A trained generator is `challenger` until the
round's evaluation decides; the champion before the first promotion is the recipe's own pipeline,
and `jobs.rollback` makes an earlier one champion again.
"""

from __future__ import annotations

from jobs.rounds.registry import Registry
from jobs.rounds.tracking import StageRun, Tracker
from jobs.rounds.workspace import Round, champion, is_judge_given, judge
from schemas import results
from schemas.artifacts import kind_named
from schemas.manifest import Manifest


def publish(made: Manifest, at: Round, tracker: Tracker, run: StageRun) -> None:
    """Register a finished model, or move the champion's alias after a finished evaluation."""
    kind, directory = kind_named(made.kind), at.directory(made.kind)
    if kind.name == "groups" and is_judge_given(at):
        _register_judge(made, at, Registry.of(tracker), run)
    if not kind.is_model and kind.name != "evaluation":
        return
    registry = Registry.of(tracker)
    if kind.name == "evaluation":
        _move_champion(at, registry, run)
    elif kind.is_model and kind.is_in_loop:
        registry.register_model(made, directory, run=run, alias=kind.alias)
    elif kind.is_model:
        decision = _decision(at, kind.name)
        alias = "champion" if decision.decision == "promote" else "challenger"
        line = at.name(kind.name)
        registry.register_model(made, directory, run=run, alias=alias, line=line)
        run.set_tags({"factory.decision": f"{decision.decision} {decision.challenger}"})


def _decision(at: Round, kind: str) -> results.Decision:
    path = at.directory(kind) / results.FINDINGS
    decision = results.read(path, results.Decision)
    if decision is None:
        raise results.ResultError(f"{path}: missing; the stage left no decision")
    return decision


def _move_champion(at: Round, registry: Registry, run: StageRun) -> None:
    name = registry.model_name("generator")
    decision = _decision(at, "evaluation")
    if registry.alias(name, "champion") is None:
        _register_base(at, registry)
        registry.set_alias(name, "champion", champion(Round(at.recipe, 1)).address)
    if decision.decision == "promote":
        registry.set_alias(name, "champion", decision.challenger)
    run.set_tags({"factory.decision": f"{decision.decision} {decision.challenger}"})


def _register_judge(made: Manifest, at: Round, registry: Registry, run: StageRun) -> None:
    """Register the judge that is used as it is, by what the groups say it was."""
    for one in made.parents:
        if one.role == "judge":
            registry.register_given("judge", one.address, one.digest, judge(at).path)
            registry.set_alias(registry.model_name("judge"), "champion", one.address)
            run.set_tags({"factory.judge": f"{one.address} {one.digest}"})


def _register_base(at: Round, registry: Registry) -> None:
    """Register the pipeline that the recipe starts from, which the factory did not make."""
    base = champion(Round(at.recipe, 1))
    registry.register_given("generator", base.address, base.parent("base").digest, base.path)


def point_champion(at: Round, address: str, tracker: Tracker, reason: str) -> None:
    """Point the alias to an earlier champion, and say why in the run of the round after which it
    was decided.
    """
    registry = Registry.of(tracker)
    _register_base(at, registry)
    registry.set_alias(registry.model_name("generator"), "champion", address)
    with tracker.round(at.number) as run:
        run.set_tags({"factory.rollback": f"{address}: {reason}"})
