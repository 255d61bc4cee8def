"""Look at what was made: the paths of the rounds' pages, and MLflow's pages.

The MLflow server reads the recipe's own store, listens on this machine only, and runs until it is
interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from jobs import cli
from schemas.recipe import Recipe


def main(argv: Sequence[str] | None = None) -> int:
    """Print the reports' paths and serve MLflow's pages."""
    arguments = cli.parser("review", "Print the paths of the reports and serve MLflow's pages.")
    arguments.add_argument(
        "--port", type=int, default=5000, help="of MLflow's pages (default: 5000)"
    )

    def work(recipe: Recipe, given: argparse.Namespace) -> None:
        from jobs.tools.review import review

        review(recipe, given.port, dry_run=given.dry_run)

    return cli.run(arguments, work, argv)


if __name__ == "__main__":
    sys.exit(main())
