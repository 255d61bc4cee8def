"""Running stages: some of one round, or the whole loop.

One Ray session and one MLflow run are around all of them; a page and a summary follow, whatever
happened. `jobs/stages/base.py` runs a single stage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib import import_module

from jobs.pages.collect import write_report
from jobs.rounds.checks import trusted_checkpoints
from jobs.rounds.course import course, left_out
from jobs.rounds.history import as_text, kept_in_a_row, write_summary
from jobs.rounds.limits import reached
from jobs.rounds.tracking import Tracker, public_settings, tracking_uri
from jobs.rounds.workspace import InputError, Round
from jobs.session.ray_session import ray_session
from jobs.session.run_log import new_log, note, run_log
from jobs.stages.base import Stage, print_plan, run_stage, say_complete, say_made
from schemas import manifest
from schemas.artifacts import loop_kinds
from schemas.places import LOGS
from schemas.recipe import Recipe

#: All stages of a round, in order; each is a module of this package with a `STAGE`.
STAGES = tuple(kind.job for kind in loop_kinds())


def run_loop(recipe: Recipe, *, dry_run: bool = False) -> None:
    """Run all rounds, stopping where a judge fails its gate or a limit of the recipe is reached,
    and name everything that was made. A round has the stages whose sections the recipe holds.
    """
    stages = [kind.job for kind in course(recipe)]
    _check_limits(recipe)
    print_plan(recipe, stages)
    for job, why in left_out(recipe).items():
        print(f"  {job:<12} left out: {why}", flush=True)
    if dry_run:
        for number in range(1, recipe.num_rounds + 1):
            say_made(_stages(stages), Round(recipe, number))
        return
    began = time.monotonic()
    _run_rounds(recipe, stages)
    minutes = (time.monotonic() - began) / 60
    print(f"\n{recipe.name}: done in {minutes:.1f} minutes. {_what_was_made(recipe)}", flush=True)


def _stages(names: Sequence[str]) -> list[Stage]:
    return [import_module(f"jobs.stages.{name}").STAGE for name in names]


def _run_rounds(recipe: Recipe, stages: Sequence[str]) -> None:
    for number in range(1, recipe.num_rounds + 1):
        most = recipe.limits.max_kept_rounds
        if most is not None and kept_in_a_row(recipe, number) >= most:
            print(
                f"ended before round {number}: limits.max_kept_rounds: {most} round(s) in a row "
                "without a promotion; the summary says why",
                flush=True,
            )
            return
        ended = run_stages(
            recipe, number, stages, is_planned=True, may_go_on=lambda: reached(recipe)
        )
        print(as_text(recipe), flush=True)
        if ended is not None:
            print(ended, flush=True)
            return


def _what_was_made(recipe: Recipe) -> str:
    lines = ["What was made:"]
    last = 1
    for number in range(1, recipe.num_rounds + 1):
        at = Round(recipe, number)
        for kind in loop_kinds():
            made = manifest.read(at.directory(kind.name))
            if made is not None:
                lines.append(f"  {made.address:<14} {at.directory(kind.name)}")
                last = number
    lines += [
        f"  MLflow         python -m jobs.review   ({tracking_uri(recipe)})",
        f"  report         {Round(recipe, last).report().absolute().as_uri()}",
    ]
    return "\n".join(lines)


def _check_limits(recipe: Recipe) -> None:
    if recipe.limits.max_kept_rounds is not None and not recipe.is_evaluated:
        raise InputError(
            "limits.max_kept_rounds: counts rounds whose evaluation promoted nothing, and this "
            "recipe evaluates none: add `align` and `evaluate: {prompts: FILE}`, or leave it out"
        )


def run_stages(
    recipe: Recipe,
    number: int,
    names: Sequence[str],
    *,
    dry_run: bool = False,
    is_planned: bool = False,
    may_go_on: Callable[[], str | None] = lambda: None,
) -> str | None:
    """Run some stages of one round, with one Ray session and one MLflow run around them.

    Args:
        recipe: of the loop.
        number: of the round.
        names: of the stages.
        dry_run: print the plan, and what there is already, and start nothing.
        is_planned: the plan was printed already.
        may_go_on: asked before each stage that is not complete; says why the loop is to end there.

    Returns:
        Why it ended before its last stage; None where it did not.

    Raises:
        InputError: something that a stage needs is missing, or the round does not exist.
        JudgeGateError: the judge is not good enough to go on with.
    """
    if not 1 <= number <= recipe.num_rounds:
        raise InputError(f"--round {number}: the recipe has num_rounds: {recipe.num_rounds}")
    if not is_planned:
        print_plan(recipe, names)
    at, stages = Round(recipe, number), _stages(names)
    if dry_run:
        say_made(stages, at)
        return None
    if say_complete(stages, at):
        return None
    for stage in stages[:1]:  # a missing input is found before Ray starts
        stage.parents(at)

    tracker = Tracker.of(recipe)
    with tracker.round(number) as run, ray_session(recipe):
        run.log_params(public_settings(recipe))
        log = new_log(at.root)
        try:
            with run_log(log, recipe=recipe.name, round=number, mlflow_run=run.run_id):
                for key, checkpoint in trusted_checkpoints(recipe):
                    note("remote_code_trusted", key=key, checkpoint=checkpoint)
                for name, stage in zip(names, stages, strict=True):
                    if manifest.read(at.directory(stage.kind)) is None and (why := may_go_on()):
                        note("ended_early", stage=at.address(stage.kind), why=why)
                        return f"ended before {name} of round {number}: {why}"
                    run_stage(stage, at, tracker)
        finally:
            if log.is_file():
                run.log_artifact(log, LOGS)
            # A report of what there is helps most where a round went wrong.
            for path in (write_summary(recipe), write_report(at)):
                run.log_artifact(path)
            run.set_tags({"factory.report": str(at.report().absolute())})
            print(f"report: {at.report()}", flush=True)
    return None


def retry(recipe: Recipe, number: int, *, dry_run: bool = False) -> None:
    """Make again what only an attempt failed at in the complete groups of a round, and record the
    result.

    Args:
        recipe: of the groups.
        number: of the round.
        dry_run: count the rows and start nothing.

    Raises:
        InputError: the data set is not complete yet, or was made with another recipe.
    """
    from jobs.stages.produce import num_failed, retry_invalid

    at = Round(recipe, number)
    if dry_run:
        print(f"{at.address('groups')}: {num_failed(at)} row(s) to make again")
        return
    with ray_session(recipe), run_log(new_log(at.root), recipe=recipe.name, round=number):
        retry_invalid(at)
    # Complete under its new manifest, and recorded like any other.
    run_stages(recipe, number, ["produce"])
