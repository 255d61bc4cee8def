"""Read what people said of the audit sample. `jobs/stages/human_audit.py` does it.

A sheet that comes later is given to the same command: the answers that were read before stay.
"""

import sys
from collections.abc import Sequence

from jobs import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    return cli.stage_main(
        "human_audit", "Measure the kept pairs by what people said of the audit sample.", argv
    )


if __name__ == "__main__":
    sys.exit(main())
