"""Let a judge go on learning from one slice's labels, and keep it as a line of its own.

    python -m jobs.localise localise='{name: judge-north, labels: north.parquet, num_steps: 60,
        batch_size: 16, learning_rate: 1.0e-4}'

The parent is the round's judge, or `localise.parent`. Child and parent are compared on the slice's
held-out labels and on those that the parent was measured on; where the child has not gained on the
first, or has lost too much on the second, the parent is kept. `jobs/stages/localise.py` does it.
"""

import sys
from collections.abc import Sequence

from jobs import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    return cli.stage_main("localise", "Let a judge go on learning from one slice's labels.", argv)


if __name__ == "__main__":
    sys.exit(main())
