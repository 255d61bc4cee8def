"""Benchmark files -> label rows -> a judge's opinions -> the report on the judge.

A benchmark is a set of labels that are all held out, so it is imported like any other and nothing
here knows a format. What was judged once is kept: the same command prints the report again.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from actors.storage import local_copy, local_path, place
from factory.evaluation.judge_report import as_text, report
from factory.judging.calibration import Calibration
from factory.labels.registry import FORMATS, Format
from jobs.datasets.labels import label_files
from jobs.pipelines.models import ENDPOINT, named_judge
from jobs.pipelines.opinions import OPINIONS_FILE, judge_labels, write_opinions
from jobs.rounds.checks import check_cpus, check_writable, code_settings
from jobs.rounds.lineage import ADDRESS
from jobs.rounds.tracking import Tracker
from jobs.rounds.workspace import InputError, Model, Round, complete
from jobs.session.ray_session import ray_session
from jobs.tools import import_labels as importing
from jobs.tools.import_labels import Import
from schemas import manifest, results
from schemas.manifest import Manifest, Parent
from schemas.places import Place
from schemas.recipe import Recipe
from schemas.results import JudgeReport
from schemas.rows import Opinion

_LABELS = "labels@1"  # below the benchmark's directory: the imported rows


@dataclass(frozen=True)
class Benchmark:
    """What a judge is measured on.

    format: of the files; None for label rows of ours.
    files: of the benchmark.
    media: directory below which rows may name media.
    judge: directory or hub name, asked as `judge.specification` says, or "endpoint"; the round's
        judge where None.
    tags: slices beside the tasks.
    """

    format: Format | None
    files: tuple[str, ...]
    media: Path | None = None
    judge: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return "labels" if self.format is None else self.format.name


def evaluate_judge(benchmark: Benchmark, at: Round, out: Path) -> JudgeReport:
    """Measure the judge, or print again what was measured.

    Raises:
        InputError: a missing input, or work of another recipe under this address.
        LabelError, StreamError: a benchmark file that cannot be used.
    """
    ref, judge, files, parents, settings, num_unusable = _prepare(benchmark, at, out)
    wanted = manifest.fingerprint("agreement", settings, parents)
    made = manifest.read(out)
    if made is not None and made.fingerprint != wanted:
        lines = manifest.differences(made.settings, settings) or ["its judge or files have changed"]
        raise InputError(
            f"{out}: holds another evaluation:\n"
            + "\n".join(f"  {line}" for line in lines)
            + "\nGive another --out, or remove that directory."
        )
    found = results.read(out / results.AGREEMENT, JudgeReport)
    if made is not None and found is not None:
        print(f"{made.address}: complete already", flush=True)
        print(as_text(found), flush=True)
        return found

    with ray_session(at.recipe):
        opinions = judge_labels(ref, files, at.recipe.produce, "heldout", with_scores=True)
    if not opinions:
        raise InputError(f"{', '.join(benchmark.files)}: no held-out label to measure a judge on")
    found = report(
        opinions,
        judge.address,
        benchmark.name,
        Calibration.load(local_copy(judge.path)) if place(judge.path).is_dir() else None,
        tags=_tags(benchmark),
        macro_tag=benchmark.format.macro_tag if benchmark.format else None,
        num_resamples=at.recipe.evaluate.num_resamples,
        seed=at.recipe.seed,
    )
    out.mkdir(parents=True, exist_ok=True)
    write_opinions(out / OPINIONS_FILE, opinions)
    results.write(out / results.AGREEMENT, found)
    made = Manifest(
        address=out.name,
        kind="agreement",
        fingerprint=wanted,
        digest=manifest.digest_file(out / OPINIONS_FILE),
        parents=tuple(parents),
        settings=settings,
        counts={**_count(opinions), "unusable_rows": num_unusable},
        figures={
            one.name.replace(" ", "_"): one.value
            for one in found.slices[0].estimates
            if one.value is not None
        },
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    complete(out, made)
    _track(made, out, benchmark, at)
    print(as_text(found), flush=True)
    _say_faults(opinions)
    if num_unusable:
        print(f"  {num_unusable} row(s) unusable: {out / _LABELS / importing.INVALID}", flush=True)
    print(f"{made.address}: {out}", flush=True)
    return found


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
    _, judge = named_judge(benchmark.judge, at)
    check_writable(out)
    pool = at.recipe.produce.judges
    check_cpus(pool.size * pool.num_cpus + 1, at.recipe, "jobs.evaluate_judge")
    if benchmark.format is None:
        num = sum(len(label_files(path)) for path in benchmark.files)
        print(f"{num} file(s) of label rows, those held out; {judge.address} -> {out}")
    else:
        importing.check(_import(benchmark), out / _LABELS)
        print(f"{benchmark.name}; {judge.address} -> {out}", flush=True)


def _prepare(
    benchmark: Benchmark, at: Round, out: Path
) -> tuple[Any, Model, list[Place], list[Parent], dict[str, Any], int]:
    """The judge, the label rows, what the report is made from, and how many rows are unusable."""
    if not ADDRESS.fullmatch(out.name):
        raise InputError(f"--out: {out}: is to be a directory named NAME@VERSION")
    ref, judge = named_judge(benchmark.judge, at)
    pool = at.recipe.produce.judges
    check_cpus(pool.size * pool.num_cpus + 1, at.recipe, "jobs.evaluate_judge")
    num_unusable = 0
    if benchmark.format is None:
        files = [file for path in benchmark.files for file in label_files(path)]
        sources = [Parent("labels", str(path), manifest.digest_file(path)) for path in files]
    else:
        labels = out / _LABELS
        imported = importing.import_labels(_import(benchmark), labels)
        files = label_files(str(labels))
        sources = list(imported.parents)
        num_unusable = imported.counts["invalid"]
    settings = {
        "seed": at.recipe.seed,
        "format": benchmark.name,
        "num_resamples": at.recipe.evaluate.num_resamples,
        "tags": list(benchmark.tags),
        "judge": _asked(benchmark, at),
    }
    return ref, judge, files, [judge.parent("judge"), *sources], settings, num_unusable


def _asked(benchmark: Benchmark, at: Round) -> dict[str, Any] | None:
    """How a judge that is not the round's is asked: a part of what the result depends on."""
    if benchmark.judge is None:
        return None
    endpoint = at.recipe.evaluate.endpoint
    if benchmark.judge == ENDPOINT and endpoint is not None:
        return endpoint.model_dump(exclude={"timeout_s", "num_retries", "concurrency"})
    spec = at.recipe.judge
    trust = code_settings(spec) if benchmark.judge == spec.path else {}
    return {"model": benchmark.judge, "specification": spec.specification, **trust}


def _import(benchmark: Benchmark) -> Import:
    assert benchmark.format is not None
    files = tuple(Path(path) for path in benchmark.files)
    return Import(benchmark.format, files, benchmark.media, 1.0, keep_going=True)


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
    benchmark = Benchmark(
        FORMATS.get(given.format),
        tuple(given.file),
        given.media,
        given.judge,
        tuple(given.slice),
    )
    root = local_path(recipe.root)
    if given.out is None and root is None:
        raise InputError(
            f"--out: give a local directory; the root of the recipe is none: {recipe.root}"
        )
    out = given.out or Path(recipe.root, "data", f"benchmark-{given.format}@{given.round}")
    if given.dry_run:
        print_plan(benchmark, at, out)
    else:
        evaluate_judge(benchmark, at, out)
