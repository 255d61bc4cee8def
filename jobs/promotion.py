"""The model registry: what is registered when, and where the aliases point.

A judge that passed its gate is champion at once. A trained generator is `challenger` until the
round's evaluation decides; the champion before the first promotion is the recipe's own pipeline.
"""

from __future__ import annotations

from pathlib import Path

from jobs import results
from jobs.tracking import StageRun, Tracker
from jobs.workspace import Round, champion
from schemas.manifest import Manifest


def publish(made: Manifest, at: Round, tracker: Tracker, run: StageRun) -> None:
    """Register a finished model, or move the champion's alias after a finished evaluation."""
    if made.kind == "judge":
        tracker.register_model(made, at.directory("judge"), run=run, alias="champion")
    elif made.kind == "generator":
        tracker.register_model(made, at.directory("generator"), run=run, alias="challenger")
    elif made.kind == "evaluation":
        _move_champion(at, tracker, run)


def _move_champion(at: Round, tracker: Tracker, run: StageRun) -> None:
    name = tracker.model_name("generator")
    path = at.directory("evaluation") / results.FINDINGS
    decision = results.read(path, results.Decision)
    if decision is None:
        raise results.ResultError(f"{path}: missing; the evaluation left no decision")
    if tracker.alias(name, "champion") is None:
        _register_base(at, tracker, run)
    if decision.decision == "promote":
        tracker.set_alias(name, "champion", decision.challenger)
    run.set_tags({"factory.decision": f"{decision.decision} {decision.challenger}"})


def _register_base(at: Round, tracker: Tracker, run: StageRun) -> None:
    """The first champion: the pipeline that the recipe starts from, which no stage made."""
    base = champion(Round(at.recipe, 1))
    parent = base.parent("base")
    manifest = Manifest(base.address, "generator", "", parent.digest, (), {"path": base.path})
    tracker.register_model(manifest, Path(base.path), alias="champion")
