"""Draw candidates for every prompt and judge them. `jobs/stages/produce.py` does it.

With `--only draw` and `--only judge` the two are done apart. With `--retry-invalid`, what failed in
a complete data set by a time-out, a crash or a lost connection is made again, and nothing else.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from jobs import cli
from schemas.recipe import Recipe


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    arguments = cli.stage_parser("produce", "Draw candidates for every prompt and judge them.")
    arguments.add_argument(
        "--retry-invalid",
        action="store_true",
        help="of a complete data set, make again what failed by a time-out, a crash or a lost "
        "connection",
    )
    arguments.add_argument(
        "--only",
        choices=("draw", "judge"),
        help="draw candidates@N without a judge, or judge them without a generator",
    )

    def work(recipe: Recipe, given: argparse.Namespace) -> None:
        from jobs.stages.run import retry, run_stages

        if given.only and given.retry_invalid:
            arguments.error("--retry-invalid draws and judges: give it without --only")
        if given.retry_invalid:
            retry(recipe, given.round, dry_run=given.dry_run)
            return
        if given.only == "judge":
            from jobs.stages.produce import judging_alone

            recipe = judging_alone(recipe, given.round)
        stage = "draw" if given.only == "draw" else "produce"
        run_stages(recipe, given.round, [stage], dry_run=given.dry_run)

    return cli.run(arguments, work, argv)


if __name__ == "__main__":
    sys.exit(main())
