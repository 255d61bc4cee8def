"""Fine-tunes the judge from its base on human labels, and measures it on those held out.

    labels of all rounds so far -> Ray Data -> Ray Train + DeepSpeed -> judge -> held-out labels

What the judge makes of the held-out labels is kept beside its weights (`opinions.parquet`). Its
calibration is fitted on one part of their prompts, and the report is about the other part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from actors.storage import working_directory
from factory.evaluation.judge_report import AFTER, estimate_of, report
from factory.evaluation.report_text import as_text
from factory.judging.specification import JudgeSpecification, SpecificationError
from factory.ranking import Scale, fit_noise
from factory.ranking.noise import FILE as NOISE
from jobs.datasets.files import read_columns
from jobs.datasets.labels import label_files_so_far
from jobs.datasets.reading import read_dataset
from jobs.pipelines.judge_backends import check_checkpoint, check_trainable
from jobs.pipelines.judge_training import (
    check_clips_of,
    check_points,
    check_shares,
    check_shown,
    fit_calibration,
    judge_task,
    label_datasets,
    specification_of,
)
from jobs.pipelines.models import judge_ref
from jobs.pipelines.opinions import (
    OPINIONS_FILE,
    hold_against_gates,
    judge_labels,
    write_opinions,
)
from jobs.pipelines.training import run_fit, stopping
from jobs.rounds.tracking import StageRun
from jobs.rounds.workspace import InputError, Model, Round
from jobs.stages.base import Outcome, Plan, fit_plan
from schemas import recipe as sections
from schemas import results
from schemas.columns import LABELS
from schemas.manifest import Parent
from schemas.places import Place
from schemas.recipe import Recipe
from schemas.results import Finding, JudgeReport
from schemas.rows import Task
from schemas.section import Section

if TYPE_CHECKING:
    pass


class JudgeGateError(InputError):
    """A judge that fails its gate: nothing may be labelled by it."""


class JudgeGates(Section):
    """The gates that a judge is held against."""

    min_judge_accuracy: float
    max_flip_rate: float


class Settings(Section):
    """What a judge depends on, beside its parents."""

    seed: int
    train_judge: sections.TrainJudge
    specification: str | None = None
    trust_remote_code: bool = False
    revision: str | None = None
    allow_missing: list[str] = Field(default_factory=list)
    gates: JudgeGates


class TrainJudge:
    """Makes `judge@N`."""

    kind = "judge"
    resumes = True

    def needs(self, recipe: Recipe) -> Sequence[str]:
        return ("judge", "train_judge")

    def plan(self, at: Round) -> Plan:
        check_trainable(at.recipe.judge, "judge.path", "trained")
        check_checkpoint(at.recipe.judge, is_trained=True)
        try:
            check_shares(specification_of(at.recipe.judge), at.recipe.train_judge)
        except SpecificationError as error:
            raise InputError(f"judge.specification: {error}") from None
        return fit_plan("labels so far", at.recipe.train_judge)

    def settings(self, at: Round) -> Settings:
        recipe = at.recipe
        return Settings(
            seed=recipe.seed,
            train_judge=recipe.train_judge,
            specification=recipe.judge.specification,
            trust_remote_code=recipe.judge.trust_remote_code,
            revision=recipe.judge.revision,
            allow_missing=recipe.judge.allow_missing,
            gates=JudgeGates(
                min_judge_accuracy=recipe.gates.min_judge_accuracy,
                max_flip_rate=recipe.gates.max_flip_rate,
            ),
        )

    def parents(self, at: Round) -> list[Parent]:
        base = Model(at.recipe.judge.path, f"{at.recipe.judge.name}@0")
        rounds = [*at.earlier(), at]
        return [base.parent("base"), *[one.parent("labels") for one in rounds]]

    def make(self, at: Round, directory: Place, run: StageRun) -> Outcome:
        from ray.data.expressions import col

        recipe = at.recipe
        files = label_files_so_far(at)
        check_points(files, specification_of(recipe.judge))
        check_shown(files, specification_of(recipe.judge))
        check_clips_of(files, recipe)
        directories = [one.directory("labels") for one in (*at.earlier(), at)]
        rows = read_dataset(directories, LABELS, where=col("split") == "train")
        task = judge_task(recipe)
        datasets = label_datasets(rows, task)
        curves = run_fit(task, recipe.train_judge, datasets, at, "judge", directory)

        scored = _is_scored(specification_of(recipe.judge))
        opinions = judge_labels(judge_ref(at), files, recipe.produce, "heldout", with_scores=scored)
        write_opinions(directory / OPINIONS_FILE, opinions)
        calibration, rest = fit_calibration(opinions, recipe.train_judge.calibration)
        if calibration is not None:
            with working_directory(directory) as local:
                calibration.save(local)
                # On what the calibration was fitted on: the rest tells what its claims are worth.
                seen = [one for one in opinions if one.prompt_id in calibration.fitted_on]
                noise = fit_noise((), labels=seen, scales=_scales(recipe))
                noise.save(local / NOISE)
        made = report(
            rest,
            at.address("judge"),
            "held-out labels",
            calibration,
            num_resamples=recipe.train_judge.calibration.num_resamples,
            seed=recipe.seed,
        )
        results.write(directory / results.AGREEMENT, made)
        print(as_text(made), flush=True)
        run.log_artifact(directory / results.AGREEMENT)
        findings = hold_against_gates(opinions, at)
        results.write(directory / results.FINDINGS, findings)
        failed = [finding.message for finding in findings if not finding.is_passed]
        if failed:
            raise JudgeGateError(
                f"{at.address('judge')} fails its gate: {'; '.join(failed)}. "
                "Give it more or cleaner labels, or train it longer."
            )
        return Outcome(_count(files), {**_figures(made, findings), **stopping(curves)}, curves)


def _is_scored(told: JudgeSpecification) -> bool:
    """Whether sides of labelled pairs are scored too: by duels alone nobody knows how much of the
    scale that scores are on a judge's noise is.
    """
    return all("score" in told.task(task).kinds for task in told.tasks)


def _scales(recipe: Recipe) -> dict[Task, Scale]:
    told = specification_of(recipe.judge).tasks
    return {task: Scale.of(float(one.scale[0]), float(one.scale[-1])) for task, one in told.items()}


def _count(files: Sequence[Place]) -> dict[str, int]:
    """Labels by split; the media stay where they are."""
    splits = [split for path in files for split in read_columns(path, ["split"])["split"]]
    found = Counter(one.as_py() for one in splits)
    return {"labels": found.total(), "train": found["train"], "heldout": found["heldout"]}


def _figures(made: JudgeReport, findings: Sequence[Finding]) -> dict[str, float]:
    """What goes into the manifest: the gates' figures, and the report's in brief."""
    figures = {
        "accuracy_without_ties": findings[0].value,
        "accuracy_without_ties_low": findings[0].low,
        "flip_rate": findings[1].value,
    }
    for name in _IN_BRIEF:
        found = estimate_of(made, name)
        figures[name.replace(" ", "_")] = found.value if found else None
    return {name: value for name, value in figures.items() if value is not None}


#: Figures of the report that the manifest repeats, for MLflow and the page of the round.
_IN_BRIEF = (
    "accuracy with ties",
    "invalid rate",
    "score correlation",
    "calibration error",
    "calibration error" + AFTER,
    "Brier score",
    "Brier score" + AFTER,
    "precision where heard",
    "coverage where heard",
)

STAGE = TrainJudge()
