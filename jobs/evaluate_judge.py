"""A judge on a benchmark, or on held-out labels of your own: accuracy, ties, calibration, by slice.

    python -m jobs.evaluate_judge --file data/pick-a-pic@1
    python -m jobs.evaluate_judge --format genai-bench --file image.parquet --judge my/judge

Every pair is shown in both orders, and both sides are scored. Two accuracies with ties are told: of
the verdicts, where a tie must be said, and by threshold, where sides count as tied whose scores (or
log-odds) differ by little (`factory/statistics/ties.py`). What a benchmark's authors count stands
beside, and the judge's calibration beside what it claims. Opinions, report and manifest go to
ROOT/data/benchmark-FORMAT@ROUND. With --stability the judge is held against itself instead,
asked in other batches, in another precision and by other engines: data/stability-FORMAT@ROUND.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from factory.labels.registry import FORMATS, OWN
from jobs import cli
from schemas.recipe import Recipe


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate the judge."""
    arguments = cli.parser("evaluate_judge", __doc__ or "")
    arguments.formatter_class = argparse.RawDescriptionHelpFormatter
    cli.add_judge(arguments)
    add = arguments.add_argument
    add(
        "--format",
        default=OWN,
        metavar="FORMAT",
        help=f"{OWN} (label rows, of which those held out are measured; the default), "
        f"{', '.join(FORMATS)}, or package.module:NAME of a format of your own",
    )
    add("--file", action="append", required=True, metavar="PATH", help="of it; one or several")
    add("--media", type=Path, metavar="DIRECTORY", help="where the media lie that rows name")
    cli.add_table(arguments)
    add("--slice", action="append", default=[], metavar="TAG", help="report on each of its values")
    says = "instead: what other batches, precisions and engines change (of 200 labels)"
    add("--stability", type=int, nargs="?", const=200, metavar="LABELS", help=says)
    add("--out", type=Path, metavar="DIRECTORY", help="other than the default; NAME@VERSION")

    def work(recipe: Recipe, given: argparse.Namespace) -> None:
        from jobs.tools import evaluate_judge, judge_stability

        (judge_stability if given.stability else evaluate_judge).run(recipe, given)

    return cli.run(arguments, work, argv)


if __name__ == "__main__":
    sys.exit(main())
