"""How far a trained judge's probabilities are from the truth, before and after calibration.

    python -m tests.benchmarks.judge_calibration [--root runs/laptop] [--prompts 300] [key=value …]

Runs `label`, `train_judge` and `produce` of the laptop recipe (finished stages are left alone). The
recipe's simulated annotators, with mistakes of their own, then label candidates of prompts that the
judge never saw a label of, and the judge is asked about the same pairs. They are cut in two by
prompt: all figures but the first two are of maps fitted on one half and measured on the other.

ece_claimed: mean distance of claimed confidence and share right, over all fresh pairs.
ece_shipped: the same with the calibration that `train_judge` stored, fitted on its held-out labels.
ece_temperature, ece_isotonic: with a map fitted on half of the fresh pairs.
ece_by_chance: what a judge without any error shows with as many pairs.
brier_claimed, brier_temperature, brier_isotonic: mean squared distance of probability and label.
precision_heard, coverage_heard: where the judge abstains below the confidence that was chosen for a
    precision of `train_judge.calibration.target_precision`; null where no confidence proves it.
num_pairs: all fresh pairs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

from factory.evaluation.agreement import heard, measure
from factory.judging.calibration import Calibration
from factory.judging.fitting import fit, part
from factory.sandbox.labels import annotators_of, simulate_labels
from factory.statistics.intervals import Interval
from jobs import cli
from jobs.datasets.files import row_batches, write_table
from jobs.datasets.reading import data_files
from jobs.pipelines.models import judge_ref
from jobs.pipelines.opinions import judge_labels
from jobs.rounds.workspace import Round
from jobs.session.ray_session import ray_session
from jobs.stages.run import run_stages
from schemas.arrow import groups_from_table, labels_to_table
from schemas.recipe_file import load
from schemas.rows import Label

_NUM_CANDIDATES = 4


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", default="runs/laptop")
    parser.add_argument("--prompts", type=int, default=300)
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args()
    recipe = load(cli.LAPTOP, [f"root={given.root}", *given.overrides])
    run_stages(recipe, 1, ["label", "train_judge", "produce"])
    at = Round(recipe, 1)
    file = at.root / "benchmark" / "calibration.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_table(file, labels_to_table(_fresh_labels(at, given.prompts)), row_group_size=256)
    with ray_session(recipe):
        opinions = judge_labels(judge_ref(at), [file], recipe.produce)
    settings = recipe.train_judge.calibration
    halves = {
        name: [one for one in opinions if part(one, 0.5) == name] for name in ("fit", "report")
    }
    maps: dict[str, Calibration | None] = {
        "claimed": None,
        "temperature": fit(halves["fit"], "temperature", settings.target_precision),
        "isotonic": fit(halves["fit"], "isotonic", settings.target_precision),
    }
    boot = {"num_resamples": settings.num_resamples, "seed": recipe.seed}
    figures: dict[str, float | None] = {}
    whole = measure(opinions, None, **boot)
    shipped = measure(opinions, Calibration.load(at.directory("judge")), **boot)
    for name, found in (("claimed", whole), ("shipped", shipped)):
        figures[f"ece_{name}"] = _say(f"ece {name}", found.calibration_error)
    for name, calibration in maps.items():
        found = measure(halves["report"], calibration, **boot)
        if calibration is not None:
            figures[f"ece_{name}"] = _say(f"ece {name}", found.calibration_error)
            figures["ece_by_chance"] = found.error_by_chance
        figures[f"brier_{name}"] = _say(f"brier {name}", found.brier)
    fitted = maps["temperature"]
    assert fitted is not None
    rule = heard(halves["report"], fitted, **boot)
    figures["precision_heard"] = _say("precision heard", rule.precision)
    figures["coverage_heard"] = _say("coverage heard", rule.coverage)
    figures["num_pairs"] = whole.accuracy.num_labels
    print(json.dumps(figures))


def _fresh_labels(at: Round, num_prompts: int) -> list[Label]:
    """Simulated labels of some of the round's candidates, by annotators with another seed."""
    labels = at.recipe.labels.model_copy(update={"heldout_share": 1.0})
    annotators = annotators_of(labels, at.recipe.seed + 1)
    groups = itertools.islice(_groups(at.directory("groups")), num_prompts)
    return [
        label
        for group in groups
        for label in simulate_labels(
            replace(group, candidates=group.candidates[:_NUM_CANDIDATES]),
            annotators,
            labels,
            at.recipe.seed + 1,
        )
        if label.preference is not None
    ]


def _groups(directory: Path):
    for path in data_files(directory):
        for batch in row_batches(path, 16):
            yield from groups_from_table(batch)


def _say(name: str, found: Interval) -> float | None:
    print(f"{name}: {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]")
    return found.value if math.isfinite(found.value) else None


if __name__ == "__main__":
    main()
