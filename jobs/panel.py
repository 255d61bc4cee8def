"""Weigh the members of a panel by held-out labels: who is right how often, and who errs alike.

    python -m jobs.panel --file data/votes@1 --out panel.json     # the recipe's judge is a panel
    python -m jobs.produce judge.fusion=panel.json

Every member is asked about the same held-out labels. Printed are each one's accuracy, the
correlation of their errors, their weights, and what the panel makes of labels that its weights were
not fitted on. Without such a file the members of a panel count alike (docs/judges.md).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jobs import cli
from schemas.recipe import Recipe


def main(argv: Sequence[str] | None = None) -> int:
    """Fit the weights."""
    arguments = cli.parser("panel", __doc__ or "")
    arguments.formatter_class = argparse.RawDescriptionHelpFormatter
    add = arguments.add_argument
    add("--file", action="append", required=True, metavar="PATH", help="label rows; those held out")
    add("--out", type=Path, required=True, metavar="FILE", help="gets the weights, as JSON")
    cli.add_judge(arguments)

    def work(recipe: Recipe, given: argparse.Namespace) -> None:
        from jobs.tools.panel import run

        run(recipe, given)

    return cli.run(arguments, work, argv)


if __name__ == "__main__":
    sys.exit(main())
