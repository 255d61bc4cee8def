"""What the two training stages share: their plan, and where their checkpoints lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from actors import storage
from jobs.rounds.workspace import Round
from schemas.places import TRAINING, Place
from schemas.recipe import Training
from schemas.rows import draw_of


def samples_directory(at: Round) -> Place:
    """Where what the policy draws on the way lies until it is logged."""
    return at.root / TRAINING / f"samples-{at.address('generator')}"


def run_fit(
    task: Any,
    training: Training,
    datasets: Mapping[str, Any],
    at: Round,
    kind: str,
    directory: Place,
    samples: Any = None,
) -> list[dict[str, float]]:
    """Train, write the model to `directory`, and return its curves; says meanwhile how far it is.

    The run's checkpoints lie in the root under a name of their own, so a killed job finds them.
    `samples` are `actors.trainers.samples.Samples`.
    """
    from actors.tally import TallyHandle
    from actors.trainers.engine import fit
    from jobs.session.progress import training_shown

    kept_out: dict[str, Any] = {}
    if training.early_stopping is not None:
        share = training.early_stopping.share
        kept_out = {name: _split(rows, share, True) for name, rows in datasets.items()}
        datasets = {name: _split(rows, share, False) for name, rows in datasets.items()}
    filesystem, path = storage.arrow_path(at.root / TRAINING)
    tally = TallyHandle()
    with (
        training_shown(at.address(kind), training, tally),
        storage.working_directory(directory) as output,
    ):
        result = fit(
            task,
            training,
            datasets,
            output=output,
            run_name=at.address(kind),
            storage_path=path,
            storage_filesystem=filesystem,
            seed=at.recipe.seed,
            samples=samples,
            kept_out=kept_out,
            tally=tally,
        )
    return result.points


def stopping(curves: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Where early stopping found the best weights: "best_step" and its "validation_loss"; nothing
    for a run without.
    """
    looks = [point for point in curves if "validation_loss" in point]
    if not looks:
        return {}
    best = min(looks, key=lambda point: point["validation_loss"])
    return {"best_step": best["step"], "validation_loss": best["validation_loss"]}


def _split(rows: Any, share: float, is_kept_out: bool) -> Any:
    """The rows whose prompts are kept out of training, or the others."""
    part = partial(_part, share=share, is_kept_out=is_kept_out)
    return rows.map_batches(part, batch_size=None, batch_format="pyarrow")


def _part(table: pa.Table, share: float, is_kept_out: bool) -> pa.Table:
    drawn = [draw_of("kept out", one) < share for one in table["prompt_id"].to_pylist()]
    return table.filter(pa.array([one == is_kept_out for one in drawn], pa.bool_()))
