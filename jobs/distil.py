"""Distil a judge into a lighter one that only scores, on groups that it judged.

    python -m jobs.distil distil='{num_steps: 500, batch_size: 4, learning_rate: 3.0e-4,
        vision_layers: 3, is_exported: true}'

The teacher is the round's judge. Both are compared on the held-out labels: the accuracy that is
kept and the speed that is gained, of the weights and of each exported file. `jobs/stages/distil.py`
does it; `python -m jobs.judge --judge …/judge.int8.onnx` runs a file on the spot.
"""

import sys
from collections.abc import Sequence

from jobs import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    return cli.stage_main("distil", "Distil a judge into a lighter one.", argv)


if __name__ == "__main__":
    sys.exit(main())
