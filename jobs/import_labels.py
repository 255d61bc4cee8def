r"""Human labels from the formats in which they are published, as label rows in Parquet.

    python -m jobs.import_labels pick-a-pic train-*.parquet --out data/pick-a-pic@1
    python -m jobs.import_labels table votes.csv --out data/votes@1 \
        --map first=image_a,second=image_b,preference=winner --values left=first,right=second
    python -m jobs.label labels.path=data/pick-a-pic@1

The data set is split into train and held-out rows by prompt. A finished import is left alone, one
that was killed is begun anew. `jobs/tools/import_labels.py` does it, `factory/labels` knows the
formats.
"""

import argparse
import sys
from collections.abc import Sequence

from jobs import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Import the files."""
    from jobs.tools.import_labels import FORMATS_IN_WORDS, add_arguments, run

    parser = argparse.ArgumentParser(
        prog="python -m jobs.import_labels",
        description=__doc__,
        epilog=FORMATS_IN_WORDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    cli.add_table(parser)
    given = parser.parse_args(argv)
    return cli.guarded(lambda: run(given))


if __name__ == "__main__":
    sys.exit(main())
