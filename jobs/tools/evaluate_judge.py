"""Benchmark files -> label rows -> a judge's opinions -> the report on the judge.

A benchmark is a set of labels that are all held out, so it is imported like any other and nothing
here knows a format. What was judged once is kept: the same command prints the report again. The
report depends on what the labels say and on the judge alone: the same rows in other files, in
another order and before another number of judges give the same file to the byte.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actors.storage import local_copy, local_path, place
from factory.evaluation.benchmark_report import quoted
from factory.evaluation.judge_report import report
from factory.evaluation.report_text import as_text
from factory.judging.calibration import Calibration
from factory.labels.registry import OWN, Format
from factory.labels.table import Table
from jobs.datasets.labels import label_files, labels_seen
from jobs.pipelines.given_judge import judge_parents
from jobs.pipelines.judge_backends import parents_of
from jobs.pipelines.models import ONNX, asked_as, named_judge, resolve
from jobs.pipelines.opinions import OPINIONS_FILE, judge_labels, write_opinions
from jobs.rounds import lifecycle
from jobs.rounds.checks import check_address, check_cpus, check_writable
from jobs.rounds.lifecycle import Blueprint, Outcome
from jobs.rounds.tracking import Tracker
from jobs.rounds.workspace import InputError, Model, Round
from jobs.session.ray_session import ray_session
from jobs.tools import import_labels as importing
from jobs.tools.import_labels import NOT_HELD, Import
from schemas import manifest, results
from schemas.manifest import Manifest, Parent
from schemas.places import DATA, Place
from schemas.recipe import EndpointSpec, Recipe
from schemas.results import JudgeReport, LabelsSeen
from schemas.rows import Opinion
from schemas.section import Section

_LABELS = "labels@1"  # below the benchmark's directory: the imported rows


@dataclass(frozen=True)
class Benchmark:
    """What a judge is measured on.

    format: of the files; None for label rows of ours.
    files: of the benchmark.
    media: directory below which rows may name media.
    judge: as `jobs.pipelines.models.named_judge` takes it; the round's judge where None.
    tags: slices beside the tasks.
    table: how a table of one's own is read, where that is the format.
    """

    format: Format | None
    files: tuple[str, ...]
    media: Path | None = None
    judge: str | None = None
    tags: tuple[str, ...] = ()
    table: Table | None = None

    @property
    def name(self) -> str:
        return OWN if self.format is None else self.format.name


class Asked(Section):
    """How a judge that is not the round's is asked."""

    model: str
    specification: str | None
    trust_remote_code: bool = False


class Settings(Section):
    """What the report depends on, beside the judge and the files."""

    seed: int
    format: str
    num_resamples: int
    tags: list[str]
    judge: EndpointSpec | Asked | None
    plugin: str | None = None  # package.module:NAME of the format, where it is no shipped one
    map: dict[str, str] | None = None  # of a table of one's own, as in `import_labels`
    values: dict[str, str] | None = None
    points: tuple[float, float] | None = None
    stability: int | None = None  # labels on which it is measured, and nothing else


def evaluate_judge(benchmark: Benchmark, at: Round, out: Path) -> JudgeReport:
    """Measure the judge, or print again what was measured.

    Raises:
        InputError: a missing input, or work of another recipe under this address.
        LabelError, StreamError: a benchmark file that cannot be used.
    """
    ref, judge = judge_of(benchmark, at)
    blueprint = blueprint_of(benchmark, judge, at, out)
    made = lifecycle.find(blueprint)
    if made is not None:
        lifecycle.say_complete(made)
        print(as_text(_report_in(out)), flush=True)
    else:
        lifecycle.check_free(blueprint, "evaluation")
        made = lifecycle.make(
            blueprint, lambda: _measure(benchmark, ref, judge, at, out), keeps=False
        )
    if not lifecycle.is_finished(out):
        _track(made, out, benchmark, at)
        lifecycle.finish(out, made)
    print(f"{made.address}: {out}", flush=True)
    return _report_in(out)


def _report_in(out: Path) -> JudgeReport:
    measured = results.read(out / results.AGREEMENT, JudgeReport)
    if measured is None:
        raise InputError(f"{out / results.AGREEMENT}: missing; remove {out} to measure again")
    return measured


def _measure(benchmark: Benchmark, ref: Any, judge: Model, at: Round, out: Path) -> Outcome:
    """Import the benchmark, ask the judge, and write its opinions and the report on them."""
    files, imported = labels_of(benchmark, out)
    seen = _seen(files, imported)
    with ray_session(at.recipe):
        opinions = judge_labels(ref, files, at.recipe.produce, "heldout", with_scores=True)
    if not opinions:
        raise InputError(f"{', '.join(benchmark.files)}: no held-out label to measure a judge on")
    measured = report(
        opinions,
        judge.address,
        benchmark.name,
        Calibration.load(local_copy(judge.path)) if place(judge.path).is_dir() else None,
        tags=_tags(benchmark),
        macro_tag=benchmark.format.macro_tag if benchmark.format else None,
        num_resamples=at.recipe.evaluate.num_resamples,
        seed=at.recipe.seed,
    )
    measured = replace(
        quoted(measured, opinions, at.recipe.evaluate.num_resamples, at.recipe.seed), seen=seen
    )
    write_opinions(out / OPINIONS_FILE, opinions)
    results.write(out / results.AGREEMENT, measured)
    print(as_text(measured), flush=True)
    _say_faults(opinions)
    if seen.num_unusable:
        num = seen.num_unusable
        print(f"  {num} row(s) unusable: {out / _LABELS / importing.INVALID}", flush=True)
    return Outcome(
        {**_count(opinions), "unusable_rows": seen.num_unusable},
        {
            one.name.replace(" ", "_"): one.value
            for one in measured.slices[0].estimates
            if one.value is not None
        },
        digest=manifest.digest_file(out / OPINIONS_FILE),
    )


def _track(made: Manifest, out: Path, benchmark: Benchmark, at: Round) -> None:
    """A run of the round in MLflow, with figures, settings and where the rows came from."""
    tracker = Tracker.of(at.recipe)
    with tracker.stage(at.number, f"evaluate_judge-{benchmark.name}", made.fingerprint) as run:
        run.log_params(made.settings)
        run.log_metrics({**made.counts, **made.figures})
        run.log_dataset(made, out)
        run.log_artifact(out / results.AGREEMENT)


def print_plan(benchmark: Benchmark, at: Round, out: Path) -> None:
    """Check judge, files and resources, and say what will be done. Writes nothing."""
    _, judge = judge_of(benchmark, at)
    check_writable(out)
    if benchmark.format is None:
        num = sum(len(label_files(path)) for path in benchmark.files)
        print(f"{num} file(s) of label rows, those held out; {judge.address} -> {out}")
    else:
        importing.check(_import(benchmark), out / _LABELS)
        print(f"{benchmark.name}; {judge.address} -> {out}", flush=True)


def judge_of(benchmark: Benchmark, at: Round) -> tuple[Any, Model]:
    """The judge, where there is room for it."""
    ref, judge = named_judge(benchmark.judge, at)
    pool = at.recipe.produce.judges
    check_cpus(pool.size * pool.num_cpus + 1, at.recipe, "jobs.evaluate_judge")
    return ref, judge


def blueprint_of(
    benchmark: Benchmark, judge: Model, at: Round, out: Path, stability: int | None = None
) -> Blueprint:
    """What is made: the report on the judge, or with `stability` the measure of it, on so many
    labels.

    Raises:
        InputError: a missing file, or no address.
    """
    check_address(out, "--out")
    if benchmark.format is None:
        files = [file for path in benchmark.files for file in label_files(path)]
        sources = [Parent("labels", str(path), manifest.digest_file(path)) for path in files]
    else:
        sources = list(importing.blueprint_of(_import(benchmark), out / _LABELS).parents)
    settings = Settings(
        seed=at.recipe.seed,
        format=benchmark.name,
        plugin=None if benchmark.format is None else benchmark.format.plugin,
        num_resamples=at.recipe.evaluate.num_resamples,
        tags=list(benchmark.tags),
        judge=_asked(benchmark, at),
        stability=stability,
        **importing.table_settings(benchmark.table),
    )
    parents = [*_judge_parents(benchmark, judge, at), *sources]
    kind = "agreement" if stability is None else "stability"
    return Blueprint(out, kind, settings, parents, "recipe or command line", "--out")


def _judge_parents(benchmark: Benchmark, judge: Model, at: Round) -> list[Parent]:
    if benchmark.judge is None:
        return judge_parents(at)
    if not benchmark.judge.endswith(ONNX) and resolve(benchmark.judge, at).spec.panel:
        return parents_of(resolve(benchmark.judge, at).spec, judge.address)
    return [judge.parent("judge")]


def labels_of(benchmark: Benchmark, out: Path) -> tuple[list[Place], Manifest | None]:
    """The label rows, imported where they are not ours, and of what is imported the manifest."""
    if benchmark.format is None:
        return [file for path in benchmark.files for file in label_files(path)], None
    imported = importing.import_labels(_import(benchmark), out / _LABELS)
    return label_files(str(out / _LABELS)), imported


def _seen(files: Sequence[Place], imported: Manifest | None) -> LabelsSeen:
    """What the labels are, and what became of the rows that gave none."""
    seen = labels_seen(files, "heldout")
    if imported is None:
        return seen
    kinds = {name: num for name, num in imported.counts.items() if name.startswith(NOT_HELD)}
    return replace(
        seen,
        num_unusable=imported.counts["invalid"],
        not_held={name.removeprefix(NOT_HELD): num for name, num in sorted(kinds.items())},
    )


def _asked(benchmark: Benchmark, at: Round) -> EndpointSpec | Asked | None:
    if benchmark.judge is None:
        return None
    if benchmark.judge.endswith(ONNX):
        spec = asked_as(benchmark.judge, at.recipe)
    else:
        spec = resolve(benchmark.judge, at).spec
    if spec.told == "endpoint":
        return EndpointSpec.of(spec)
    return Asked(
        model=benchmark.judge,
        specification=spec.specification,
        trust_remote_code=spec.trust_remote_code,
    )


def _import(benchmark: Benchmark) -> Import:
    assert benchmark.format is not None
    files = tuple(Path(path) for path in benchmark.files)
    return Import(
        *(benchmark.format, files, benchmark.media, 1.0), keep_going=True, table=benchmark.table
    )


def _tags(benchmark: Benchmark) -> Sequence[str]:
    macro = benchmark.format.macro_tag if benchmark.format else None
    return tuple(dict.fromkeys([*([macro] if macro else []), *benchmark.tags]))


def _count(opinions: Sequence[Opinion]) -> dict[str, int]:
    return {
        "labels": len(opinions),
        "pairs": sum(one.preference is not None for one in opinions),
        "points": sum(one.preference is None for one in opinions),
        "invalid": sum(_fault(one) is not None for one in opinions),
    }


def _fault(opinion: Opinion) -> str | None:
    """Why an opinion, or a part of it, could not be read."""
    errors = [one.error for one in opinion.scores] + [one.error for one in opinion.duels]
    return opinion.error or next(filter(None, errors), None)


def _say_faults(opinions: Sequence[Opinion]) -> None:
    faults = Counter(fault for one in opinions if (fault := _fault(one)) is not None)
    for reason, num in faults.most_common(3):
        print(f"  {num} label(s) not judged: {reason:.200}", flush=True)


def run(recipe: Recipe, given: argparse.Namespace) -> None:
    """Measure the judge that the command line names, or say what would be done.

    Raises:
        InputError: as `evaluate_judge`.
    """
    at = Round(recipe, given.round)
    benchmark, out = named_benchmark(recipe, given, "benchmark")
    if given.dry_run:
        print_plan(benchmark, at, out)
    else:
        evaluate_judge(benchmark, at, out)


def named_benchmark(recipe: Recipe, given: argparse.Namespace, name: str) -> tuple[Benchmark, Path]:
    """What the command line names, and where what is found goes: NAME-FORMAT@ROUND where it does
    not say.

    Raises:
        InputError, FormatError, PluginError, TableError: it names what cannot be.
    """
    form, own = None, None
    if given.format != OWN:
        form, own = importing.named_format(given, "--format")
    elif given.map or given.values or given.points:
        raise InputError("--map, --values, --points: are for --format table, not for label rows")
    files, tags = tuple(given.file), tuple(given.slice)
    benchmark = Benchmark(form, files, given.media, given.judge, tags, own)
    if given.out is None and local_path(recipe.root) is None:
        raise InputError(
            f"--out: give a local directory; the root of the recipe is none: {recipe.root}"
        )
    out = given.out or Path(recipe.root, DATA, f"{name}-{benchmark.name}@{given.round}")
    return benchmark, out
