"""Prompts to judged groups: the expensive table, from which everything later is derived.

    prompts -> candidates (generator pool) -> scores and duels (judge pool) -> groups in Parquet

A killed run is continued by the same command: groups that were written are not made again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from factory.prompts import read_prompts
from factory.ranking import strategy_of
from jobs.judging import judge_ref
from jobs.pipelines import digest_dataset, pool_cpus, pool_gpus, run_pipeline, stream
from jobs.ray_session import PIPELINE_OVERHEAD_CPUS
from jobs.stage import Outcome, Plan
from jobs.tracking import StageRun
from jobs.workspace import Model, Round, champion, check_model
from schemas.arrow import groups_from_table
from schemas.manifest import Parent, digest_file
from schemas.recipe import Rank
from schemas.rows import Group

_GROUPS_AT_ONCE = 64  # in memory while they are counted, media included


class Produce:
    """Makes `groups@N`."""

    kind = "groups"
    resumes = True

    def plan(self, at: Round) -> Plan:
        recipe = at.recipe
        prompts = read_prompts(recipe.produce.prompts)
        check_model(recipe.generator.path, "model_index.json", "generator.path")
        num = recipe.produce.num_candidates
        return Plan(
            f"{len(prompts)} prompts x {num} candidates",
            f"{recipe.produce.generators.size} generator(s), {recipe.produce.judges.size} judge(s)",
            pool_cpus(recipe) + PIPELINE_OVERHEAD_CPUS,
            pool_gpus(recipe),
        )

    def settings(self, at: Round) -> dict[str, Any]:
        recipe = at.recipe
        return {
            "seed": recipe.seed,
            "num_candidates": recipe.produce.num_candidates,
            "generator": recipe.generator.model_dump(exclude={"path"}),
            "judge_precision": recipe.judge.precision,
            "is_calibrated": recipe.produce.is_calibrated,
            "rank": _rank_settings(recipe.curate.rank),
            # Not their weights, which curation applies afresh.
            "criteria": [one.model_dump(exclude={"weight"}) for one in recipe.criteria.named],
        }

    def parents(self, at: Round) -> list[Parent]:
        prompts = at.recipe.produce.prompts
        return [
            Parent("prompts", prompts, digest_file(Path(prompts))),
            champion(at).parent("generator"),
            at.parent("judge"),
        ]

    def make(self, at: Round, directory: Path, run: StageRun) -> Outcome:
        recipe = at.recipe
        speed = run_pipeline(
            read_prompts(recipe.produce.prompts),
            directory,
            recipe,
            generators=[generator_ref(champion(at), at)],
            num_candidates=recipe.produce.num_candidates,
            judges=[
                replace(
                    judge_ref(at, is_calibrated=recipe.produce.is_calibrated),
                    criteria=recipe.criteria,
                )
            ],
            strategy=strategy_of(recipe.curate.rank),
        )
        counts = count_groups(
            group
            for batch in stream(directory, batch_size=_GROUPS_AT_ONCE)
            for group in groups_from_table(batch)
        )
        print(f"{at.address('groups')}: {speed}; {counts['invalid']} invalid", flush=True)
        figures = {
            "rows_per_s": speed.num_rows / speed.seconds,
            **{f"busy_{stage}_s": seconds for stage, seconds in speed.busy_s.items()},
        }
        return Outcome(counts, figures, digest=digest_dataset(directory))


def _rank_settings(rank: Rank) -> dict[str, Any]:
    """What decides which duels are played."""
    sizes = {"bracket": {"bracket_size"}, "ring": {"ring_degree"}}
    return rank.model_dump(include={"strategy", *sizes.get(rank.strategy, ())})


def generator_ref(model: Model, at: Round) -> Any:
    """A generator, to be loaded by a worker."""
    from actors.stages import GeneratorRef

    return GeneratorRef(model.path, model.address, at.recipe.generator)


def count_groups(groups: Iterable[Group]) -> dict[str, int]:
    """Rows and what is in them; a group is invalid where fewer than two candidates have a score."""
    counts = dict.fromkeys(
        ("groups", "candidates", "duels", "invalid", "invalid_candidates", "invalid_duels"), 0
    )
    for group in groups:
        num_readable = sum(score.error is None for score in group.scores)
        counts["groups"] += 1
        counts["candidates"] += len(group.candidates)
        counts["duels"] += len(group.duels)
        counts["invalid"] += group.error is not None or num_readable < 2
        counts["invalid_candidates"] += sum(one.error is not None for one in group.candidates)
        counts["invalid_duels"] += sum(one.error is not None for one in group.duels)
    return counts


STAGE = Produce()
