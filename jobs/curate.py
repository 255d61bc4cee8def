"""Turn judged groups into preference pairs. `jobs/stages/curate.py` does it."""

import sys
from collections.abc import Sequence

from jobs import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    return cli.stage_main("curate", "Turn judged groups into preference pairs.", argv)


if __name__ == "__main__":
    sys.exit(main())
