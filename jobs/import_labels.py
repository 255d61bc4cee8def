"""Human labels from the formats in which they are published, as label rows in Parquet.

    python -m jobs.import_labels pick-a-pic train-*.parquet --out data/pick-a-pic@1
    python -m jobs.label labels.path=data/pick-a-pic@1

The data set is split into train and held-out rows by prompt. A finished import is left alone, one
that was killed is begun anew. `jobs/importing.py` does it, `factory/labels` knows the formats.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from factory.labels.draft import Scale
from factory.labels.registry import FORMATS
from jobs import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Import the files."""
    parser = argparse.ArgumentParser(
        prog="python -m jobs.import_labels",
        description=__doc__,
        epilog="formats:\n" + "\n".join(f"  {one.name}: {one.about}" for one in FORMATS.values()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("format", choices=FORMATS, metavar="FORMAT", help="one of those below")
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help=".parquet, .json, .jsonl or .csv"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIRECTORY", help="is to be named NAME@VERSION"
    )
    parser.add_argument(
        "--media",
        type=Path,
        metavar="DIRECTORY",
        help="where the media lie that rows name (default: beside the file)",
    )
    parser.add_argument(
        "--heldout-share",
        type=_share,
        default=0.2,
        metavar="SHARE",
        help="of prompts, kept for measuring judges (default: 0.2)",
    )
    parser.add_argument(
        "--scale",
        type=_scale,
        metavar="LOW:HIGH",
        help="the judge's points, to which ratings are mapped (default: as they are)",
    )
    parser.add_argument(
        "--keep-going",
        action="store_true",
        help="write rows that cannot be used to _invalid.jsonl, and count them (default: stop)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="read a few rows of each file, write nothing"
    )
    given = parser.parse_args(argv)

    def work() -> None:
        from jobs.importing import Import, check, import_labels

        request = Import(
            FORMATS[given.format],
            tuple(given.files),
            given.media,
            given.heldout_share,
            given.scale,
            given.keep_going,
        )
        if given.dry_run:
            check(request, given.out)
        else:
            import_labels(request, given.out)

    return cli.guarded(work)


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share from 0 to 1")
    return share


def _scale(text: str) -> Scale:
    low, _, high = text.partition(":")
    scale = float(low), float(high)
    if not scale[0] < scale[1]:
        raise argparse.ArgumentTypeError(f"{text} is not LOW:HIGH with LOW below HIGH")
    return scale


if __name__ == "__main__":
    sys.exit(main())
