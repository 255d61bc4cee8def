"""Pairs or groups in the form that another trainer loads.

    python -m jobs.export trl --pairs pairs@1 --out exports/trl
    python -m jobs.export datasets --out s3://bucket/pairs --split train=0.9,test=0.1
    python -m jobs.export n-way --groups runs/laptop/data/groups@1 --out exports/n-way

What the form cannot hold is counted by its reason and told. A killed export goes on by the same
command. `jobs/tools/export.py` does it, `factory/exports` knows the formats, and
docs/journeys/exports.md says how each target loads its own.
"""

import argparse
import sys
from collections.abc import Sequence

from jobs import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Export from the command line."""
    from jobs.tools.export import FORMATS_IN_WORDS, add_arguments, run

    parser = argparse.ArgumentParser(
        prog="python -m jobs.export",
        description=__doc__,
        epilog=FORMATS_IN_WORDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parser.add_argument(
        "--recipe",
        default=str(cli.LAPTOP),
        metavar="FILE",
        help="whose root NAME@N is looked for in (default: laptop.yaml)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="count what would be written and what left out"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="override the recipe")
    return cli.run(parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
