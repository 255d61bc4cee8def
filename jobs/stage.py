"""What every stage has in common: a plan, parents, a fingerprint, and a manifest written last.

A stage makes one artifact of one round. `run_stage` finds it complete and leaves it alone, or makes
it, and refuses to mix work of two recipes under one address.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from jobs import results
from jobs.promotion import publish
from jobs.ray_session import check_cpus
from jobs.tracking import StageRun, Tracker
from jobs.workspace import InputError, Round, check_writable, maker
from schemas import manifest
from schemas.manifest import Manifest, Parent
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
    """What a stage made: rows by verdict, figures measured on it, and a digest where the bytes of
    the files are not what identifies it (Parquet parts may be split and named in any way).
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    curves: Sequence[Mapping[str, float]] = ()
    digest: str | None = None


class Stage(Protocol):
    """One stage of the loop."""

    kind: str  # of the artifact it makes
    #: Whether a directory left by a killed run is continued instead of begun anew.
    resumes: bool

    def plan(self, at: Round) -> Plan:
        """Validate everything that can be checked without the earlier stages' outputs."""

    def settings(self, at: Round) -> dict[str, Any]:
        """The part of the recipe that the artifact depends on."""

    def parents(self, at: Round) -> list[Parent]:
        """What the artifact is made from. Raises InputError where something is missing."""

    def make(self, at: Round, directory: Path, run: StageRun) -> Outcome:
        """Make the artifact in `directory`."""


def run_stage(stage: Stage, at: Round, tracker: Tracker) -> Manifest:
    """Make the stage's artifact, or return it where it is complete already.

    Raises:
        InputError: a missing input, or work of another recipe under this address.
    """
    directory, address = at.directory(stage.kind), at.address(stage.kind)
    parents, settings = stage.parents(at), stage.settings(at)
    wanted = manifest.fingerprint(stage.kind, settings, parents)
    made = manifest.read(directory)
    if made is not None and made.fingerprint != wanted:
        raise InputError(_contradiction(address, directory, made.settings, settings))
    if made is not None and (directory / _RECORDED).exists():
        print(f"{address}: complete already ({_counts(made.counts)})", flush=True)
        return made
    with tracker.stage(at.number, maker(stage.kind), wanted) as run:
        if made is None:
            run.log_params(settings)
            made = _make(stage, at, wanted, parents, settings, run)
        # A job killed between manifest and here comes by again; saying it twice leaves one record.
        run.log_metrics({**made.counts, **made.figures})
        run.log_curve(results.read(directory / results.CURVES, list[dict[str, Any]]) or ())
        run.log_dataset(made, directory)
        publish(made, at, tracker, run)
        (directory / _RECORDED).touch()
    return made


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
    began = time.monotonic()
    outcome = stage.make(at, directory, run)
    seconds = round(time.monotonic() - began, 1)
    if outcome.curves:
        (directory / results.CURVES).write_text(json.dumps(list(outcome.curves)))
    made = Manifest(
        address=address,
        kind=stage.kind,
        fingerprint=fingerprint,
        digest=outcome.digest or manifest.digest_files(directory),
        parents=tuple(parents),
        settings=settings,
        counts=dict(outcome.counts),
        figures={**outcome.figures, "seconds": seconds},
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    manifest.write(directory, made)
    (directory / _STARTED).unlink()
    print(f"{address}: complete in {seconds:.0f} s ({_counts(made.counts)})", flush=True)
    return made


def _begin(
    directory: Path, address: str, fingerprint: str, settings: dict[str, Any], *, resumes: bool
) -> None:
    """Note what is being made before the first byte of it, so that a resumed run cannot mix two
    recipes, and clear what a killed run left where the stage does not continue it.
    """
    note = directory / _STARTED
    if note.is_file() and resumes:
        started = json.loads(note.read_text())
        if started["fingerprint"] == fingerprint:
            return
        raise InputError(
            _contradiction(f"unfinished {address}", directory, started["settings"], settings)
        )
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    note.write_text(json.dumps({"fingerprint": fingerprint, "settings": settings}))


def _contradiction(
    address: str, directory: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]
) -> str:
    differences = manifest.differences(found, wanted) or ["its inputs have changed"]
    lines = "\n".join(f"  {line}" for line in differences)
    return (
        f"{directory}: {address} was made with another recipe:\n{lines}\n"
        "Use another `root`, or remove that directory to make it again."
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{key} {value}" for key, value in counts.items()) or "no rows"


def print_plan(recipe: Recipe, names: Sequence[str]) -> None:
    """Validate recipe, inputs, paths, models and resources of some stages, and print what they
    will do. Starts nothing.

    Raises:
        InputError, PromptsError: the first thing found that would stop the stages.
    """
    check_writable(Path(recipe.root))
    at = Round(recipe, 1)
    print(f"recipe {recipe.name}: {recipe.num_rounds} round(s) in {recipe.root}")
    for name in names:
        stage: Stage = import_module(f"jobs.stages.{name}").STAGE
        plan = stage.plan(at)
        check_cpus(plan.cpus, recipe, f"jobs.{name}")
        resources = f"{plan.cpus:g} CPUs" + (f", {plan.gpus:g} GPUs" if plan.gpus else "")
        output = f"{at.name(stage.kind)}@N"
        print(f"  {name:<12} {plan.rows}; {plan.actors} ({resources}) -> {output}", flush=True)
