"""Convert a published checkpoint into safetensors that judges load.

    python -m jobs.convert hpsv2 HPS_v2.1_compressed.pt models/hpsv2 --base CLIP-ViT-H-14
    python -m jobs.convert videoalign VideoReward models/videoalign --base Qwen2-VL-2B-Instruct
    python -m jobs.convert llava_qwen UnifiedReward-7b models/unifiedreward

Kinds: hpsv2, hpsv3, imagereward, llava_qwen, pickscore, videoalign (docs/scalar-judges.md). Pickles
are read as tensors alone, and nothing in them is run. Every tensor of the source is used or named
with the reason why not, and every tensor of the model is filled, or nothing is written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jobs import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Convert what the command line names."""
    arguments = argparse.ArgumentParser(
        prog="python -m jobs.convert",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("kind", metavar="KIND", help="the published layout")
    arguments.add_argument(
        "source", metavar="SOURCE", help="a file or directory, or a hub's name of several files"
    )
    arguments.add_argument("out", type=Path, metavar="OUT", help="a directory that is not there")
    arguments.add_argument(
        "--base",
        metavar="MODEL",
        help="directory or hub name of the model that it was trained from (default: the one that "
        "its publisher names)",
    )
    given = arguments.parse_args(argv)

    def work() -> None:
        from jobs.tools.convert import convert

        convert(given.kind, given.source, given.out, given.base)

    return cli.guarded(work)


if __name__ == "__main__":
    sys.exit(main())
