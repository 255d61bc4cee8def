"""Prompts to judged groups: the expensive table, from which everything later is derived.

    prompts -> candidates (generator pool) -> scores and duels (judge pool) -> groups in Parquet
    candidates that exist (`produce.candidates`) ---------^
    groups that exist (`produce.judged`) --------------------------------------------^

A killed run is continued by the same command: groups that were written are not made again, and of
the others no candidate that was drawn. What other data sets hold of them is not paid for again
either (`produce.reuse`, and `candidates@N` of the same round where there is one).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from actors.media_store import media_store
from actors.storage import place
from factory.curation.survey import count_table
from factory.ids import Ids, numbers_of, to_text
from factory.prompts import PromptsFile
from jobs.datasets.at_hand import AtHand, Source
from jobs.datasets.failures import say_failures
from jobs.datasets.parts import ids_of, read_parts, settle
from jobs.datasets.reading import data_files, stream
from jobs.pipelines.bringing import clear_notes
from jobs.pipelines.drawing import (
    Checked,
    check_drawing,
    drawing_of,
    drawn_before,
    drawn_from,
    generators_of,
    idle,
    notes_of_drawing,
    num_attempts,
    rows_to_draw,
    sources_of,
    told_aside,
    told_at_hand,
    told_generators,
    work_of,
)
from jobs.pipelines.given_judge import check_judge, judge_parents, judging_pool
from jobs.pipelines.given_judge import told as told_judge
from jobs.pipelines.groups import Pilot, Throughput, make_groups, pool_cpus, pool_gpus, run_pipeline
from jobs.pipelines.judged_groups import parent_of_judged, take_judged, told_judged
from jobs.pipelines.models import judge_ref
from jobs.pipelines.planning import (
    kept_noise,
    noise_parents,
    pilot_of,
    planning,
    planning_again,
    told_planning,
)
from jobs.pipelines.prompt_checks import check_judged
from jobs.pipelines.reuse import as_parents
from jobs.rounds.checks import PIPELINE_OVERHEAD_CPUS
from jobs.rounds.lifecycle import remake
from jobs.rounds.tracking import StageRun
from jobs.rounds.workspace import InputError, Round
from jobs.session.run_log import note
from jobs.stages.base import Outcome, Plan, find_complete
from schemas.arrow import groups_from_table
from schemas.columns import GROUPS
from schemas.identity import LATER_KNOWN, NotIdentity
from schemas.manifest import Parent
from schemas.places import Place
from schemas.recipe import (
    Candidates,
    Criteria,
    Criterion,
    GeneratorSpec,
    Judged,
    NoiseConstants,
    Rank,
    Recipe,
)
from schemas.rows import OVERALL, Group
from schemas.section import Section

_ROWS_AT_ONCE = 64


class Played(Section):
    """What decides which duels are played; the other sizes belong to other strategies."""

    strategy: str
    bracket_size: int | None = None
    ring_degree: int | None = None
    pilot: int = 64


class Noise(Section):
    """By what a strategy decides, after some duels, which one to ask for next."""

    fusion: str | None
    score_sd: float | None
    duel_sd: float | None
    logits_per_point: float | None
    quality_sd: float | None
    p_tie: float | None
    noise: NoiseConstants = Field(default_factory=NoiseConstants)


class Asked(Criterion):
    """What the judge is asked."""

    weight: Annotated[float, NotIdentity("curation applies it afresh")] = 1.0


class Settings(Section):
    """What groups depend on, beside their parents."""

    seed: int
    num_candidates: int
    generator: GeneratorSpec | None = None
    also: list[GeneratorSpec]
    candidates: Candidates | None = None
    judge_precision: str
    judge_trust_remote_code: bool = False
    judge_allow_missing: list[str] = Field(default_factory=list)
    is_calibrated: bool
    rank: Played
    noise: Annotated[Noise | None, LATER_KNOWN] = None
    weights: Annotated[dict[str, float], LATER_KNOWN] = Field(default_factory=dict)
    criteria: list[Asked]


class Taken(Section):
    """What groups depend on that came with their judgements."""

    judged: Judged


class Produce:
    """Makes `groups@N`."""

    kind = "groups"
    resumes = True

    def needs(self, recipe: Recipe) -> Sequence[str]:
        if recipe.produce.judged is not None:
            return ()
        return ("generator", "judge", "produce.prompts") if recipe.produce.draws else ("judge",)

    def plan(self, at: Round) -> Plan:
        recipe = at.recipe
        if recipe.produce.judged is not None:
            return Plan(told_judged(recipe.produce.judged, recipe.curate.rank), "no model", 1.0)
        prompts = check_drawing(at)
        check_judge(at, prompts.tasks, recipe.curate.rank.strategy)
        for some in prompts.each():
            check_judged(some, recipe.judge)
        pools = recipe if recipe.produce.draws else idle(recipe)
        return Plan(
            f"{rows_to_draw(at, prompts)}, judged by {told_judge(at)}",
            f"{told_generators(recipe)}, {recipe.produce.judges.span} judge(s)",
            pool_cpus(pools) + PIPELINE_OVERHEAD_CPUS,
            pool_gpus(pools, judging_pool(at)),
            lambda: told_at_hand(at, prompts, is_judged=True),
            lambda: _notes(at, prompts),
        )

    def settings(self, at: Round) -> Settings | Taken:
        recipe = at.recipe
        if recipe.produce.judged is not None:
            return Taken(judged=recipe.produce.judged)
        return Settings(
            **dict(drawing_of(at)),
            judge_precision=recipe.judge.precision,
            judge_trust_remote_code=recipe.judge.trust_remote_code,
            judge_allow_missing=recipe.judge.allow_missing,
            is_calibrated=recipe.produce.is_calibrated,
            rank=_played(recipe),
            noise=_noise(recipe.curate.rank),
            weights=_weights(recipe.criteria),
            criteria=[Asked(**dict(one)) for one in recipe.criteria.named],
        )

    def parents(self, at: Round) -> list[Parent]:
        if at.recipe.produce.judged is not None:
            return [parent_of_judged(at.recipe.produce.judged)]
        return [*drawn_from(at), *judge_parents(at), *noise_parents(at)]

    def make(self, at: Round, directory: Place, run: StageRun) -> Outcome:
        recipe = at.recipe
        if recipe.produce.judged is not None:
            settled, counts = take_judged(recipe.produce.judged, directory, recipe)
            counted = {**settled.counts, **told_aside(counts)}
            return Outcome(counted, digest=settled.digest, files=settled.files)
        work, sources = work_of(at, directory), [*drawn_before(at), *sources_of(at)]
        pilot = pilot_of(at, work.prompts)
        speed, settled = run_pipeline(
            work.prompts,
            directory,
            recipe if recipe.produce.draws else idle(recipe),
            generators=generators_of(at),
            num_candidates=recipe.produce.num_candidates,
            judges=[_judge(at)],
            strategy=planning(at),
            count=count_table,
            seed=at.seed,
            sources=[*work.brought, *sources],
            drawn_for=work.drawn_for,
            pilot=pilot,
        )
        clear_notes(directory)
        invalid = settled.counts.get("invalid", 0)
        print(f"{at.address('groups')}: {speed}; {invalid} invalid", flush=True)
        say_failures(directory, settled)
        return Outcome(
            {**settled.counts, **told_aside(work.counts)},
            {**speed.figures(), **_planned_by(at, pilot)},
            digest=settled.digest,
            files=settled.files,
            parents=as_parents(sources),
        )


def _notes(at: Round, prompts: Checked) -> list[str]:
    known = prompts.drawn if prompts.brought is None else None
    return [*notes_of_drawing(at, prompts), *filter(None, [told_planning(at, known)])]


def _planned_by(at: Round, pilot: Pilot | None) -> dict[str, float]:
    """How many labels the noise rests on by which duels were planned, by task, and how many prompts
    of a pilot; 0 of defaults.
    """
    figures = {"noise_pilot": 0.0 if pilot is None else float(len(pilot.ids))}
    kept = kept_noise(at)
    if kept is None:
        return {"noise_labels": 0.0, **figures}
    labels = {f"{task}_noise_labels": float(one.num_labels) for task, one in kept.tasks.items()}
    return {**labels, **figures}


def judging_alone(recipe: Recipe, number: int) -> Recipe:
    """The recipe for judging what is drawn: its generators have nothing to do.

    Raises:
        InputError: there is nothing to judge, or `candidates@N` is not complete, was drawn with
            another recipe, or lacks some that are to be tried again.
    """
    if recipe.produce.judged is not None:
        raise InputError("--only judge: produce.judged is judged already: leave --only out")
    at = Round(recipe, number)
    made = at.need("candidates")
    num = sum(map(num_attempts, drawn_before(at)))
    if num:
        raise InputError(
            f"--only judge: {num} of {made.counts['candidates']} candidates of {made.address} "
            "failed by a time-out, a crash or a lost connection, and a generator is to try them "
            "again: run `python -m jobs.produce` without --only, which draws those and judges"
        )
    return idle(recipe)


def _drawn_for(at: Round) -> Ids | None:
    """The prompts for which generators draw, of a round with others as well."""
    produce = at.recipe.produce
    if produce.candidates is None:
        return None
    if not produce.draws:
        return numbers_of(())
    return np.sort(numbers_of(PromptsFile(place(produce.prompts)).ids()))


def _judge(at: Round) -> Any:
    """The round's judge, asked for the recipe's criteria."""
    judge = judge_ref(at, is_calibrated=at.recipe.produce.is_calibrated)
    return replace(judge, criteria=at.recipe.criteria)


def _failed(at: Round) -> list[Group]:
    """The groups of a complete data set in which something is to be tried again, with all that is
    not.

    Raises:
        InputError: it is not complete yet.
    """
    at.need("groups")
    return [
        group.without_attempts()
        for table in stream(at.directory("groups"), batch_size=_ROWS_AT_ONCE, media="inline")
        for group in groups_from_table(table)
        if group.has_attempts
    ]


def num_failed(at: Round) -> int:
    """How many rows `retry_invalid` would look at again."""
    return len(_failed(at))


def retry_invalid(at: Round) -> None:
    """Make again what only an attempt failed at, and put the rows in the place of the old ones.

    Candidates and replies that are there are kept, and so is what failed for good, such as an
    answer that cannot be read. Other rows are neither made nor changed. A killed retry is continued
    by the next one. What was made of the old rows (pairs and the models trained on them) is not
    touched, and says so: the digest of its parent has changed.

    Raises:
        InputError: the data set is not complete yet, or was made with another recipe.
        LostRaceError: another driver has retried at the same time.
    """
    if at.recipe.produce.judged is not None:
        raise InputError("--retry-invalid: nothing of produce.judged was made here")
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
        generators = generators_of(at)
        ids = numbers_of(group.prompt.prompt_id for group in left)
        store = media_store(directory, at.recipe.storage.max_inline_bytes)
        num, strategy = at.recipe.produce.num_candidates, planning_again(at)
        speed = make_groups(
            left,
            len(left),
            directory,
            at.recipe if at.recipe.produce.draws else idle(at.recipe),
            generators,
            num,
            [_judge(at)],
            strategy,
            prefix=prefix,
            seed=at.seed,
            at_hand=AtHand([Source.own(directory)], ids, store),  # of a retry that was killed
            drawn_for=_drawn_for(at),
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


def _played(recipe: Recipe) -> Played:
    rank, is_bracket = recipe.curate.rank, recipe.curate.rank.strategy == "bracket"
    return Played(
        strategy=rank.strategy,
        bracket_size=rank.bracket_size if is_bracket else None,
        ring_degree=rank.ring_degree if rank.strategy == "ring" else None,
        **({"pilot": recipe.produce.pilot} if is_bracket else {}),
    )


def _noise(rank: Rank) -> Noise | None:
    """None of a strategy that asks for all its duels at once."""
    if rank.strategy != "bracket":
        return None
    return Noise(**{key: getattr(rank, key) for key in Noise.model_fields})


def _weights(criteria: Criteria) -> dict[str, float]:
    """How the scores are weighed by which duels are planned; nothing where there is only one."""
    if not criteria.named:
        return {}
    # A name may have variants, of which each prompt has one.
    named = {f"{one.name} {n}": one.weight for n, one in enumerate(criteria.named)}
    return {OVERALL: criteria.overall_weight, **named}


STAGE = Produce()
