"""Go back to an earlier champion: for the rounds that follow, and for whoever loads by alias.

    python -m jobs.rollback --to generator@0 --reason "blurs faces, says the print shop"

It is recorded in the root beside the artifacts and moves the alias `champion` in the registry. What
the rounds made stays as it is, and so do their decisions. A round that has begun keeps the champion
it began with: one that is not finished must be finished, or taken away, before going back.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from jobs import cli
from schemas.recipe import Recipe


def main(argv: Sequence[str] | None = None) -> int:
    """Go back from the command line."""
    arguments = cli.parser("rollback", __doc__ or "")
    arguments.formatter_class = argparse.RawDescriptionHelpFormatter
    arguments.add_argument("--to", required=True, metavar="NAME@N", help="an earlier champion")
    arguments.add_argument("--reason", required=True, metavar="TEXT", help="for the record")

    def work(recipe: Recipe, given: argparse.Namespace) -> None:
        from jobs.tools.rollback import roll_back

        roll_back(recipe, given.to, given.reason, dry_run=given.dry_run)

    return cli.run(arguments, work, argv)


if __name__ == "__main__":
    sys.exit(main())
