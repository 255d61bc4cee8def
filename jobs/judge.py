"""A judge on the spot: scores pictures, clips or answers, compares them, and says why.

    python -m jobs.judge --image one.png --caption "a red circle on a blue background"
    python -m jobs.judge --video one.mp4 --video other.mp4 --caption "a cross moving left" --json
    python -m jobs.judge --image one.png --question "what colour ?" --answer red --answer blue

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
    text.add_argument("--question", metavar="TEXT", help="about the one picture or clip")
    arguments.add_argument(
        "--answer", action="append", default=[], metavar="TEXT", help="to the question"
    )
    cli.add_judge(arguments)
    arguments.add_argument("--json", action="store_true", help="print one JSON object")

    def work(recipe: Recipe, given: argparse.Namespace) -> None:
        from jobs.on_the_spot import as_json, as_text, judge, read_case
        from jobs.pipelines.models import named_judge
        from jobs.rounds.workspace import InputError, Round

        files = given.image or given.video
        if bool(given.answer) != (given.question is not None):
            raise InputError("--answer: a question has at least one, and a caption none")
        text = given.question if given.caption is None else given.caption
        case = read_case(files, text, given.answer, is_video=bool(given.video))
        ref, model = named_judge(given.judge, Round(recipe, given.round))
        if given.dry_run:
            print(f"{len(case.candidates)} candidate(s) of {case.prompt.task}, by {model.address}")
            return
        found = judge(ref.load(), case)
        print(as_json(found) if given.json else as_text(found))

    return cli.run(arguments, work, argv)


if __name__ == "__main__":
    sys.exit(main())
