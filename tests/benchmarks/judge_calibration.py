"""How far a trained judge's probabilities are from the truth, before and after calibration.

    python -m tests.benchmarks.judge_calibration [--root runs/laptop] [key=value …]

Runs `label` and `train_judge` of the laptop recipe (finished stages are left alone) and fits both
kinds of map on one half of the held-out prompts; all figures are about the other half, whose labels
are simulated.

ece_claimed, ece_temperature, ece_isotonic: mean distance of confidence and share right.
brier_claimed, brier_temperature, brier_isotonic: mean squared distance of probability and label.
precision_heard, coverage_heard: where the judge abstains below the confidence that was chosen for a
    precision of `train_judge.calibration.target_precision`; null where none reaches it.
num_pairs: pairs that all of these rest on.
"""

from __future__ import annotations

import argparse
import json
import math

from factory.agreement import heard, measure
from factory.intervals import Interval
from factory.judging.calibration import Calibration
from factory.judging.fitting import fit, part
from jobs import cli
from jobs.judging import heldout_opinions
from jobs.loop import run_stages
from jobs.workspace import Round
from schemas.recipe import load


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", default="runs/laptop")
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args()
    recipe = load(cli.LAPTOP, [f"root={given.root}", *given.overrides])
    run_stages(recipe, 1, ["label", "train_judge"])
    settings = recipe.train_judge.calibration
    parts = {"fit": [], "report": []}
    for one in heldout_opinions(Round(recipe, 1)):
        parts[part(one, settings.fit_share)].append(one)
    maps: dict[str, Calibration | None] = {"claimed": None}
    for method in ("temperature", "isotonic"):
        maps[method] = fit(parts["fit"], method, settings.target_precision)
    figures: dict[str, float | None] = {}
    for name, calibration in maps.items():
        found = measure(parts["report"], calibration, settings.num_resamples, recipe.seed)
        for figure, interval in (("ece", found.calibration_error), ("brier", found.brier)):
            figures[f"{figure}_{name}"] = interval.value
            print(
                f"{figure} {name}: {interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
            )
        figures["num_pairs"] = found.ties.num_labels
    fitted = maps["temperature"]
    assert fitted is not None
    rule = heard(parts["report"], fitted, settings.num_resamples, recipe.seed)
    for name, interval in (("precision", rule.precision), ("coverage", rule.coverage)):
        known = math.isfinite(interval.value)
        figures[f"{name}_heard"] = interval.value if known else None
        _say(f"{name} heard", interval)
    print(json.dumps(figures))


def _say(name: str, found: Interval) -> None:
    print(f"{name}: {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]")


if __name__ == "__main__":
    main()
