"""How fast curation is without any model, and what memory it takes as the data set grows.

    python -m tests.benchmarks.curation_throughput [--sizes 10000 100000] [--cpus 2]

Groups of 8 candidates with scores and the duels of a bracket by a *simulated* judge, metadata only
(answers of a few words, no media), lie in Parquet. Each file holds the same groups under prompt ids
of its own. Each size is curated by `run_curation`, surveyed, sampled and hashed as the stage does
it, three pairs a prompt, in a process and a Ray of its own with `--cpus` CPUs.

groups_per_minute: of the largest size, from the first read to the sample, Ray's start apart.
groups_per_cpu_minute: the same by the processor time of driver and workers; on a machine that has
    other work to do, `cpus` times this is the better measure.
driver_mb, worker_mb: highest memory of the driver, and of all worker processes together, without
    what they share with others (Ray's object store), by size; looked at twice a second.
pair_bytes: growth of the driver's memory from the smallest to the largest size, for each pair.
decision_mb: the most that the decisions over all pairs allocate, by the number of pairs, each in a
    process of its own on random numbers. These lie in scratch files that the process maps; like all
    that it shares with others, such pages are not counted as its memory.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import random
import shutil
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_NUM_CANDIDATES = 8
_GROUPS_PER_FILE = 5_000


def simulate_groups(num: int) -> Iterator[Any]:
    """Groups without media, judged by a simulated judge: all scores, and three duels both ways.
    Candidates are measured, as where they are drawn.
    """
    from factory.media.measures import measure_answer
    from schemas.rows import Candidate, Duel, Group, Prompt, Score, content_id

    for number in range(num):
        rng = random.Random(number)
        tags = {"region": rng.choice(("north", "south", "east", "west"))}
        prompt = Prompt.of(f"question {number} of a simulated population", tags=tags)
        answers = [
            f"answer {rng.randrange(10**9)} and {rng.randrange(10**9)}"
            for _ in range(_NUM_CANDIDATES)
        ]
        candidates = tuple(
            Candidate(
                content_id(prompt.prompt_id, index),
                "simulated@0",
                index,
                answer=answer,
                measures=measure_answer(answer),
            )
            for index, answer in enumerate(answers)
        )
        quality = [rng.gauss(3, 1) for _ in candidates]
        ids = [one.candidate_id for one in candidates]
        values = [one + rng.gauss(0, 0.5) for one in quality]
        scores = tuple(
            Score(name, "simulated@0", value, 0.5) for name, value in zip(ids, values, strict=True)
        )
        best = sorted(range(len(ids)), key=lambda index: -values[index])
        duels = []
        for i, j in ((best[0], best[1]), (best[-2], best[-1]), (best[0], best[-1])):
            p = 0.9 / (1 + math.exp(-2 * (quality[i] - quality[j]) + rng.gauss(0, 1)))
            duels.append(Duel(ids[i], ids[j], "simulated@0", p, 0.9 - p, 0.1))
            duels.append(duels[-1].swap())
        yield Group(prompt, candidates, scores, tuple(duels))


def write_groups(directory: Path, begin: int, end: int) -> None:
    """Files of groups `begin` to `end`, which are multiples of the groups in a file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from schemas.arrow import groups_to_table
    from schemas.rows import content_id

    table = groups_to_table(simulate_groups(_GROUPS_PER_FILE))
    at = table.schema.get_field_index("prompt_id")
    for number in range(begin // _GROUPS_PER_FILE, end // _GROUPS_PER_FILE):
        ids = [content_id("prompt", number, row) for row in range(table.num_rows)]
        renamed = table.set_column(at, "prompt_id", [pa.array(ids)])
        pq.write_table(renamed, directory / f"{number:05d}.parquet")


class Memory(threading.Thread):
    """Watches the private memory and the processor time of this process and its workers."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.driver = self.workers = 0
        self.cpu: dict[int, float] = {}  # by process, seconds
        self._is_over = threading.Event()

    def run(self) -> None:
        import psutil

        me = psutil.Process()
        while not self._is_over.wait(0.5):
            self.driver = max(self.driver, _private(me))
            found = [one for one in me.children(recursive=True) if _is_worker(one)]
            self.workers = max(self.workers, sum(map(_private, found)))
            self.cpu.update({one.pid: _cpu(one) for one in (me, *found)})

    def stop(self) -> None:
        self._is_over.set()
        self.join()


def _private(process: Any) -> int:
    import psutil

    try:
        used = process.memory_info()
        return int(used.rss - used.shared)
    except psutil.Error:
        return 0


def _cpu(process: Any) -> float:
    import psutil

    try:
        used = process.cpu_times()
        return float(used.user + used.system)
    except psutil.Error:
        return 0.0


def _is_worker(process: Any) -> bool:
    import psutil

    try:
        return process.name().startswith("ray::") or "default_worker.py" in " ".join(
            process.cmdline()
        )
    except psutil.Error:
        return False


def curate(groups: Path, cpus: int, num: int, answer: Any) -> None:
    """Curate one data set in this process and put the figures into `answer`."""
    from factory.curation.curator import Curator
    from factory.curation.pairing import Pairing
    from factory.filters import objections_of
    from factory.ranking import Bracket, Noise, Scale
    from jobs.pages.audit_sample import write_sample
    from jobs.pipelines.curation import run_curation, survey_pairs
    from jobs.session.ray_session import ray_session
    from schemas.recipe import AuditSample, Objections
    from schemas.recipe_file import load

    recipe = load("jobs/recipes/laptop.yaml", [f"num_cpus={cpus}"])
    directory = groups.with_name(f"pairs-{num}")
    directory.mkdir()
    objections = Objections(min_margin=0.5)
    with ray_session(recipe):
        memory = Memory()
        memory.start()
        before = time.process_time()
        began = time.monotonic()
        strategy = Bracket(2, Noise(scale=Scale.of(1, 5)))
        curator = Curator(strategy, objections_of(objections), Pairing(max_pairs=3))
        settled = run_curation(groups, directory, curator, objections, recipe)
        streamed = time.monotonic() - began
        survey = survey_pairs(directory, settled.files)
        write_sample(directory, AuditSample(slice_by="region"), 0, settled.files)
        seconds = time.monotonic() - began
        memory.stop()
        cpu = sum(memory.cpu.values()) - before
    answer.put(
        {
            "groups": num,
            "pairs": survey.counts()["pairs"],
            "kept": survey.counts()["kept"],
            "seconds": round(seconds, 1),
            "streaming_seconds": round(streamed, 1),
            "cpu_seconds": round(cpu, 1),
            "cpu_ms_a_group": round(1e3 * cpu / num, 2),
            "groups_per_minute": round(60 * num / seconds),
            "groups_per_cpu_minute": round(60 * num / cpu),
            "driver_mb": round(memory.driver / 2**20),
            "worker_mb": round(memory.workers / 2**20),
        }
    )


def decide(num: int, answer: Any) -> None:
    """Decide all that is decided over `num` random pairs, and answer the most that it took, in MB:
    near-duplicates and a quota, rows that were made twice, and the audit sample.
    """
    import numpy as np

    from factory.filters.across import Signatures
    from factory.human_audit.sampling import draw, inclusion
    from factory.scratch import Scratch
    from jobs.datasets.parts import Part, rows_left_out

    tracemalloc.start()
    rng = np.random.default_rng(0)
    found, ids, doubt = Signatures({"region": num}, 0.02), Scratch(np.uint64), Scratch(np.float64)
    for begin in range(0, num, 1000):
        size = min(1000, num - begin)
        numbers = rng.integers(0, 2**64, (3, size), dtype=np.uint64)
        ids.add(numbers[0])
        doubt.add(rng.uniform(0, 0.5, size))
        found.add(*numbers, np.ones(size, dtype=np.bool_), [{"region": "north"}] * size)
    found.objections()
    every = ids.array()
    parts = [Part(str(at), 1, every[at : at + 1000]) for at in range(0, num, 1000)]
    rows_left_out(parts, None)
    slices = np.zeros(num, dtype=np.int32)
    draw(every, slices, inclusion(doubt.array(), slices, 300, 0.3), seed=0)
    answer.put(tracemalloc.get_traced_memory()[1] / 2**20)


def in_own_process(work: Any, *arguments: Any) -> Any:
    """What a function puts into its last argument, a queue, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=work, args=(*arguments, answer))
    process.start()
    while answer.empty() and process.is_alive():
        time.sleep(0.2)
    process.join()
    if process.exitcode:
        raise SystemExit(f"{work.__name__}{arguments} ended with {process.exitcode}")
    return answer.get()


def main() -> None:
    """Print a line for each size, then the figures as one JSON line."""
    parser = argparse.ArgumentParser(description="throughput and memory of curation")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--cpus", type=int, default=2)
    given = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="curation-"))
    found = []
    try:
        groups = root / "groups"
        groups.mkdir()
        made = 0
        for num in sorted(given.sizes):
            write_groups(groups, made, num)
            made = num
            found.append(in_own_process(curate, groups, given.cpus, num))
            print(json.dumps(found[-1]), flush=True)
            shutil.rmtree(root / f"pairs-{num}")
    finally:
        shutil.rmtree(root)
    small, large = found[0], found[-1]
    grown = (large["driver_mb"] - small["driver_mb"]) * 2**20
    more_pairs = large["pairs"] - small["pairs"]
    figures = {
        "cpus": given.cpus,
        "groups_per_minute": large["groups_per_minute"],
        "groups_per_cpu_minute": large["groups_per_cpu_minute"],
        **{
            f"{name}_{one['groups']}": one[name]
            for one in found
            for name in ("driver_mb", "worker_mb")
        },
        **{
            f"decision_mb_{num}": round(in_own_process(decide, num))
            for num in (30_000, 300_000, 3_000_000)
        },
        "pair_bytes": round(grown / more_pairs) if more_pairs else None,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
