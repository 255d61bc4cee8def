"""Distils the round's judge into a lighter one, on the groups that it judged.

    groups -> what score differences say of duels -> Ray Train + DeepSpeed -> LINE@N and its ONNX
    held-out labels -> both judges -> accuracy kept, speed gained -> promote, or keep the teacher

The held-out labels are those of all rounds so far, as for the teacher.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from actors.storage import local_model, working_directory
from actors.weights import hub_commit
from factory.evaluation import gates
from factory.evaluation.judge_change import accuracy_change, accuracy_kept
from factory.judging import by_scores
from factory.judging.by_scores import RaoKupper, met_with_scores
from factory.judging.specification import JudgeSpecification
from factory.statistics.intervals import Interval
from jobs.datasets.labels import label_batches, label_files_so_far
from jobs.datasets.reading import JUDGED, brought_in, read_dataset, stream
from jobs.pipelines.given_judge import (
    ask_for_labels,
    check_judge,
    judge_parents,
)
from jobs.pipelines.judge_backends import (
    check_checkpoint,
    check_trainable,
    specification_given,
)
from jobs.pipelines.models import checkpoint_ref, judge_ref, onnx_ref
from jobs.pipelines.opinions import OPINIONS_FILE, judge_labels, write_opinions
from jobs.pipelines.training import run_fit
from jobs.rounds.history import told
from jobs.rounds.tracking import StageRun
from jobs.rounds.workspace import InputError, Round, is_judge_given, judge
from jobs.stages.base import Outcome, Plan, fit_plan
from schemas import results
from schemas.arrow import duel_from_row, score_from_row
from schemas.manifest import Parent
from schemas.places import Place
from schemas.recipe import Distil, Recipe
from schemas.results import Decision, Distillation, Estimate
from schemas.rows import Opinion, Task
from schemas.section import Section

#: Labels on which the judges are timed: some seconds of the slowest.
_NUM_TIMED = 150


class Settings(Section):
    """What a light judge depends on, beside its parents."""

    seed: int
    distil: Distil
    trust_remote_code: bool = False
    allow_missing: list[str] = Field(default_factory=list)


class DistilJudge:
    """Makes `LINE@N`, of the kind `light_judge`."""

    kind = "light_judge"
    resumes = True

    def needs(self, recipe: Recipe) -> Sequence[str]:
        return ("judge", "distil")

    def plan(self, at: Round) -> Plan:
        settings = at.recipe.distil
        check_judge(at)
        check_trainable(at.recipe.judge, "judge.path", "distilled")
        if is_judge_given(at):  # one that is trained was looked at then
            check_checkpoint(at.recipe.judge, is_trained=True)
        ask_for_labels(at, "jobs.distil")
        if settings.is_exported:
            from actors.judges.onnx import check_packages

            check_packages()
        return fit_plan("groups", settings)

    def settings(self, at: Round) -> Settings:
        return Settings(
            seed=at.recipe.seed,
            distil=at.recipe.distil,
            trust_remote_code=at.recipe.judge.trust_remote_code,
            allow_missing=at.recipe.judge.allow_missing if is_judge_given(at) else [],
        )

    def parents(self, at: Round) -> list[Parent]:
        labels = [one.parent("labels") for one in (*at.earlier(), at)]
        return [*judge_parents(at), at.parent("groups"), *labels]

    def make(self, at: Round, directory: Place, run: StageRun) -> Outcome:
        settings, groups = at.recipe.distil, at.directory("groups")
        rules, num_groups, num_duels = verdict_rules(groups)
        if not rules:
            raise InputError(
                f"{at.address('groups')} has no duel in both orders between candidates with scores "
                "by this judge; produce with a strategy that lets candidates meet"
            )
        timed = _timed(label_files_so_far(at))
        if timed is None:
            raise InputError(
                f"{at.address('labels')} has no held-out pair to hold the light judge against; "
                "label more prompts, or mark some rows as split 'heldout'"
            )
        curves = run_fit(
            _task(at, rules),
            settings,
            {"groups": judged(groups, tuple(rules))},
            at,
            self.kind,
            directory,
        )
        refs = _refs(at, directory, settings)
        found, kept, opinions = _compare(at, refs, timed)
        write_opinions(directory / OPINIONS_FILE, opinions)
        results.write(directory / results.DISTILLATION, found)
        run.log_artifact(directory / results.DISTILLATION)
        teacher, light = judge(at).address, at.address(self.kind)
        gated = {by: gates.light_judge_gate(one, settings) for by, one in kept.items()}
        findings = tuple(finding.about(by) for by, finding in gated.items())
        decision = Decision(
            gates.decide(list(gated.values())),
            challenger=light,
            champion=teacher,
            findings=findings,
        )
        results.write(directory / results.FINDINGS, decision)
        for one in found.estimates:
            print(f"{one.name} of {one.by}: {told(one)} {one.unit}", flush=True)
        for finding in findings:
            if not finding.is_passed:
                print(f"gate {finding.gate}: {finding.message}", flush=True)
        print(f"decision: {decision.decision} {light}", flush=True)
        figures = {
            f"{one.name} {one.by.rpartition('/')[2]}".replace(" ", "_"): one.value
            for one in found.estimates
            if one.value is not None and one.by != teacher
        }
        return Outcome({"groups": num_groups, "duels": num_duels}, figures, curves)


def verdict_rules(groups: Place) -> tuple[dict[Task, RaoKupper], int, int]:
    """What score differences say of duels, for each task in a data set of groups; and how many
    groups and duels it was fitted on.
    """
    differences: dict[Task, list[float]] = {}
    said: dict[Task, list[tuple[float, float, float]]] = {}
    num_groups = 0
    for table in stream(groups, ["task", "scores", "duels"]):
        for row in table.to_pylist():
            scores = [score_from_row(one) for one in row["scores"] or ()]
            duels = [duel_from_row(one) for one in row["duels"] or ()]
            met = met_with_scores(scores, duels)
            num_groups += bool(met)
            for one, difference in met:
                differences.setdefault(row["task"], []).append(difference)
                said.setdefault(row["task"], []).append((one.p_first, one.p_second, one.p_tie))
    rules = {task: by_scores.fit(differences[task], p) for task, p in said.items()}
    return rules, num_groups, sum(map(len, said.values()))


def judged(groups: Place, tasks: tuple[Task, ...]) -> Any:
    """The groups that can be learned from, with their media: those with two scores or more."""

    def have_scores(table: pa.Table) -> pa.Table:
        known = [
            task in tasks and sum(one["error"] is None for one in scores or ()) > 1
            for task, scores in zip(
                table["task"].to_pylist(), table["scores"].to_pylist(), strict=True
            )
        ]
        return table.filter(pa.array(known, pa.bool_()))

    rows = read_dataset([groups], JUDGED, media="inline")
    rows = rows.map_batches(have_scores, batch_size=None, batch_format="pyarrow")
    return brought_in(rows, groups)


def _task(at: Round, rules: Mapping[Task, RaoKupper]) -> Any:
    from actors.trainers.distil import DistilTask

    settings, teacher = at.recipe.distil, judge(at).path
    asked = specification_given(at.recipe.judge) if is_judge_given(at) else None
    return DistilTask(
        teacher,
        asked or JudgeSpecification.load(Path(local_model(teacher))),
        rules,
        settings.text_layers,
        settings.vision_layers,
        settings.score_weight,
        settings.verdict_weight,
        at.recipe.judge.trust_remote_code,
        hub_commit(teacher, at.recipe.judge.revision),
        tuple(at.recipe.judge.allow_missing) if is_judge_given(at) else (),
    )


def _refs(at: Round, directory: Place, settings: Distil) -> dict[str, Any]:
    """The teacher and every form of the light judge, by what they are called."""
    light = at.address("light_judge")
    refs: dict[str, Any] = {
        judge(at).address: judge_ref(at),
        light: checkpoint_ref(
            at.recipe.judge.model_copy(update={"specification": None}), str(directory), light
        ),
    }
    if settings.is_exported:
        from actors.judges.onnx import export, quantise

        with working_directory(directory) as local:
            exported = export(local)
            files = [exported.name, quantise(exported).name]
        refs |= {f"{light}/{file}": onnx_ref(str(directory), light, file) for file in files}
    return refs


def _compare(
    at: Round, refs: Mapping[str, Any], timed: pa.Table
) -> tuple[Distillation, dict[str, Interval], list[Opinion]]:
    """Every form of the light judge beside the teacher: what is found, the accuracy that each form
    keeps, and what the weights themselves say of the held-out labels.

    Args:
        at: of the recipe.
        refs: the judges, the teacher first.
        timed: pairs to time them on.
    """
    import ray

    from actors.judge_workers import judgements_per_second

    files, pool = label_files_so_far(at), at.recipe.produce.judges
    boot = (at.recipe.calibration.num_resamples, at.recipe.seed)
    said = {by: judge_labels(ref, files, at.recipe.produce, "heldout") for by, ref in refs.items()}
    speed = ray.remote(num_cpus=pool.num_cpus, num_gpus=pool.num_gpus)(judgements_per_second)
    speeds = dict(zip(refs, ray.get(speed.remote(list(refs.values()), timed)), strict=True))
    teacher, *forms = refs
    estimates = [_speed(teacher, speeds[teacher])]
    kept = {}
    for form in forms:
        change = accuracy_change(said[teacher], said[form], *boot)
        kept[form] = accuracy_kept(said[teacher], said[form], *boot)
        counts = (change.num, change.num_invalid)
        if form == forms[0]:
            estimates.append(Estimate.of("accuracy", change.parent, 0.5, "share", *counts, teacher))
        estimates += [
            Estimate.of("accuracy", change.child, 0.5, "share", *counts, form),
            Estimate.of("accuracy kept", kept[form], 1.0, "of the teacher's", *counts, form),
            _speed(form, speeds[form]),
            Estimate(
                "speed gained",
                speeds[form] / speeds[teacher],
                neutral=1.0,
                unit="times the teacher's",
                by=form,
            ),
        ]
    found = Distillation(forms[0], teacher, tuple(estimates))
    return found, kept, said[forms[0]]


def _timed(files: list[Place]) -> pa.Table | None:
    """Held-out pairs to time the judges on; None where there is no such pair."""
    taken: list[pa.Table] = []
    for batch in label_batches(files, "heldout"):
        table = pa.Table.from_batches([batch])
        taken.append(table.filter(pc.is_valid(table["preference"])))
        if sum(one.num_rows for one in taken) >= _NUM_TIMED:
            break
    if not any(one.num_rows for one in taken):
        return None
    return pa.concat_tables(taken).slice(0, _NUM_TIMED)


def _speed(by: str, value: float) -> Estimate:
    return Estimate("speed", value, neutral=None, unit="judgements/s of one thread", by=by)


STAGE = DistilJudge()
