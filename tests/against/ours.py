"""The job by this factory: groups and then pairs, with their records.

python -m tests.against.ours FOLDER --prompts 400 --candidates 8 --actors 2
"""

from __future__ import annotations

import time
from pathlib import Path

from factory.curation.curator import Curator
from factory.curation.pairing import Pairing
from factory.filters import objections_of
from factory.prompts import PromptsFile
from factory.ranking import Bracket
from jobs.pipelines.curation import run_curation
from jobs.pipelines.groups import run_pipeline
from jobs.rounds.lifecycle import clear
from jobs.session.ray_session import ray_session
from schemas.recipe import Objections
from schemas.recipe_file import load
from tests.against.job import MIN_MARGIN, SIDE, Job, run
from tests.against.models import NotedGenerator, NotedJudge, Notes
from tests.stubs import Ref


def make(job: Job, root: Path) -> dict[str, float]:
    """Run the job; curation is told apart, as plain Ray Data has none."""
    size = job.num_actors // 2
    recipe = load(
        "jobs/recipes/laptop.yaml",
        [
            f"root={root}",
            f"num_cpus={job.num_actors + 2}",
            f"produce.generators={{size: {size}, num_cpus: 1}}",
            f"produce.judges={{size: {size}, num_cpus: 1}}",
            "produce.groups_per_block=16",
        ],
    )
    notes = Notes(str(job.notes))
    groups, pairs = root / "data" / "groups@1", root / "data" / "pairs@1"
    pairs.mkdir(parents=True)
    objections = Objections.model_validate(MARGIN)
    with ray_session(recipe):
        generator = NotedGenerator(side=SIDE, seconds=job.draw_s, notes=notes)
        judge = NotedJudge(seconds=job.judge_s, notes=notes)
        _, made_of = run_pipeline(
            PromptsFile(job.prompts),
            groups,
            recipe,
            generators=[Ref(generator, weights="stub")],
            num_candidates=job.num_candidates,
            judges=[Ref(judge, weights="stub")],
            strategy=Bracket(1),
        )
        made = time.monotonic()
        clear(groups, made_of.files)  # as a stage does, once its manifest is there
        curator = Curator(Bracket(1), objections_of(objections), Pairing())
        run_curation(groups, pairs, curator, objections, recipe)
        return {"curate_s": time.monotonic() - made, "written_at": made}


#: Thin margins are left out, as plain Ray Data's job does.
MARGIN = {"min_margin": MIN_MARGIN}

if __name__ == "__main__":
    run(make)
