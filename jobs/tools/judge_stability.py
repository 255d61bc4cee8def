"""Held-out labels -> the same judge asked in several ways -> how far its answers move.

The labels are those that `evaluate_judge` would measure the judge on, or some of them, chosen by
their ids alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from actors.refs import EndpointRef, JudgeRef
from actors.stability import stability_of_table
from actors.storage import place
from factory.evaluation.stability import as_text, sample
from jobs.datasets.files import read_columns
from jobs.datasets.labels import label_batches
from jobs.pipelines.judge_backends import ref_of
from jobs.pipelines.models import ONNX, judge_sections, onnx_ref
from jobs.rounds import lifecycle
from jobs.rounds.lifecycle import Outcome
from jobs.rounds.workspace import InputError, Round
from jobs.session.ray_session import ray_session
from jobs.tools.evaluate_judge import (
    Benchmark,
    blueprint_of,
    judge_of,
    labels_of,
    named_benchmark,
    print_plan,
)
from schemas import manifest, results
from schemas.places import Place
from schemas.recipe import Recipe
from schemas.results import Stability


def judge_stability(benchmark: Benchmark, at: Round, out: Path, num: int) -> Stability:
    """Ask the judge in all ways that it has, or tell again what was found.

    Args:
        benchmark: the labels, of which those held out count, and the judge.
        at: whose pool of judges gives the resources.
        out: where what is found goes.
        num: labels at most.

    Raises:
        InputError: a missing input, no held-out label, or other work under this address.
        LabelError, StreamError: a file that cannot be used.
    """
    ref, judge = judge_of(benchmark, at)
    blueprint = blueprint_of(benchmark, judge, at, out, num)
    made = lifecycle.find(blueprint)
    if made is not None:
        lifecycle.say_complete(made)
    else:
        lifecycle.check_free(blueprint, "measure of stability")
        made = lifecycle.make(
            blueprint, lambda: _measure(benchmark, ref, at, out, num), keeps=False
        )
    if not lifecycle.is_finished(out):
        lifecycle.finish(out, made)
    found = results.read(out / results.STABILITY, Stability)
    if found is None:
        raise InputError(f"{out / results.STABILITY}: missing; remove {out} to measure again")
    print(as_text(found), flush=True)
    return found


def _measure(benchmark: Benchmark, ref: Any, at: Round, out: Path, num: int) -> Outcome:
    import ray

    files, _ = labels_of(benchmark, out)
    rows = chosen(files, num)
    pool = at.recipe.produce.judges
    with ray_session(at.recipe):
        work = ray.remote(num_cpus=pool.num_cpus, num_gpus=pool.num_gpus)(stability_of_table)
        found: Stability = ray.get(work.remote(ref, rows, engines(ref, at)))
    results.write(out / results.STABILITY, found)
    counts = {
        "labels": found.num_labels,
        "ways": sum(not one.why_not for one in found.variants),
        "flips": sum(one.num_flips for one in found.variants),
    }
    return Outcome(counts, digest=manifest.digest_file(out / results.STABILITY))


def chosen(files: Sequence[Place], num: int) -> pa.Table:
    """Held-out labels with their media, `num` at most, in the order of their ids.

    Raises:
        InputError: there is none.
    """
    told = [read_columns(path, ["label_id", "split", "preference"]) for path in files]
    heldout = pa.concat_tables(told).filter(pc.field("split") == "heldout")
    ids = heldout.column("label_id").to_pylist()
    pairs = [one is not None for one in heldout.column("preference").to_pylist()]
    wanted = sample(zip(ids, pairs, strict=True), num)
    if not wanted:
        raise InputError(f"{', '.join(map(str, files))}: no held-out label to ask the judge about")
    batches = [
        batch.filter(pc.is_in(batch.column("label_id"), pa.array(sorted(wanted))))
        for batch in label_batches(files, "heldout")
    ]
    return pa.Table.from_batches(batches).sort_by("label_id")


def engines(ref: Any, at: Round) -> Mapping[str, Any]:
    """The same judge by other engines, by their names, or why there is none."""
    return {**_onnx(ref), "by the endpoint": _endpoint(ref, at)}


def _onnx(ref: Any) -> dict[str, Any]:
    if not isinstance(ref, JudgeRef) or not place(ref.path).is_dir():
        return {"by ONNX": "only a judge in a directory can have an ONNX file beside its weights"}
    files = sorted(path.name for path in place(ref.path).glob(f"*{ONNX}"))
    if not files:
        return {"by ONNX": f"{ref.path} has no {ONNX} file (`python -m jobs.distil` writes one)"}
    return {f"by {file}": onnx_ref(ref.path, ref.address, file) for file in files}


def _endpoint(ref: Any, at: Round) -> Any:
    """What serves this model, of the recipe's judges: another model's answers say nothing of it."""
    served = [
        (key, spec, spec.endpoint.model)
        for key, spec in judge_sections(at.recipe).items()
        if spec.told == "endpoint" and spec.endpoint is not None
    ]
    if not served:
        return "no judge of the recipe is behind an endpoint"
    if isinstance(ref, EndpointRef):
        return "it is asked there already"
    path = getattr(ref, "path", None)
    for key, spec, model in served:
        if model == path:
            return ref_of(spec, key, ref.address)
    models = ", ".join(f"{key} serves {model}" for key, _, model in served)
    return f"{models}, and the judge is {path or ref.name}"


def run(recipe: Recipe, given: argparse.Namespace) -> None:
    """Measure how stable the judge is that the command line names, or say what would be done.

    Raises:
        InputError: as `judge_stability`.
    """
    at = Round(recipe, given.round)
    benchmark, out = named_benchmark(recipe, given, "stability")
    if given.dry_run:
        print_plan(benchmark, at, out)
    else:
        judge_stability(benchmark, at, out, given.stability)
