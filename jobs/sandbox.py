"""Makes the sandbox's parts: its prompts files, its small generators and its base model.

    python -m jobs.sandbox prompts   --out jobs/recipes/prompts
    python -m jobs.sandbox generator --out factory/sandbox/weights/generator   (about 50 minutes)
    python -m jobs.sandbox clips     --out factory/sandbox/weights/clips       (about an hour)
    python -m jobs.sandbox base      --out factory/sandbox/weights/base4       (about 3 hours)
    python -m jobs.sandbox questions --out runs/questions
    python -m jobs.sandbox votes     --out runs/votes

The generator of clips is made from that of pictures, and the base looks at pictures of it, so that
one comes first. The base knows four tasks; what lies in `weights/base` is an earlier one that knows
pictures only (docs/decisions/0003 and 0011). `prompts` writes captions of pictures, and of clips;
`questions` draws pictures and clips to ask about, and `votes` a table of votes between pictures:
those files hold media, or name them, and are not shipped.
Times are of one CPU core. Training saves as it goes, so a stopped run leaves a model that loads.
The base can be trained by several processes, each with documents of its own; or on a GPU, for which
other processes write:

    torchrun --nproc-per-node 2 -m jobs.sandbox base --out DIRECTORY
    python -m jobs.sandbox base --device cuda --workers 14 --batch-size 192 --out DIRECTORY
"""

import argparse
import sys
from collections.abc import Sequence

from jobs import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Make one of the sandbox's parts."""
    from jobs.tools.sandbox import add_arguments, make

    parser = argparse.ArgumentParser(
        prog="python -m jobs.sandbox",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    given = parser.parse_args(argv)
    return cli.guarded(lambda: make(given))


if __name__ == "__main__":
    sys.exit(main())
