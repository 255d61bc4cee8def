"""One run of the job that this factory's speed is told by, in whichever checkout it is started.

    PYTHONPATH=CHECKOUT python tests/record/speed_job.py [--prompts 400] [--candidates 8]

Prompts are drawn by a stub generator of 20 ms a prompt (squares of 64 pixels) and judged by a stub
judge of 10 ms, then curated: best against worst, thin margins out. The last line is a JSON object.
Only what has long been there is called, so that an earlier checkout can be measured. Where
candidates can have keys and measures they get them, as any real generator's do.

cpu_s: of all processes, Ray's and its start included; run_cpu_s: from the first prompt on.
seconds: from the first prompt to the last pair; produce_s, curate_s: of these.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import fields
from pathlib import Path

from watching import Watch  # beside this file, whatever checkout is on the path

from factory.curation.curator import Curator
from factory.curation.pairing import Pairing
from factory.filters import objections_of
from factory.prompts import PromptsFile
from factory.ranking import Bracket
from jobs.pipelines.curation import run_curation
from jobs.pipelines.groups import run_pipeline
from jobs.session.ray_session import ray_session
from schemas.recipe import Objections
from schemas.recipe_file import load
from tests.stubs import Ref, StubGenerator, StubJudge


def main() -> None:
    """Run the job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--candidates", type=int, default=8)
    given = parser.parse_args()
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder:
        figures = job(Path(folder), given.prompts, given.candidates, watch)
    print(json.dumps(figures))


def job(root: Path, num: int, num_candidates: int, watch: Watch) -> dict[str, float]:
    recipe = load(
        "jobs/recipes/laptop.yaml",
        [
            f"root={root}",
            "produce.generators={size: 1, num_cpus: 1}",
            "produce.judges={size: 1, num_cpus: 1}",
        ],
    )
    prompts = root / "prompts.txt"
    prompts.write_text("".join(f"prompt {n}\n" for n in range(num)))
    known = {"weights": "stub"} if "weights" in {one.name for one in fields(Ref)} else {}
    groups, pairs = root / "data" / "groups@1", root / "data" / "pairs@1"
    pairs.mkdir(parents=True)
    objections = Objections(min_margin=0.5)
    with ray_session(recipe):
        before, began = watch.so_far().cpu_s, time.monotonic()
        run_pipeline(
            PromptsFile(prompts),
            groups,
            recipe,
            generators=[Ref(StubGenerator(side=64, seconds=0.02), **known)],
            num_candidates=num_candidates,
            judges=[Ref(StubJudge(seconds=0.01), **known)],
            strategy=Bracket(1),
        )
        made_cpu_s, made = watch.so_far().cpu_s, time.monotonic()
        curator = Curator(Bracket(1), objections_of(objections), Pairing())
        run_curation(groups, pairs, curator, objections, recipe)
        ended, cpu_s = time.monotonic(), watch.stop().cpu_s
    return {
        "cpu_s": round(cpu_s, 2),
        "run_cpu_s": round(cpu_s - before, 2),
        "produce_cpu_s": round(made_cpu_s - before, 2),
        "seconds": round(ended - began, 2),
        "produce_s": round(made - began, 2),
        "curate_s": round(ended - made, 2),
    }


if __name__ == "__main__":
    main()
