"""A judge on the spot: scores pictures, clips or answers, compares them, and says why.

    python -m jobs.judge --image one.png --caption "a red circle on a blue background"
    python -m jobs.judge --video one.mp4 --video other.mp4 --caption "a cross moving left" --json
    python -m jobs.judge --image one.png --question "what colour ?" --answer red --answer blue
    python -m jobs.judge --image one.png --caption "a red circle" --ask-dry

Every two are compared in both orders. Nothing is written and no cluster is started: the judge is
loaded here, the round's own unless another is named.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jobs import cli
from schemas.recipe import Recipe


def main(argv: Sequence[str] | None = None) -> int:
    """Judge what the command line names."""
    arguments = cli.parser("judge", __doc__ or "")
    arguments.formatter_class = argparse.RawDescriptionHelpFormatter
    media = arguments.add_mutually_exclusive_group(required=True)
    media.add_argument("--image", action="append", type=Path, metavar="FILE", help="a picture")
    media.add_argument("--video", action="append", type=Path, metavar="FILE", help="a clip, MP4")
    text = arguments.add_mutually_exclusive_group(required=True)
    text.add_argument("--caption", metavar="TEXT", help="what the pictures or clips should show")
    text.add_argument("--question", metavar="TEXT", help="about the pictures or clips, in order")
    arguments.add_argument(
        "--answer", action="append", default=[], metavar="TEXT", help="to the question"
    )
    cli.add_judge(arguments)
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    arguments.add_argument(
        "--ask-dry",
        action="store_true",
        help="print what the judge would be sent, to the token, and load no weights",
    )

    def work(recipe: Recipe, given: argparse.Namespace) -> None:
        from jobs.tools.judge import run

        run(recipe, given)

    return cli.run(arguments, work, argv)


if __name__ == "__main__":
    sys.exit(main())
