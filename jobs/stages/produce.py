"""Prompts to judged groups: the expensive table, from which everything later is derived.

    prompts -> candidates (generator pool) -> scores and duels (judge pool) -> groups in Parquet

A killed run is continued by the same command: groups that were written are not made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from actors.storage import place
from factory.curation.survey import count_table
from factory.ids import to_text
from factory.prompts import PromptsFile
from factory.ranking import strategy_of
from jobs.datasets.parts import ids_of, read_parts, settle
from jobs.datasets.reading import data_files, stream
from jobs.pipelines.groups import Throughput, make_groups, pool_cpus, pool_gpus, run_pipeline
from jobs.pipelines.models import beside, generator_ref, given, judge_ref, refs_beside
from jobs.pipelines.prompt_checks import check_drawn, check_judged
from jobs.rounds.checks import PIPELINE_OVERHEAD_CPUS, check_generator, prompts_file
from jobs.rounds.lifecycle import remake
from jobs.rounds.tracking import StageRun
from jobs.rounds.workspace import Round, champion
from jobs.session.run_log import note
from jobs.stages.base import Outcome, Plan, find_complete
from schemas.arrow import groups_from_table
from schemas.columns import GROUPS
from schemas.identity import NotIdentity
from schemas.manifest import Parent, digest_file
from schemas.places import Place
from schemas.recipe import Criterion, GeneratorSpec, Rank, Recipe
from schemas.rows import Group
from schemas.section import Section

_ROWS_AT_ONCE = 64


class Played(Section):
    """What decides which duels are played; the other sizes belong to other strategies."""

    strategy: str
    bracket_size: int | None = None
    ring_degree: int | None = None


class Asked(Criterion):
    """What the judge is asked."""

    weight: Annotated[float, NotIdentity("curation applies it afresh")] = 1.0


class Settings(Section):
    """What groups depend on, beside their parents."""

    seed: int
    num_candidates: int
    generator: GeneratorSpec
    also: list[GeneratorSpec]
    judge_precision: str
    judge_trust_remote_code: bool = False
    is_calibrated: bool
    rank: Played
    criteria: list[Asked]


class Produce:
    """Makes `groups@N`."""

    kind = "groups"
    resumes = True

    def needs(self, recipe: Recipe) -> Sequence[str]:
        return ("generator", "judge", "produce.prompts")

    def plan(self, at: Round) -> Plan:
        recipe = at.recipe
        prompts = prompts_file(recipe.produce.prompts, "produce.prompts", recipe)
        check_generator(recipe.generator, recipe)
        for key, spec in beside(at).items():
            check_generator(spec, recipe, key)
        check_drawn(prompts, {"generator.path": recipe.generator, **beside(at)})
        check_judged(prompts, recipe.judge)
        num = recipe.produce.num_candidates * (1 + len(recipe.produce.also))
        return Plan(
            f"{len(prompts)} prompts x {num} candidates",
            f"{recipe.produce.generators.span} generator(s), {recipe.produce.judges.span} judge(s)",
            pool_cpus(recipe) + PIPELINE_OVERHEAD_CPUS,
            pool_gpus(recipe),
        )

    def settings(self, at: Round) -> Settings:
        recipe = at.recipe
        return Settings(
            seed=recipe.seed,
            num_candidates=recipe.produce.num_candidates,
            generator=recipe.generator,
            also=recipe.produce.also,
            judge_precision=recipe.judge.precision,
            judge_trust_remote_code=recipe.judge.trust_remote_code,
            is_calibrated=recipe.produce.is_calibrated,
            rank=_played(recipe.curate.rank),
            criteria=[Asked(**dict(one)) for one in recipe.criteria.named],
        )

    def parents(self, at: Round) -> list[Parent]:
        prompts = at.recipe.produce.prompts
        return [
            Parent("prompts", prompts, digest_file(place(prompts))),
            champion(at).parent("generator"),
            *(given(spec).parent("generator") for spec in at.recipe.produce.also),
            at.parent("judge"),
        ]

    def make(self, at: Round, directory: Place, run: StageRun) -> Outcome:
        recipe = at.recipe
        speed, settled = run_pipeline(
            PromptsFile(place(recipe.produce.prompts)),
            directory,
            recipe,
            generators=_generators(at),
            num_candidates=recipe.produce.num_candidates,
            judges=[_judge(at)],
            strategy=strategy_of(recipe.curate.rank),
            count=count_table,
            seed=at.seed,
        )
        invalid = settled.counts.get("invalid", 0)
        print(f"{at.address('groups')}: {speed}; {invalid} invalid", flush=True)
        return Outcome(settled.counts, speed.figures(), digest=settled.digest, files=settled.files)


def _generators(at: Round) -> list[Any]:
    """The champion, and those that draw beside it."""
    return [generator_ref(champion(at), at), *refs_beside(at)]


def _judge(at: Round) -> Any:
    """The round's judge, asked for the recipe's criteria."""
    judge = judge_ref(at, is_calibrated=at.recipe.produce.is_calibrated)
    return replace(judge, criteria=at.recipe.criteria)


def _failed(at: Round) -> list[Group]:
    """The groups of a complete data set in which something failed, without their candidates.

    Raises:
        InputError: it is not complete yet.
    """
    at.need("groups")
    return [
        replace(group, candidates=(), scores=(), duels=(), error=None, failed_stage=None)
        for table in stream(at.directory("groups"), batch_size=_ROWS_AT_ONCE)
        for group in groups_from_table(table)
        if group.has_failures
    ]


def num_failed(at: Round) -> int:
    """How many rows `retry_invalid` would make again."""
    return len(_failed(at))


def retry_invalid(at: Round) -> None:
    """Make again the rows in which something failed, and put them in the place of the old ones.

    The others are neither made nor changed. A killed retry is continued by the next one. What was
    made of the old rows (pairs and the models trained on them) is not touched, and says so: the
    digest of its parent has changed.

    Raises:
        InputError: the data set is not complete yet, or was made with another recipe.
        LostRaceError: another driver has retried at the same time.
    """
    directory, made = at.directory("groups"), at.need("groups")
    find_complete(STAGE, at)  # refuses another recipe
    prefix = f"retry-{made.digest}"
    done = set(map(to_text, ids_of(read_parts(directory, "prompt_id", prefix))))
    left = [
        replace(group, attempts=group.attempts + 1)
        for group in _failed(at)
        if group.prompt.prompt_id not in done
    ]
    if not left and not done:
        print(f"{made.address}: no row has failed; nothing to make again", flush=True)
        return
    note("retry", stage=made.address, rows=len(left))
    speed = Throughput()
    if left:
        generators = _generators(at)
        num, strategy = at.recipe.produce.num_candidates, strategy_of(at.recipe.curate.rank)
        speed = make_groups(
            left,
            len(left),
            directory,
            at.recipe,
            generators,
            num,
            [_judge(at)],
            strategy,
            prefix=prefix,
            seed=at.seed,
        )
    retried = read_parts(directory, "prompt_id", prefix)
    files = [path.name for path in data_files(directory)]
    old = [part for part in read_parts(directory, "prompt_id") if part.name in files]
    settled = settle(
        [*retried, *old],  # of a row that is in both, the first is taken
        directory,
        GROUPS,
        at.recipe.storage,
        wanted=map(to_text, ids_of(old)),
        count=count_table,
    )
    remake(made, directory, Outcome(settled.counts, {}, digest=settled.digest, files=settled.files))
    still = settled.counts.get("invalid", 0)
    print(f"{made.address}: made again: {speed}; {still} still invalid", flush=True)


def _played(rank: Rank) -> Played:
    return Played(
        strategy=rank.strategy,
        bracket_size=rank.bracket_size if rank.strategy == "bracket" else None,
        ring_degree=rank.ring_degree if rank.strategy == "ring" else None,
    )


STAGE = Produce()
