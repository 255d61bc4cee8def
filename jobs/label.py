"""Take in human labels, or simulate them. `jobs/stages/label.py` does it."""

import sys
from collections.abc import Sequence

from jobs import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    return cli.stage_main("label", "Take in human labels, or simulate them.", argv)


if __name__ == "__main__":
    sys.exit(main())
