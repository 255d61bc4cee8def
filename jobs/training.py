"""What the two training stages share: their plan, and where their checkpoints lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actors import storage
from jobs.stage import Plan
from jobs.workspace import Round
from schemas.places import Place
from schemas.recipe import Training

_RUNS = "_training"


def fit_plan(rows: str, training: Training) -> Plan:
    """Workers of a training run, beside one CPU for reading its rows."""
    return Plan(
        f"{rows}, {training.num_steps} steps of {training.batch_size}",
        f"{training.num_workers} worker(s), ZeRO {training.zero_stage}, {training.precision}",
        training.num_workers * training.cpus_per_worker + 1,
        training.num_workers * float(training.use_gpu),
    )


def samples_directory(at: Round) -> Place:
    """Where what the policy draws on the way lies until it is logged."""
    return at.root / _RUNS / f"samples-{at.address('generator')}"


def run_fit(
    task: Any,
    training: Training,
    datasets: Mapping[str, Any],
    at: Round,
    kind: str,
    directory: Place,
    samples: Any = None,
) -> list[dict[str, float]]:
    """Train, write the model to `directory`, and return its curves.

    The run's checkpoints lie in the root under a name of their own, so a killed job finds them.
    `samples` are `actors.trainers.samples.Samples`.
    """
    from actors.trainers.engine import fit

    filesystem, path = storage.arrow_path(at.root / _RUNS)
    with storage.working_directory(directory) as output:
        result = fit(
            task,
            training,
            datasets,
            output=output,
            run_name=at.address(kind),
            storage_path=path,
            storage_filesystem=filesystem if storage.is_remote(directory) else None,
            seed=at.recipe.seed,
            samples=samples,
        )
    return result.points
