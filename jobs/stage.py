"""What every stage has in common: a plan, parents, a fingerprint, and a manifest written last.

A stage makes one artifact of one round. `run_stage` finds it complete and leaves it alone, or makes
it, and refuses to mix work of two recipes under one address. Of several drivers that make the same
artifact at once, the one whose manifest comes first has made it, and the others say so.
"""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

from actors import storage
from actors.memory import reason
from jobs import parts, results
from jobs.promotion import publish
from jobs.ray_session import check_cpus
from jobs.run_log import note
from jobs.tracking import StageRun, Tracker
from jobs.trust import trusted_checkpoints
from jobs.workspace import InputError, Round, check_writable, complete, lost_race, maker
from schemas import manifest
from schemas.manifest import Manifest, Parent
from schemas.places import Place
from schemas.recipe import Recipe

#: Notes of this module; hidden, so that no digest sees them.
_STARTED = ".started.json"
_RECORDED = ".recorded"


@dataclass(frozen=True)
class Plan:
    """What a stage is about to do, for `--dry-run` and for checking resources."""

    rows: str
    actors: str
    cpus: float
    gpus: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What a stage made: rows by verdict, figures measured on it, and, for a data set whose Parquet
    may be split and named in any way, the files that count and a digest of their rows.

    parents: what else was found while making it, beyond what the stage's fingerprint is made of.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    curves: Sequence[Mapping[str, float]] = ()
    digest: str | None = None
    files: tuple[str, ...] | None = None
    parents: tuple[Parent, ...] = ()


class Stage(Protocol):
    """One stage of the loop."""

    kind: str  # of the artifact it makes
    #: Whether what a killed run left is continued, and must therefore be of the same recipe.
    resumes: bool

    def plan(self, at: Round) -> Plan:
        """Validate everything that can be checked without the earlier stages' outputs."""

    def settings(self, at: Round) -> dict[str, Any]:
        """The part of the recipe that the artifact depends on."""

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
    directory = at.directory(stage.kind)
    found = find_complete(stage, at)
    if found is not None:
        print(f"{found.address}: complete already ({_counts(found.counts)})", flush=True)
        note("stage_found", stage=found.address, counts=found.counts)
        return found
    parents, settings = stage.parents(at), stage.settings(at)
    wanted = manifest.fingerprint(stage.kind, settings, parents)
    made = manifest.read(directory)
    with tracker.stage(at.number, maker(stage.kind), wanted) as run:
        run.log_params(settings)
        if made is None:
            made = _make(stage, at, wanted, parents, settings, run)
        elif isinstance(stage, Growing):
            new = [parent for parent in parents if parent not in made.parents]
            made = stage.grow(at, made, new, run)
        # A job killed between manifest and here comes by again; saying it twice leaves one record.
        run.log_metrics({**made.counts, **made.figures})
        run.log_curve(results.read(directory / results.CURVES, list[dict[str, Any]]) or ())
        run.log_dataset(made, directory)
        publish(made, at, tracker, run)
        if made.files is not None:
            parts.clear(directory, made.files)
        (directory / _RECORDED).write_bytes(b"")
    return made


def find_complete(stage: Stage, at: Round) -> Manifest | None:
    """The stage's artifact where it is complete and recorded, so that nothing is left to do.

    Raises:
        InputError: it was made with another recipe, or of other inputs.
    """
    directory = at.directory(stage.kind)
    made = manifest.read(directory)
    if made is None:
        return None
    settings, parents = stage.settings(at), stage.parents(at)
    first = parents[: len(made.parents)] if isinstance(stage, Growing) else parents
    if made.fingerprint != manifest.fingerprint(stage.kind, settings, first):
        raise InputError(_contradiction(made.address, directory, made.settings, settings))
    is_done = len(first) == len(parents) and (directory / _RECORDED).exists()
    return made if is_done else None


def say_complete(stages: Sequence[Stage], at: Round) -> bool:
    """Whether nothing is left to do for some stages, so that neither Ray nor MLflow is needed; says
    so where it is so.

    Raises:
        InputError: one was made with another recipe, or of other inputs.
    """
    found = []
    if not at.report().is_file():
        return False
    for stage in stages:
        made = find_complete(stage, at)
        if made is None:
            return False
        found.append(made)
    for made in found:
        print(f"{made.address}: complete already ({_counts(made.counts)})", flush=True)
    return True


def remake(
    made: Manifest, at: Round, outcome: Outcome, parents: Sequence[Parent] | None = None
) -> Manifest:
    """Put another content in the place of a complete artifact, whose manifest was `made`.

    Args:
        made: its manifest so far.
        at: its round.
        outcome: the new content.
        parents: all that it is made from now; None where that has not changed.

    Raises:
        LostRaceError: another driver has changed it in the meantime.
    """
    directory = at.directory(made.kind)
    changed = made
    if parents is not None:
        fingerprint = manifest.fingerprint(made.kind, made.settings, parents)
        changed = replace(made, fingerprint=fingerprint, parents=tuple(parents))
    again = replace(
        changed,
        digest=outcome.digest or made.digest,
        counts=dict(outcome.counts),
        figures={**made.figures, **outcome.figures},
        files=outcome.files,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        writer=_writer(),
    )
    # Before the manifest: a driver that is killed between the two leaves a record to be made.
    (directory / _RECORDED).unlink(missing_ok=True)
    try:
        storage.replace(
            directory / manifest.FILE, manifest.to_bytes(made), manifest.to_bytes(again)
        )
    except FileExistsError:
        raise lost_race(directory, made.address) from None
    if again.files is not None:
        parts.clear(directory, again.files)
    return again


def _make(
    stage: Stage,
    at: Round,
    fingerprint: str,
    parents: list[Parent],
    settings: dict[str, Any],
    run: StageRun,
) -> Manifest:
    """Make the artifact and write its manifest."""
    directory, address = at.directory(stage.kind), at.address(stage.kind)
    _begin(directory, address, fingerprint, settings, resumes=stage.resumes)
    print(f"{address}: started", flush=True)
    note("stage_started", stage=address, fingerprint=fingerprint, mlflow_run=run.run_id)
    began = time.monotonic()
    try:
        outcome = stage.make(at, directory, run)
    except Exception as error:
        note("stage_failed", stage=address, error=reason(error))
        if manifest.read(directory) is None:
            raise
        # Whoever completed it has cleared away what this driver was still at work on.
        raise lost_race(directory, address) from error
    seconds = round(time.monotonic() - began, 1)
    if outcome.curves:
        (directory / results.CURVES).write_text(json.dumps(list(outcome.curves)))
    made = Manifest(
        address=address,
        kind=stage.kind,
        fingerprint=fingerprint,
        digest=outcome.digest or manifest.digest_files(directory),
        parents=(*parents, *outcome.parents),
        settings=settings,
        counts=dict(outcome.counts),
        figures={**outcome.figures, **_cost(stage, at, seconds)},
        files=outcome.files,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        writer=_writer(),
    )
    complete(directory, made)
    (directory / _STARTED).unlink(missing_ok=True)
    print(f"{address}: complete in {seconds:.0f} s ({_counts(made.counts)})", flush=True)
    note("stage_complete", stage=address, counts=made.counts, figures=made.figures)
    return made


def _begin(
    directory: Place, address: str, fingerprint: str, settings: dict[str, Any], *, resumes: bool
) -> None:
    """Note what is being made before the first byte of it, so that neither a resumed run nor a
    driver beside this one can mix two recipes. What a killed run left stays: another driver may
    be at work on it, and the manifest will not name it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    note = directory / _STARTED
    text = json.dumps({"fingerprint": fingerprint, "settings": settings})
    try:
        storage.write_new(note, text.encode())
    except FileExistsError:
        started = json.loads(note.read_text())
        if started["fingerprint"] == fingerprint:
            return
        if resumes:
            raise InputError(
                _contradiction(f"unfinished {address}", directory, started["settings"], settings)
            ) from None
        note.write_text(text)


def _cost(stage: Stage, at: Round, seconds: float) -> dict[str, float]:
    """What the artifact took, by which a loop's limits are measured."""
    gpus = stage.plan(at).gpus
    return {"seconds": seconds} | ({"gpu_seconds": round(gpus * seconds, 1)} if gpus else {})


def _writer() -> str:
    """Names this driver: no two are alike."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def _contradiction(
    address: str, directory: Place, found: Mapping[str, Any], wanted: Mapping[str, Any]
) -> str:
    differences = manifest.differences(found, wanted) or ["its inputs have changed"]
    lines = "\n".join(f"  {line}" for line in differences)
    return (
        f"{directory}: {address} was made with another recipe:\n{lines}\n"
        "Use another `root`, or remove what lies there to make it again."
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{key} {value}" for key, value in counts.items()) or "no rows"


def print_plan(recipe: Recipe, names: Sequence[str]) -> None:
    """Validate recipe, inputs, paths, models and resources of some stages, and print what they
    will do. Starts nothing.

    Raises:
        InputError, PromptsError: the first thing found that would stop the stages.
    """
    at = Round(recipe, 1)
    check_writable(at.root)
    print(f"recipe {recipe.name}: {recipe.num_rounds} round(s) in {recipe.root}")
    for key, path in trusted_checkpoints(recipe):
        print(f"warning: {key} is on: code that comes with {path} is run", flush=True)
    for name in names:
        stage: Stage = import_module(f"jobs.stages.{name}").STAGE
        plan = stage.plan(at)
        check_cpus(plan.cpus, recipe, f"jobs.{name}")
        resources = f"{plan.cpus:g} CPUs" + (f", {plan.gpus:g} GPUs" if plan.gpus else "")
        output = f"{at.name(stage.kind)}@N"
        print(f"  {name:<12} {plan.rows}; {plan.actors} ({resources}) -> {output}", flush=True)
