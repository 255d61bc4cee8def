"""Fine-tunes the judge from its base on human labels, and measures it on those held out.

    labels of all rounds so far -> Ray Data -> Ray Train + DeepSpeed -> judge -> held-out labels
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

from factory import gates
from factory.intervals import Interval
from factory.judging.specification import DEFAULT
from factory.metrics import Accuracy, accuracy, flip_rate, spearman
from jobs import cli
from jobs.pipelines import data_files, read_table
from jobs.stage import Outcome, Plan
from jobs.tracking import StageRun
from jobs.training import fit_plan, run_fit
from jobs.workspace import InputError, Model, Round, check_model
from schemas.arrow import LABELS, labels_from_table
from schemas.manifest import Parent
from schemas.rows import Label


class JudgeNotGoodEnough(InputError):
    """A judge that fails its gate: nothing may be labelled by it."""


class TrainJudge:
    """Makes `judge@N`."""

    kind = "judge"
    resumes = True

    def plan(self, at: Round) -> Plan:
        check_model(at.recipe.judge.path, "config.json", "judge.path")
        return fit_plan("labels so far", at.recipe.train_judge)

    def settings(self, at: Round) -> dict[str, Any]:
        recipe = at.recipe
        return {
            "seed": recipe.seed,
            "train_judge": recipe.train_judge.model_dump(),
            "gates": recipe.gates.model_dump(include={"min_judge_accuracy", "max_flip_rate"}),
        }

    def parents(self, at: Round) -> list[Parent]:
        base = Model(at.recipe.judge.path, f"{at.recipe.judge.name}@0")
        rounds = [*at.earlier(), at]
        return [base.parent("base"), *[one.parent("labels") for one in rounds]]

    def make(self, at: Round, directory: Path, run: StageRun) -> Outcome:
        import ray
        import ray.data
        from ray.data.expressions import col

        from actors.measure import judge_labels
        from actors.stages import JudgeRef
        from actors.trainers.judge import JudgeTask

        recipe = at.recipe
        folders = [one.directory("labels") for one in (*at.earlier(), at)]
        labels = [one for folder in folders for one in labels_from_table(read_table(folder, LABELS))]
        rows = ray.data.read_parquet([str(path) for one in folders for path in data_files(one)])
        rows = rows.filter(expr=col("split") == "train")
        task = JudgeTask(
            recipe.judge.path,
            DEFAULT,
            recipe.train_judge.pair_share,
            recipe.train_judge.label_smoothing,
        )
        datasets = {
            "pairs": rows.filter(expr=col("preference").is_not_null()),
            "points": rows.filter(expr=col("points").is_not_null()),
        }
        datasets = {name: datasets[name] for name in task.shares}
        curves = run_fit(task, recipe.train_judge, datasets, at, "judge", directory)

        pool = recipe.produce.judges
        measure = ray.remote(num_cpus=pool.num_cpus, num_gpus=pool.num_gpus)(judge_labels)
        ref = JudgeRef(str(directory), at.address("judge"), recipe.judge.precision)
        heldout = [label for label in labels if label.split == "heldout"]
        found, flips, correlation = _measure(ray.get(measure.remote(ref, heldout)), recipe.seed)
        print(
            f"{at.address('judge')}: accuracy without ties {found.without_ties.value:.3f} "
            f"[{found.without_ties.low:.3f}, {found.without_ties.high:.3f}], flip rate "
            f"{flips.value:.3f}, score correlation {correlation:.3f} on held-out labels",
            flush=True,
        )
        failed = [
            finding.text
            for finding in gates.judge_gates(found.without_ties, flips, recipe.gates)
            if not finding.passed
        ]
        if failed:
            raise JudgeNotGoodEnough(
                f"{at.address('judge')} fails its gate: {'; '.join(failed)}. "
                "Give it more or cleaner labels, or train it longer."
            )
        return Outcome(_count(labels), _figures(found, flips, correlation), curves)


def _measure(opinions: Any, seed: int) -> tuple[Accuracy, Interval, float]:
    """Accuracy, flip rate and score correlation from the judge's view of held-out labels."""
    nan = (math.nan,) * 3
    p = [
        (one.matchup.p_first, one.matchup.p_second, one.matchup.p_tie) if one.matchup else nan
        for one in opinions.pairs
    ]
    clusters = [one.prompt_id for one in opinions.pairs]
    found = accuracy(p, [one.label for one in opinions.pairs], clusters, seed=seed)
    met = [one for one in opinions.pairs if one.matchup is not None]
    flips = flip_rate(
        [one.matchup.is_flipped for one in met], [one.prompt_id for one in met], seed=seed
    )
    given, scored = ([point[at] for point in opinions.points] for at in (1, 2))
    return found, flips, spearman(given, scored)


def _count(labels: list[Label]) -> dict[str, int]:
    return {
        "labels": len(labels),
        "train": sum(label.split == "train" for label in labels),
        "heldout": sum(label.split == "heldout" for label in labels),
    }


def _figures(found: Accuracy, flips: Interval, correlation: float) -> dict[str, float]:
    figures = {
        "accuracy_without_ties": found.without_ties.value,
        "accuracy_without_ties_low": found.without_ties.low,
        "accuracy_with_ties": found.with_ties.value,
        "invalid_rate": found.invalid_rate,
        "flip_rate": flips.value,
        "score_spearman": correlation,
    }
    return {name: value for name, value in figures.items() if math.isfinite(value)}


STAGE = TrainJudge()


def main(argv: list[str] | None = None) -> int:
    """Run the stage from the command line."""
    return cli.stage_main("train_judge", "Fine-tune the judge on human labels.", argv)


if __name__ == "__main__":
    sys.exit(main())
