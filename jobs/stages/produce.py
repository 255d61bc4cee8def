"""Prompts to judged groups: the expensive table, from which everything later is derived.

    prompts -> candidates (generator pool) -> scores and duels (judge pool) -> groups in Parquet

A killed run is continued by the same command: groups that were written are not made again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from factory.prompts import read_prompts
from factory.ranking import strategy_of
from jobs.judging import judge_ref
from jobs.pipelines import digest_dataset, pool_cpus, pool_gpus, read_groups, run_pipeline
from jobs.ray_session import PIPELINE_OVERHEAD_CPUS
from jobs.stage import Outcome, Plan
from jobs.tracking import StageRun
from jobs.workspace import Model, Round, champion, check_model
from schemas.manifest import Parent, digest_file
from schemas.recipe import Rank
from schemas.rows import Group


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
            "rank": _rank_settings(recipe.curate.rank),
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
            judges=[judge_ref(at)],
            strategy=strategy_of(recipe.curate.rank),
        )
        counts = count_groups(read_groups(directory))
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


def count_groups(groups: list[Group]) -> dict[str, int]:
    """Rows and what is in them; a group is invalid where fewer than two candidates have a score."""
    candidates = [candidate for group in groups for candidate in group.candidates]
    duels = [duel for group in groups for duel in group.duels]
    readable = [sum(score.error is None for score in group.scores) for group in groups]
    return {
        "groups": len(groups),
        "candidates": len(candidates),
        "duels": len(duels),
        "invalid": sum(
            group.error is not None or num < 2 for group, num in zip(groups, readable, strict=True)
        ),
        "invalid_candidates": sum(candidate.error is not None for candidate in candidates),
        "invalid_duels": sum(duel.error is not None for duel in duels),
    }


STAGE = Produce()
