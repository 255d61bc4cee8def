"""Continues a judge on the labels of one region, product or team: a line with a name of its own.

    the slice's labels + some of the parent's -> Ray Train + DeepSpeed -> LINE@N
    held-out labels of the slice, and of the parent -> both judges -> promote, or keep the parent

It is trained as `train_judge` trains, from the parent in place of the base and, unless the recipe
says otherwise, by adapters. Beside the slice's labels it sees some of those that its parent learned
from, since a judge that sees one taste alone forgets the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actors.storage import working_directory
from factory.evaluation import gates
from factory.evaluation.judge_change import Change, accuracy_change, error_change
from factory.judging.specification import SpecificationError
from jobs.datasets.files import read_columns
from jobs.datasets.labels import label_files, label_files_so_far
from jobs.datasets.reading import read_rows
from jobs.pipelines.given_judge import ask_for_labels
from jobs.pipelines.judge_training import (
    check_points,
    check_shown,
    fit_calibration,
    judge_task,
    label_datasets,
    specification_of,
)
from jobs.pipelines.models import checkpoint_ref
from jobs.pipelines.opinions import OPINIONS_FILE, judge_labels, write_opinions
from jobs.pipelines.training import run_fit
from jobs.rounds.checks import check_model
from jobs.rounds.history import told
from jobs.rounds.tracking import StageRun
from jobs.rounds.workspace import InputError, Model, Round
from jobs.stages.base import Outcome, Plan, fit_plan
from schemas import manifest, results
from schemas.columns import LABELS
from schemas.manifest import Parent, digest_file
from schemas.places import Place
from schemas.recipe import JudgeSpec, Localise, Recipe, TrainJudge
from schemas.results import Decision, Estimate, Localisation
from schemas.rows import Opinion, content_id
from schemas.section import Section


class Settings(Section):
    """What a local judge depends on, beside its parents."""

    seed: int
    localise: Localise
    train_judge: TrainJudge
    specification: str | None
    trust_remote_code: bool = False


class LocaliseJudge:
    """Makes `LINE@N`, of the kind `local_judge`."""

    kind = "local_judge"
    resumes = True

    def needs(self, recipe: Recipe) -> Sequence[str]:
        return ("judge", "train_judge", "localise")

    def plan(self, at: Round) -> Plan:
        settings = at.recipe.localise
        local = label_files(settings.labels)
        ask_for_labels(at, "jobs.localise")
        if all(manifest.read(one.directory("labels")) for one in (*at.earlier(), at)):
            _check_apart(local, label_files_so_far(at))
        if settings.parent is not None:
            check_model(settings.parent, "config.json", "localise.parent")
        try:
            # The round's judge may not be there yet; it is asked as its base is.
            specification_of(_judge(at, _given(at)))
        except SpecificationError as error:
            raise InputError(f"judge.specification: {error}") from None
        return fit_plan(f"labels of {settings.labels}", settings)

    def settings(self, at: Round) -> Settings:
        recipe = at.recipe
        return Settings(
            seed=recipe.seed,
            localise=at.recipe.localise,
            train_judge=recipe.train_judge,
            specification=recipe.judge.specification,
            trust_remote_code=_judge(at, _given(at)).trust_remote_code,
        )

    def parents(self, at: Round) -> list[Parent]:
        files = label_files(at.recipe.localise.labels)
        return [
            _parent(at).parent("parent"),
            *(Parent("slice", str(path), digest_file(path)) for path in files),
            *(one.parent("labels") for one in (*at.earlier(), at)),
        ]

    def make(self, at: Round, directory: Place, run: StageRun) -> Outcome:
        settings, parent = at.recipe.localise, _parent(at)
        local, general = label_files(settings.labels), label_files_so_far(at)
        _check_apart(local, general)
        continued = _continuing(at, parent)
        check_points(local, specification_of(continued.judge))
        check_shown([*local, *general], specification_of(continued.judge))
        task = judge_task(continued)
        datasets = label_datasets(_rows(local, general, settings), task)
        curves = run_fit(task, settings, datasets, at, self.kind, directory)

        produce, address = at.recipe.produce, at.address(self.kind)
        refs = (_ref(at, parent), _ref(at, Model(str(directory), address)))
        on_slice = [judge_labels(ref, local, produce, "heldout") for ref in refs]
        elsewhere = [judge_labels(ref, general, produce, "heldout") for ref in refs]
        both: list[Opinion] = [*on_slice[1], *elsewhere[1]]
        write_opinions(directory / OPINIONS_FILE, both)
        calibration, _ = fit_calibration(both, at.recipe.train_judge.calibration)
        if calibration is not None:
            with working_directory(directory) as path:
                calibration.save(path)

        boot = (at.recipe.calibration.num_resamples, at.recipe.seed)
        gained = accuracy_change(on_slice[0], on_slice[1], *boot)
        lost = accuracy_change(elsewhere[0], elsewhere[1], *boot)
        changes = {
            ("accuracy on the slice", "share"): gained,
            ("accuracy elsewhere", "share"): lost,
            ("error on the slice", "points"): error_change(on_slice[0], on_slice[1], *boot),
            ("error elsewhere", "points"): error_change(elsewhere[0], elsewhere[1], *boot),
        }
        found = Localisation(
            judge=address,
            parent=parent.address,
            slice=settings.labels,
            estimates=tuple(
                one
                for (name, unit), change in changes.items()
                for one in _estimates(name, unit, change, address, parent.address)
            ),
        )
        results.write(directory / results.LOCALISATION, found)
        run.log_artifact(directory / results.LOCALISATION)
        findings = gates.local_judge_gates(gained, lost, settings)
        decision = Decision(
            gates.decide(findings),
            challenger=address,
            champion=parent.address,
            findings=tuple(finding.about(address) for finding in findings),
        )
        results.write(directory / results.FINDINGS, decision)
        _say(found, decision)
        figures = {
            f"{one.name.replace(' ', '_')}_{edge}": value
            for one in found.estimates
            if one.name.startswith("change")
            for edge, value in (("value", one.value), ("low", one.low), ("high", one.high))
            if value is not None
        }
        counts = {"slice": gained.num, "elsewhere": lost.num}
        counts["invalid"] = gained.num_invalid + lost.num_invalid
        return Outcome(counts, figures, curves)


def _parent(at: Round) -> Model:
    path = at.recipe.localise.parent
    if path is None:
        at.need("judge")
        return Model(str(at.directory("judge")), at.address("judge"))
    return Model(path, f"{at.recipe.judge.name}@given")


def _given(at: Round) -> str:
    """What can be looked at before anything is made: the parent that the recipe names, else the
    base of the round's judge.
    """
    return at.recipe.localise.parent or at.recipe.judge.path


def _judge(at: Round, path: str) -> JudgeSpec:
    """The recipe's judge with other weights; asked as the base is."""
    trust = at.recipe.judge.trust_remote_code
    if at.recipe.localise.parent is not None:
        trust = at.recipe.localise.trust_remote_code  # trust in one checkpoint is none in another
    revision = at.recipe.judge.revision if path == at.recipe.judge.path else None  # nor this
    return at.recipe.judge.model_copy(
        update={"path": path, "trust_remote_code": trust, "revision": revision}
    )


def _continuing(at: Round, parent: Model) -> Recipe:
    """The recipe as `train_judge` would have it to continue the parent."""
    train = at.recipe.train_judge.model_copy(update={"lora": at.recipe.localise.lora})
    return at.recipe.model_copy(update={"judge": _judge(at, parent.path), "train_judge": train})


def _ref(at: Round, model: Model) -> Any:
    return checkpoint_ref(_judge(at, model.path), model.path, model.address)


def _rows(local: Sequence[Place], general: Sequence[Place], settings: Localise) -> Any:
    """Training rows of the slice, and as many of the parent's as the recipe asks for: those whose
    hashes come first, so that every run takes the same.
    """
    from ray.data.expressions import col

    rows = read_rows(local, LABELS, col("split") == "train")
    ids = _train_ids(local)
    num = round(len(ids) * settings.replay_share / (1 - settings.replay_share))
    others = _train_ids(general) - ids
    replayed = sorted(others, key=lambda one: content_id("replay", one))[:num]
    if not replayed:
        return rows
    return rows.union(read_rows(general, LABELS, col("label_id").is_in(replayed)))


def _train_ids(files: Sequence[Place]) -> set[str]:
    found: set[str] = set()
    for path in files:
        table = read_columns(path, ["label_id", "split"])
        found.update(row["label_id"] for row in table.to_pylist() if row["split"] == "train")
    return found


def _check_apart(local: Sequence[Place], general: Sequence[Place]) -> None:
    """That the slice teaches no prompt on which the parent is then held against its child.

    Raises:
        InputError: it does.
    """
    both = _prompts(local, "train") & _prompts(general, "heldout")
    if both:
        raise InputError(
            f"localise.labels: {len(both)} prompt(s) of the slice's training labels are among the "
            f"held-out prompts of the parent's labels, such as {min(both)}; the new judge would be "
            "compared with its parent on prompts that it alone has learned from. Hold these out in "
            "the slice too (split: heldout), or leave them out of it"
        )


def _prompts(files: Sequence[Place], split: str) -> set[str]:
    """The ids of the prompts of a split."""
    found: set[str] = set()
    for path in files:
        table = read_columns(path, ["prompt_id", "split"])
        found.update(row["prompt_id"] for row in table.to_pylist() if row["split"] == split)
    return found


def _estimates(
    what: str, unit: str, change: Change, child: str, parent: str
) -> tuple[Estimate, Estimate, Estimate]:
    counts = change.num, change.num_invalid
    return (
        Estimate.of(what, change.parent, None, unit, *counts, parent),
        Estimate.of(what, change.child, None, unit, *counts, child),
        Estimate.of(f"change of {what}", change.difference, 0.0, unit, *counts, child),
    )


def _say(found: Localisation, decision: Decision) -> None:
    for one in found.estimates:
        if one.num:
            print(f"{one.name} by {one.by}: {told(one)} {one.unit} over {one.num}", flush=True)
    for finding in decision.findings:
        if not finding.is_passed:
            print(f"gate {finding.gate}: {finding.message}", flush=True)
    kept = decision.challenger if decision.decision == "promote" else decision.champion
    print(f"decision: {decision.decision} {decision.challenger}; use {kept} here", flush=True)


STAGE = LocaliseJudge()
