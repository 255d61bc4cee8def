"""What an audit's scan takes at 100,000 groups whose candidates were measured when they were made.

    python -m tests.benchmarks.audit_scan [--groups 100000] [--resamples 1000] [--root DIRECTORY]

Groups of 8 candidates with scores and the duels of a bracket by a *simulated* judge, with measures
and with references to media that do not exist: whoever reads a medium ends with an error. Each of
the files holds the same groups under prompt ids of its own. They are scanned by `observe_groups`
with a Ray of their own, and the figures are estimated as `jobs.audit` does it, with the corrected
figures of a correction by attributes; labels and probes, which cost the same for any number of
groups, are left out.

audit_groups: how many groups.
audit_s: from the first read to the last figure; Ray's start apart.
audit_scan_s, audit_estimate_s: of those, reading and observing; the figures, bootstrap included.
audit_cpu_s: processor time of driver and workers.
audit_peak_mb: highest private memory of the driver; what it has in scratch files, which it maps, is
    not counted.
audit_start_mb: the same before the first read.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.benchmarks.curation_throughput import Memory, in_own_process, simulate_groups

_GROUPS_PER_FILE = 5_000


def measured_groups(num: int) -> Iterator[Any]:
    """The simulated groups with pictures that were measured and lie elsewhere."""
    from schemas.rows import Measures, Media

    for number, group in enumerate(simulate_groups(num)):
        rng = random.Random(-number)
        candidates = []
        for one in group.candidates:
            digest = f"{rng.randrange(16**64):064x}"
            measures = Measures(
                digest,
                1_500_000,
                rng.uniform(0.2, 0.8),
                rng.uniform(0.1, 0.6),
                rng.uniform(0.05, 0.3),
                rng.uniform(0.01, 0.1),
                entropy=rng.uniform(3, 6),
                signature=rng.randrange(2**64),
                is_blank=False,
            )
            media = Media(None, 1024, 1024, path=f"objects/{digest[:2]}/{digest}")
            candidates.append(replace(one, media=media, answer=None, measures=measures))
        yield replace(group, candidates=tuple(candidates))


def write_groups(directory: Path, num: int) -> None:
    """Files of `num` groups, rounded up to whole files."""
    import pyarrow as pa

    from jobs.datasets.files import write_file
    from schemas.arrow import groups_to_table
    from schemas.columns import GROUPS
    from schemas.rows import content_id

    table = groups_to_table(measured_groups(min(num, _GROUPS_PER_FILE)))
    at = table.schema.get_field_index("prompt_id")
    for number in range(-(-num // _GROUPS_PER_FILE)):
        ids = [content_id("prompt", number, row) for row in range(table.num_rows)]
        renamed = table.set_column(at, GROUPS.field("prompt_id"), [pa.array(ids)])
        batches = (renamed.slice(begin, 64) for begin in range(0, renamed.num_rows, 64))
        write_file(directory / f"rows-{number:05d}.parquet", batches, GROUPS, 32 * 2**20)


def audit(root: str, num_resamples: int, answer: Any) -> None:
    """Scan and estimate in this process, and put the figures into `answer`."""
    from factory.bias.corrected import with_corrected
    from factory.bias.correction import Correction
    from factory.bias.estimate import bias_profile
    from factory.bias.figure import Relevance
    from jobs.pipelines.bias import observe_groups
    from jobs.rounds.workspace import Round
    from jobs.session.ray_session import ray_session
    from schemas.recipe_file import load

    recipe = load("jobs/recipes/laptop.yaml", [f"root={root}", "num_cpus=2"])
    attributes = recipe.audit.attributes
    often = (num_resamples, recipe.seed)
    with ray_session(recipe):
        memory = Memory()
        memory.start()
        time.sleep(1.5)
        at_start, cpu_at_start = memory.driver, sum(memory.cpu.values())
        began = time.monotonic()
        seen = observe_groups(Round(recipe, 1))
        scanned = time.monotonic()
        profile = bias_profile(
            seen, names=attributes, num_resamples=num_resamples, seed=recipe.seed
        )
        correction = Correction({"brightness": 0.5}, {"brightness": 0.5})
        with_corrected(profile, correction, seen, [], [], Relevance(), *often)
        ended = time.monotonic()
        memory.stop()
    answer.put(
        {
            "audit_groups": len(seen),
            "audit_s": round(ended - began, 1),
            "audit_scan_s": round(scanned - began, 1),
            "audit_estimate_s": round(ended - scanned, 1),
            "audit_cpu_s": round(sum(memory.cpu.values()) - cpu_at_start, 1),
            "audit_peak_mb": round(memory.driver / 2**20),
            "audit_start_mb": round(at_start / 2**20),
            "audit_figures": len(profile.figures),
            "audit_resamples": num_resamples,
        }
    )


def main() -> None:
    """Print the figures as one JSON line."""
    parser = argparse.ArgumentParser(description="time and memory of an audit's scan")
    parser.add_argument("--groups", type=int, default=100_000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--root", help="where the groups are made; a temporary folder by default")
    given = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="audit-", dir=given.root))
    try:
        directory = root / "data" / "groups@1"
        directory.mkdir(parents=True)
        write_groups(directory, given.groups)
        print(json.dumps(in_own_process(audit, str(root), given.resamples)))
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
