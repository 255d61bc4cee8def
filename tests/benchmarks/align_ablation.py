"""What the pairs are worth: one table of generators trained on random pairs, on pairs by points
alone, by duels alone, by the published two stages, and on the factory's pairs, against the base,
with the oracle as truth.

    python -m tests.benchmarks.align_ablation [--root runs/laptop] [key=value …]

All start from the same groups and judge (those of the laptop loop, made first where missing), take
equally many steps, and draw from the same noise. They differ in how candidates are ranked and in
nothing else, but that random pairs have no objections that need a margin. Pairs by points take the
best and worst score. The published arms have the candidates and scores of the others and play
duels of their own: disjoint ones, each in one order. Each has its own root under ROOT/ablation.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

from factory.ranking import strategy_of
from jobs import cli
from jobs.datasets.files import write_table
from jobs.datasets.reading import digest_dataset, read_groups
from jobs.pipelines.models import judge_ref
from jobs.rounds.workspace import Round
from jobs.stages.run import run_stages
from schemas import manifest, results
from schemas.arrow import groups_to_table
from schemas.recipe import Recipe
from schemas.recipe_file import load
from schemas.rows import Duel

#: Name of the arm -> how its pairs come about.
ARMS = {
    "random": ["curate.rank.strategy=random", "curate.objections.min_margin=0"],
    "pointwise": ["curate.rank.strategy=pointwise"],
    "pair_only": ["curate.rank.strategy=pairwise"],
    "paper": ["curate.rank.strategy=paper"],
    "factory": [],
}
#: Arms whose duels are not those of the factory's bracket.
OWN_DUELS = ("pair_only", "paper")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", default="runs/laptop")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args()
    common = load(cli.LAPTOP, [f"root={given.root}", *given.overrides])
    run_stages(common, 1, ["label", "train_judge", "produce", "audit"])
    table: dict[str, results.Estimate] = {}
    for arm in given.arms:
        overrides = ARMS[arm]
        root = Path(given.root) / "ablation" / arm
        recipe = load(
            cli.LAPTOP,
            [f"root={root}", *given.overrides, *overrides, "gates.min_win_rate=0"],
        )
        if arm in OWN_DUELS and not Round(recipe, 1).directory("groups").exists():
            _duel_again(Round(common, 1), Round(recipe, 1))
        _share_judgement(Round(common, 1), Round(recipe, 1))
        run_stages(recipe, 1, ["curate", "align", "evaluate"])
        table[arm] = _win_rate(recipe)
    print("\nwin rate against the base by the oracle, ties half, held-out prompts, equal seeds")
    print(f"  {'base':<10} 0.500")
    for arm, won in table.items():
        print(f"  {arm:<10} {won.value:.3f} [{won.low:.3f}, {won.high:.3f}]")
    print(json.dumps({f"win_rate_{arm}": won.value for arm, won in table.items()}))


def _share_judgement(source: Round, target: Round) -> None:
    """Give an arm the labels, judge, groups and profile that all arms share."""
    for kind in ("labels", "judge", "groups", "profile"):
        if not target.directory(kind).exists():
            shutil.copytree(source.directory(kind), target.directory(kind))


def _duel_again(source: Round, target: Round) -> None:
    """Give an arm the groups that all share, with the duels that its strategy asks for."""
    judge, strategy = judge_ref(source).load(), strategy_of(target.recipe.curate.rank)
    groups = []
    for group in read_groups(source.directory("groups")):
        duels: list[Duel] = []
        if group.error is None:
            sitting = judge.sit(group.prompt, group.candidates)
            while matches := strategy.plan(group.scores, duels):
                duels += sitting.duels(matches)
        groups.append(replace(group, duels=tuple(duels)))
    directory = target.directory("groups")
    directory.mkdir(parents=True)
    write_table(directory / "groups.parquet", groups_to_table(groups))
    made = replace(
        source.need("groups"),
        digest=digest_dataset(directory),
        counts={"groups": len(groups), "duels": sum(len(one.duels) for one in groups)},
        files=("groups.parquet",),
    )
    (directory / manifest.FILE).write_bytes(manifest.to_bytes(made))


def _win_rate(recipe: Recipe) -> results.Estimate:
    path = Round(recipe, 1).directory("evaluation") / results.EVALUATION
    evaluation = results.read(path, results.Evaluation)
    assert evaluation is not None
    return next(one for one in evaluation.gains if one.name == "win rate" and one.by == "oracle@0")


if __name__ == "__main__":
    main()
