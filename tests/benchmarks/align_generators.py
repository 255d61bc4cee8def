"""One round of the loop for each kind of generator, with the sandbox oracle as truth.

    python -m tests.benchmarks.align_generators [--kinds image video answers] [--root runs]
        [key=value …]

Each kind has its recipe and a root of its own below ROOT; finished stages are left alone. Overrides
go to all the kinds that are named. Held-out prompts are in no other file. With 95 % intervals
clustered by prompt:

KIND.win_rate: challenger against champion at equal seeds by the oracle, a tie counting half.
answers.error_rate_before, answers.error_rate_after: answers that are not right in every fact asked
    for, of the champion and of the challenger.
answers.mended: by what share of the champion's errors the challenger has fewer.
KIND.invalid_rate: twins of which the oracle could not judge one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

from factory.sandbox.oracle_judge import NAME as ORACLE
from jobs import cli
from jobs.rounds.workspace import Round
from jobs.stages.run import run_loop
from jobs.tools.sandbox import QUESTIONS, write_questions
from schemas import results
from schemas.recipe import Recipe
from schemas.recipe_file import load
from schemas.results import Estimate
from schemas.rows import seed_of

RECIPES = {
    "image": cli.LAPTOP,
    "video": "jobs/recipes/video.yaml",
    "answers": "jobs/recipes/answers.yaml",
}
#: What the oracle must find: a win rate, and of answers the share of errors that is mended.
TARGETS = {"image": 0.75, "video": 0.65, "answers": 0.20}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kinds", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--root", type=Path, default=Path("runs"))
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args()
    figures: dict[str, float] = {}
    for kind in given.kinds:
        root = given.root / kind
        overrides = [f"root={root}", *_inputs(kind, root), *given.overrides]
        recipe = load(RECIPES[kind], overrides)
        run_loop(recipe)
        figures |= measure(kind, recipe)
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


def _inputs(kind: str, root: Path) -> list[str]:
    """Overrides that name the files of questions; those that are there are left alone."""
    if kind != "answers":
        return []
    made = []
    for (name, num), key in zip(QUESTIONS.items(), ("evaluate", "labels", "produce"), strict=True):
        path = root / "questions" / f"{name}.parquet"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_questions(path, num, seed_of("questions", name, 0))
        made.append(f"{key}.prompts={path}")
    return made


def measure(kind: str, recipe: Recipe) -> dict[str, float]:
    """Figures of a finished round; prints each with its interval."""
    path = Round(recipe, 1).directory("evaluation") / results.EVALUATION
    found = results.read(path, results.Evaluation)
    assert found is not None
    won = _find(found.gains, "win rate", ORACLE)
    shown = {"win_rate": won}
    if kind == "answers":
        before, after, mended = found.errors
        shown |= {"error_rate_before": before, "error_rate_after": after, "mended": mended}
    target = TARGETS[kind]
    print(f"\n{kind}: {won.num} twins, {won.num_invalid} invalid; target {target}")
    figures: dict[str, float] = {}
    for name, one in shown.items():
        assert one.value is not None
        assert one.low is not None
        assert one.high is not None
        print(f"  {name:<18} {one.value:.3f} [{one.low:.3f}, {one.high:.3f}]", flush=True)
        figures |= {f"{kind}.{name}": one.value, f"{kind}.{name}_low": one.low}
    num = (won.num or 0) + (won.num_invalid or 0)
    return {**figures, f"{kind}.twins": num, f"{kind}.invalid_rate": (won.num_invalid or 0) / num}


def _find(estimates: Iterable[Estimate], name: str, judge: str) -> Estimate:
    return next(one for one in estimates if one.name == name and one.by == judge)


if __name__ == "__main__":
    main()
