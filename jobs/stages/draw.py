"""Prompts to candidates that nobody has judged yet: the part of `groups` that needs a generator.

    prompts -> candidates (generator pool) -> candidates in Parquet
    a table of candidates that exist (`produce.candidates`) -> the same

`jobs.produce --only draw` makes it, and `jobs.produce` takes it from there like anything that was
drawn before: `--only judge` today, or with another judge in another root tomorrow.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobs.datasets.failures import say_failures
from jobs.pipelines.bringing import clear_notes
from jobs.pipelines.drawing import (
    Drawing,
    check_drawing,
    count_candidates,
    drawing_of,
    drawn_from,
    generators_of,
    idle,
    notes_of_drawing,
    rows_to_draw,
    sources_of,
    told_aside,
    told_at_hand,
    told_generators,
    work_of,
)
from jobs.pipelines.groups import run_pipeline
from jobs.pipelines.reuse import as_parents
from jobs.rounds.checks import PIPELINE_OVERHEAD_CPUS
from jobs.rounds.tracking import StageRun
from jobs.rounds.workspace import InputError, Round
from jobs.stages.base import Outcome, Plan
from schemas.manifest import Parent
from schemas.places import Place
from schemas.recipe import Recipe


class Draw:
    """Makes `candidates@N`."""

    kind = "candidates"
    resumes = True

    def needs(self, recipe: Recipe) -> Sequence[str]:
        return ("generator", "produce.prompts") if recipe.produce.draws else ()

    def plan(self, at: Round) -> Plan:
        _refuse_judged(at.recipe)
        pool = _recipe(at).produce.generators
        prompts = check_drawing(at)
        return Plan(
            rows_to_draw(at, prompts),
            told_generators(at.recipe),
            pool.most * pool.num_cpus + PIPELINE_OVERHEAD_CPUS,
            pool.most * pool.num_gpus,
            lambda: told_at_hand(at, prompts),
            lambda: notes_of_drawing(at, prompts),
        )

    def settings(self, at: Round) -> Drawing:
        return drawing_of(at)

    def parents(self, at: Round) -> list[Parent]:
        return drawn_from(at)

    def make(self, at: Round, directory: Place, run: StageRun) -> Outcome:
        work, sources = work_of(at, directory), sources_of(at)
        speed, settled = run_pipeline(
            work.prompts,
            directory,
            _recipe(at),
            generators=generators_of(at),
            num_candidates=at.recipe.produce.num_candidates,
            count=count_candidates,
            seed=at.seed,
            sources=[*work.brought, *sources],
            drawn_for=work.drawn_for,
        )
        clear_notes(directory)
        invalid = settled.counts.get("invalid", 0)
        print(f"{at.address('candidates')}: {speed}; {invalid} invalid", flush=True)
        say_failures(directory, settled)
        return Outcome(
            {**settled.counts, **told_aside(work.counts)},
            speed.figures(),
            digest=settled.digest,
            files=settled.files,
            parents=as_parents(sources),
        )


def _recipe(at: Round) -> Recipe:
    return at.recipe if at.recipe.produce.draws else idle(at.recipe)


def _refuse_judged(recipe: Recipe) -> None:
    if recipe.produce.judged is not None:
        raise InputError(
            "produce.judged: is judged already, and --only has nothing to do: leave --only out"
        )


STAGE = Draw()
