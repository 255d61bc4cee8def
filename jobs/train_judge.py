"""Fine-tune the judge on human labels. `jobs/stages/train_judge.py` does it."""

import sys
from collections.abc import Sequence

from jobs import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    return cli.stage_main("train_judge", "Fine-tune the judge on human labels.", argv)


if __name__ == "__main__":
    sys.exit(main())
