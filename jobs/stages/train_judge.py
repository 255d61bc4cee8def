"""Fine-tunes the judge from its base on human labels, and measures it on those held out.

labels of all rounds so far -> Ray Data -> Ray Train + DeepSpeed -> judge -> held-out labels
"""

from __future__ import annotations

import math
from typing import Any

from actors.storage import local_copy, place
from factory import gates
from factory.intervals import Interval
from factory.judging.specification import DEFAULT, FILE, JudgeSpecification
from factory.metrics import Accuracy, accuracy, flip_rate, spearman
from jobs.judging import judge_heldout_labels, labels_so_far
from jobs.pipelines import read_dataset
from jobs.stage import Outcome, Plan
from jobs.tracking import StageRun
from jobs.training import fit_plan, run_fit
from jobs.workspace import InputError, Model, Round, check_model
from schemas.manifest import Parent
from schemas.places import Place
from schemas.rows import Label


class JudgeGateError(InputError):
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

    def make(self, at: Round, directory: Place, run: StageRun) -> Outcome:
        from ray.data.expressions import col

        from actors.trainers.judge import JudgeTask

        recipe = at.recipe
        folders = [one.directory("labels") for one in (*at.earlier(), at)]
        rows = read_dataset(folders).filter(expr=col("split") == "train")
        task = JudgeTask(
            recipe.judge.path,
            _specification(recipe.judge.path),
            recipe.train_judge.pair_share,
            recipe.train_judge.label_smoothing,
            recipe.train_judge.order_consistency,
        )
        datasets = {
            "pairs": rows.filter(expr=col("preference").is_not_null()),
            "points": rows.filter(expr=col("points").is_not_null()),
        }
        datasets = {name: datasets[name] for name in task.shares}
        curves = run_fit(task, recipe.train_judge, datasets, at, "judge", directory)

        _, opinions = judge_heldout_labels(at)
        found, flips, correlation = _measure(opinions, recipe.seed)
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
            raise JudgeGateError(
                f"{at.address('judge')} fails its gate: {'; '.join(failed)}. "
                "Give it more or cleaner labels, or train it longer."
            )
        return Outcome(_count(labels_so_far(at)), _figures(found, flips, correlation), curves)


def _specification(base: str) -> JudgeSpecification:
    """How the judge is asked: as its base says where it says so, else as UnifiedReward does."""
    if (place(base) / FILE).is_file():
        return JudgeSpecification.load(local_copy(base))
    return DEFAULT


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
