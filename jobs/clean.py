"""Clear away what killed runs left in a root.

    python -m jobs.clean --root runs/laptop --dry-run

Media to which no row refers, Parquet files that a complete data set does not name, and the inputs
of runs that are over. What is younger than a day stays, since a run may be at work on it, and so
does everything of a data set that is not complete.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from jobs import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Clear a root from the command line."""
    arguments = argparse.ArgumentParser(
        prog="python -m jobs.clean",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("--root", required=True, metavar="PLACE", help="as in the recipe")
    arguments.add_argument(
        "--older-than",
        type=float,
        default=24.0,
        metavar="HOURS",
        help="what is younger stays (default: 24); less only where no run is at work",
    )
    arguments.add_argument(
        "--dry-run", action="store_true", help="count what is left over, clear nothing"
    )
    given = arguments.parse_args(argv)

    def work() -> None:
        from jobs.tools.clean import clean

        clean(given.root, given.older_than, dry_run=given.dry_run)

    return cli.guarded(work)


if __name__ == "__main__":
    sys.exit(main())
