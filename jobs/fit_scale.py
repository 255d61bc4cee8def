"""Fit how the scores of a scalar judge become verdicts, to people's labels.

    python -m jobs.fit_scale --judge models/videoalign --labels runs/labels/data/labels@1

Scores both sides of each pair and fits two numbers a task: the logits of a point, and how near two
scores must be for a tie. They lie beside the weights (`verdict_rules.json`), and every job that
uses the judge reads them there. Fit on labels that nothing is reported on afterwards: the scores do
not change by it, but where verdicts are ties does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jobs import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Fit the scale of a judge."""
    arguments = argparse.ArgumentParser(
        prog="python -m jobs.fit_scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = arguments.add_argument
    add("--judge", type=Path, required=True, metavar="DIRECTORY", help="the judge's directory")
    add("--labels", required=True, metavar="PATH", help="label rows: a file, or a data set")
    add("--split", default="heldout", choices=("train", "heldout"), help="(default: heldout)")
    add("--precision", default="fp32", choices=("fp32", "fp16", "bf16"), help="(default: fp32)")
    add("--specification", metavar="NAME", help="as judge.specification (default: scalar.json)")
    given = arguments.parse_args(argv)

    def work() -> None:
        from jobs.tools.fit_scale import fit

        fit(given.judge, given.labels, given.split, given.precision, given.specification)

    return cli.guarded(work)


if __name__ == "__main__":
    sys.exit(main())
