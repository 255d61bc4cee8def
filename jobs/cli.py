"""The command line that all jobs share: `python -m jobs.NAME --recipe FILE [key=value …]`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from actors.storage import configure
from schemas.recipe import Recipe
from schemas.recipe_file import load
from schemas.section import RecipeError

RECIPES = Path(__file__).parent / "recipes"
LAPTOP = RECIPES / "laptop.yaml"
_INTERRUPTED = 130  # as a shell says of what ctrl-C has ended


def parser(name: str, description: str, recipe: str = "laptop.yaml") -> argparse.ArgumentParser:
    """The arguments that every job takes; `recipe` is that of none given."""
    arguments = argparse.ArgumentParser(
        prog=f"python -m jobs.{name}",
        description=description,
        epilog="Every key of the recipe can be overridden: produce.num_candidates=4 seed=1 …",
    )
    arguments.add_argument(
        "--recipe",
        default=str(RECIPES / recipe),
        metavar="FILE",
        help=f"YAML recipe (default: {recipe})",
    )
    arguments.add_argument(
        "--dry-run",
        action="store_true",
        help="validate recipe, inputs, paths and models, print the plan, start nothing",
    )
    arguments.add_argument("overrides", nargs="*", metavar="key=value", help="override the recipe")
    return arguments


def run(
    arguments: argparse.ArgumentParser,
    work: Callable[[Recipe, argparse.Namespace], None],
    argv: Sequence[str] | None = None,
) -> int:
    """Read the recipe and do the work; a fault in recipe or inputs ends in one clear message."""
    # Positional arguments may stand between options: `export trl --out there root=here`.
    given = arguments.parse_intermixed_args(argv)

    def configured() -> None:
        recipe = load(given.recipe, given.overrides)
        configure(recipe.storage)  # before anything connects or starts a process
        work(recipe, given)

    return guarded(configured)


def guarded(work: Callable[[], None]) -> int:
    """Do the work of a job; a fault in what it was given, and ctrl-C, end in one clear message."""
    # Before anything heavy is loaded: a number of threads is read once, when a library starts.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        work()
    except RecipeError as error:
        return _fail(error)
    except ValueError as error:
        # Our own errors about inputs are ValueErrors of our own modules; others are faults.
        if type(error).__module__.split(".")[0] in {"schemas", "factory", "actors", "jobs"}:
            return _fail(error)
        raise
    except KeyboardInterrupt:
        print(
            "interrupted: what is complete stays; start the same command again to go on",
            file=sys.stderr,
        )
        return _INTERRUPTED
    return 0


def _fail(error: Exception) -> int:
    print(f"error: {error}", file=sys.stderr)
    return 2


def stage_parser(name: str, description: str) -> argparse.ArgumentParser:
    """The arguments of a job that runs one stage of one round."""
    arguments = parser(name, description)
    arguments.add_argument(
        "--round", type=int, default=1, metavar="N", help="round of the loop (default: 1)"
    )
    return arguments


def add_judge(arguments: argparse.ArgumentParser) -> None:
    """The arguments that name a judge: those of `jobs.pipelines.models.named_judge`."""
    arguments.add_argument(
        "--judge",
        metavar="MODEL",
        help="directory, s3:// address or hub name, asked as judge.specification says; an http "
        "address or 'endpoint', of a section of the recipe; NAME@N of this root or of a section; "
        "package.module:name of your own; FILE.onnx of a light judge; see docs/judges.md "
        "(default: the round's judge)",
    )
    arguments.add_argument(
        "--round", type=int, default=1, metavar="N", help="whose judge it is (default: 1)"
    )


def add_table(arguments: argparse.ArgumentParser) -> None:
    """How a table of one's own is read: the format `table`."""
    arguments.add_argument(
        "--map",
        action="append",
        metavar="FIELD=COLUMN,…",
        help="of a table of your own: which column holds what (format `table`)",
    )
    arguments.add_argument(
        "--values",
        action="append",
        metavar="VALUE=first|second|tie|none,…",
        help="of a table of your own: what its verdicts mean",
    )
    arguments.add_argument(
        "--points",
        metavar="LOW:HIGH",
        help="of a table of your own: the scale on which its points lie",
    )


def stage_main(name: str, description: str, argv: Sequence[str] | None = None) -> int:
    """The `main` of a job that runs one stage of one round."""
    arguments = stage_parser(name, description)

    def work(recipe: Recipe, given: argparse.Namespace) -> None:
        from jobs.stages.run import run_stages

        run_stages(recipe, given.round, [name], dry_run=given.dry_run)

    return run(arguments, work, argv)
