"""The closed loop: round after round of

    label -> train_judge -> produce -> audit -> curate -> align -> evaluate -> promote or keep

Every stage leaves a complete artifact or none, so a loop that was killed is started again with the
same command and goes on with the stage in which it died.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from jobs import cli
from schemas.recipe import Recipe

#: The stages of a round, in order; each is a module of this package with a `STAGE`.
STAGES = ("label", "train_judge", "produce", "audit", "curate", "align", "evaluate")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the loop from the command line."""
    arguments = cli.parser("loop", "Run the closed loop for the recipe's number of rounds.")

    def work(recipe: Recipe, given: argparse.Namespace) -> None:
        run_loop(recipe, dry_run=given.dry_run)

    return cli.run(arguments, work, argv)


def run_loop(recipe: Recipe, *, dry_run: bool = False) -> None:
    """Run all rounds, stopping where a judge fails its gate."""
    from jobs.stage import print_plan

    print_plan(recipe, STAGES)
    if dry_run:
        return
    for number in range(1, recipe.num_rounds + 1):
        run_stages(recipe, number, STAGES, is_planned=True)


def run_stages(
    recipe: Recipe,
    number: int,
    names: Sequence[str],
    *,
    dry_run: bool = False,
    is_planned: bool = False,
) -> None:
    """Run some stages of one round, with one Ray session and one MLflow run around them.

    Raises:
        InputError: something that a stage needs is missing, or the round does not exist.
        JudgeGateError: the judge is not good enough to go on with.
    """
    from jobs.stage import print_plan, run_stage, say_complete
    from jobs.workspace import InputError, Round

    if not 1 <= number <= recipe.num_rounds:
        raise InputError(f"--round {number}: the recipe has num_rounds: {recipe.num_rounds}")
    if not is_planned:
        print_plan(recipe, names)
    if dry_run:
        return
    at = Round(recipe, number)
    stages = [import_module(f"jobs.stages.{name}").STAGE for name in names]
    if say_complete(stages, at):
        return
    for stage in stages[:1]:  # a missing input is found before Ray starts
        stage.parents(at)

    from jobs.collect import write_report
    from jobs.ray_session import ray_session
    from jobs.tracking import Tracker, public_settings

    tracker = Tracker.of(recipe)
    with tracker.round(number) as run, ray_session(recipe):
        run.log_params(public_settings(recipe))
        try:
            for stage in stages:
                run_stage(stage, at, tracker)
        finally:
            # A report of what there is helps most where a round went wrong.
            report = write_report(at)
            run.log_artifact(report)
            run.set_tags({"factory.report": str(report.absolute())})
            print(f"report: {report}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
