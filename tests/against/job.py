"""What the job is, and what is noted of a run of it: both sides are measured by the same code."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil

from tests.against.models import Call, Notes
from tests.record.watching import Watch

SIDE = 64  # pixels of a picture
MIN_MARGIN = 0.5  # points; what is thinner is left out


@dataclass(frozen=True)
class Job:
    """So many prompts, so many pictures of each, and a pair of each.

    prompts: a file with one a line.
    notes: the folder in which models write down their calls.
    draw_s, judge_s: that the stub models take for a prompt.
    num_actors: generators and judges together, half of them each.
    """

    prompts: Path
    notes: Path
    num_prompts: int
    num_candidates: int
    num_actors: int
    draw_s: float = 0.02
    judge_s: float = 0.01


def run(make: Callable[[Job, Path], dict[str, float]]) -> None:
    """One run in a process of its own; the last line is a JSON object of its figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--actors", type=int, default=2)
    given = parser.parse_args()
    began = time.monotonic() - (time.time() - psutil.Process().create_time())
    watch = Watch()
    job = Job(
        given.folder / "prompts.txt",
        given.folder / "notes",
        given.prompts,
        given.candidates,
        given.actors,
    )
    job.notes.mkdir(parents=True)
    job.prompts.write_text("".join(f"prompt {number}\n" for number in range(job.num_prompts)))
    told = make(job, given.folder / "root")
    ended = time.monotonic()
    cpu_s = watch.stop().cpu_s
    calls = Notes(str(job.notes)).read()
    written = told.get("written_at", ended)
    figures = {
        "seconds": ended - began,
        "cpu_s": cpu_s,
        "peak_mb": watch.tree_peak_bytes / 1e6,
        **figures_of(calls, job, began, written),
        "curate_s": told.get("curate_s", 0.0),
    }
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


def figures_of(calls: Sequence[Call], job: Job, began: float, written: float) -> dict[str, float]:
    """What the models' own notes say of a run.

    first_draw_s: from the start of the process to the first call of a generator.
    prompts_per_s: between the first draw and the last verdict.
    after_last_s: from the last verdict to the end of writing, curation apart.
    gap_ms: median time of a judge's worker between two prompts.
    lost, doubled: prompts that were never judged, or whose candidates were judged twice.
    """
    judged = [one for one in calls if one.model == "judge"]
    first = min(one.began for one in calls if one.model == "generator")
    last = max(one.ended for one in judged)
    sittings = Counter(one.prompt for one in calls if one.model == "generator")
    return {
        "first_draw_s": first - began,
        "prompts_per_s": job.num_prompts / (last - first),
        "after_last_s": written - last,
        "gap_ms": 1e3 * statistics.median(_gaps(judged)),
        "judge_calls": float(len(judged)),
        "draw_calls": float(sum(sittings.values())),
        "lost": float(job.num_prompts - len({one.prompt for one in judged})),
        "doubled": float(sum(num - 1 for num in sittings.values())),
    }


def _gaps(judged: Sequence[Call]) -> list[float]:
    """Seconds between the last call about one prompt and the first about the next, by worker."""
    by_worker: dict[int, list[Call]] = {}
    for one in judged:
        by_worker.setdefault(one.worker, []).append(one)
    return [
        after.began - before.ended
        for calls in by_worker.values()
        for before, after in pairwise(calls)
        if before.prompt != after.prompt
    ]
