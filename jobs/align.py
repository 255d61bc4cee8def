"""Train the generator on the kept pairs. `jobs/stages/align.py` does it."""

import sys
from collections.abc import Sequence

from jobs import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    return cli.stage_main("align", "Train the generator on the kept pairs.", argv)


if __name__ == "__main__":
    sys.exit(main())
