"""The laptop loop's figures, with the sandbox oracle as truth.

    python -m tests.benchmarks.closed_loop [--root runs/laptop] [key=value …]

Runs the laptop recipe (finished stages are left alone), then lets judge and oracle compare fresh
candidates of the base generator on held-out prompts, and the oracle look at every kept pair.

judge_agreement: share of pairs, of those that the oracle calls no tie, on which the judge (both
    orders together) prefers the same side.
judge_flip_rate: share of all pairs whose verdict (tie is one) changes with the order shown.
pair_precision: share of kept pairs whose chosen side the oracle truly prefers; ties count against.
win_rate, win_rate_low: challenger against champion on held-out prompts by the oracle, ties half.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from factory.prompts import PromptsFile
from factory.ranking import RoundRobin
from factory.ranking.matchups import matchups
from factory.sandbox.oracle import measure_png, prefer
from factory.sandbox.oracle_judge import NAME as ORACLE_NAME
from jobs import cli
from jobs.datasets.reading import read_groups, read_table
from jobs.pipelines.groups import run_pipeline
from jobs.pipelines.models import generator_ref, judge_ref
from jobs.rounds.workspace import Round, champion
from jobs.session.ray_session import ray_session
from jobs.stages.run import run_loop
from schemas import results
from schemas.arrow import pairs_from_table
from schemas.columns import PAIRS
from schemas.recipe_file import load
from schemas.rows import Group

_NUM_CANDIDATES = 4


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", default="runs/laptop")
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args()
    recipe = load(cli.LAPTOP, [f"root={given.root}", *given.overrides])
    run_loop(recipe)
    at = Round(recipe, 1)
    figures = {**_judge(at), **_pairs(at), **_gain(at)}
    print(json.dumps(figures))


def compared(at: Round, name: str, judges: Sequence[Any]) -> list[Group]:
    """Fresh candidates of the base generator on held-out prompts, every two compared in both orders
    by the judges and by the oracle; kept as `benchmark/NAME` in the root.
    """
    from actors.refs import PluginRef

    directory = at.root / "benchmark" / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    with ray_session(at.recipe):
        _, settled = run_pipeline(
            PromptsFile(at.recipe.evaluate.prompts),
            directory,
            at.recipe,
            generators=[generator_ref(champion(at), at)],
            num_candidates=_NUM_CANDIDATES,
            judges=[*judges, PluginRef("sandbox", "evaluate.oracle", ORACLE_NAME)],
            strategy=RoundRobin(),
        )
    return read_groups(directory, settled.files)


def _judge(at: Round) -> dict[str, float]:
    """Judge against oracle on fresh pairs of held-out prompts."""
    agreed, flipped = [], []
    for group in compared(at, "heldout", [judge_ref(at)]):
        truth = _preferences(group, ORACLE_NAME)
        for ids, (preference, is_flipped) in _preferences(group, at.address("judge")).items():
            flipped.append(is_flipped)
            if truth[ids][0] != "tie":
                agreed.append(preference == truth[ids][0])
    return {
        "judge_pairs": len(agreed),
        "judge_agreement": sum(agreed) / len(agreed),
        "judge_flip_rate": sum(flipped) / len(flipped),
    }


def _preferences(group: Group, judge: str) -> dict[tuple[str, str], tuple[str, bool]]:
    """The judge's preference of each matchup (ids in sorted order), ties resolved by the log-odds
    for a judge that is asked to choose, and whether it flipped."""
    found = {}
    for met in matchups([duel for duel in group.duels if duel.judge == judge]):
        one = met if met.first_id < met.second_id else met.swap()
        preference = "first" if one.logit > 0 else "second" if one.logit < 0 else "tie"
        if judge == ORACLE_NAME:
            preference = one.preference
        found[one.first_id, one.second_id] = (preference, one.is_flipped)
    return found


def _pairs(at: Round) -> dict[str, float]:
    kept = [
        pair
        for pair in pairs_from_table(read_table(at.directory("pairs"), PAIRS))
        if pair.verdict == "kept"
    ]
    right = 0
    for pair in kept:
        sides = [
            measure_png(side.media.data, pair.prompt.text)
            for side in (pair.chosen, pair.rejected)
            if side.media is not None
        ]
        right += prefer(*sides) == "first"
    return {"kept_pairs": len(kept), "pair_precision": right / len(kept)}


def _gain(at: Round) -> dict[str, float]:
    path = Path(at.directory("evaluation")) / results.EVALUATION
    evaluation = results.read(path, results.Evaluation)
    assert evaluation is not None
    won = next(one for one in evaluation.gains if one.name == "win rate" and one.by == ORACLE_NAME)
    assert won.value is not None
    assert won.low is not None
    assert won.num is not None
    return {"win_rate": won.value, "win_rate_low": won.low, "win_rate_prompts": won.num}


if __name__ == "__main__":
    main()
