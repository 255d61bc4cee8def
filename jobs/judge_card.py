"""What a judge is worth, before anyone trusts it: one page, several judges side by side.

    python -m jobs.judge_card --judge my/judge --judge other/judge
    python -m jobs.judge_card --judge my/judge --pictures FOLDER
    python -m jobs.judge_card --judge my/judge --groups runs/mine/data/groups@1 --labels data/ours@1

No label and no generator is needed: a picture under its own caption is to win over another's, an
edited copy is neither better nor worse, a grey area is no picture. Without --pictures and --groups
the judges are shown a small set of the sandbox. What each said is kept in ROOT/cards, and asked
once: the same command again, or with one more --judge, asks only what is missing.
docs/judge-card.md says what each figure means.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jobs import cli
from schemas.recipe import Recipe


def main(argv: Sequence[str] | None = None) -> int:
    """Make the card."""
    arguments = cli.parser("judge_card", __doc__ or "")
    arguments.formatter_class = argparse.RawDescriptionHelpFormatter
    add = arguments.add_argument
    told = "as for jobs.evaluate_judge; one or several (default: the round's judge)"
    add("--judge", action="append", default=[], metavar="MODEL", help=told)
    add("--round", type=int, default=1, metavar="N", help="whose judge it is (default: 1)")
    shown = arguments.add_mutually_exclusive_group()
    told = "pictures or clips, with a table of their captions, or with names that are captions"
    shown.add_argument("--pictures", metavar="FOLDER", help=told)
    told = "groups@N, candidates@N, package.module:name of what makes groups, or sandbox (default)"
    shown.add_argument("--groups", action="append", default=[], metavar="DIRECTORY", help=told)
    add("--map", action="append", metavar="FIELD=COLUMN,…", help="of the table in --pictures")
    told = "prompts of each task at most (default: 96)"
    add("--num", type=int, default=96, metavar="N", help=told)
    told = "label rows; those held out are compared with"
    add("--labels", action="append", default=[], metavar="PATH", help=told)
    add("--slice", action="append", default=[], metavar="TAG", help="report on each of its values")
    add("--out", type=Path, metavar="DIRECTORY", help="other than ROOT/cards")

    def work(recipe: Recipe, given: argparse.Namespace) -> None:
        from jobs.tools.judge_card import run

        run(recipe, given)

    return cli.run(arguments, work, argv)


if __name__ == "__main__":
    sys.exit(main())
