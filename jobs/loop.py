"""The closed loop: round after round of

    label -> train_judge -> produce -> audit -> curate -> align -> evaluate -> promote or keep

Every stage leaves a complete artifact or none, so a loop that was killed is started again with the
same command and goes on with the stage in which it died. A round draws afresh from the champion of
its time, which is also what its challenger is held to. The recipe's `limits` are looked at before
each stage; a summary of all rounds follows each.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from jobs import cli
from schemas.recipe import Recipe


def main(argv: Sequence[str] | None = None) -> int:
    """Run the loop from the command line."""
    arguments = cli.parser("loop", "Run the closed loop for the recipe's number of rounds.")

    def work(recipe: Recipe, given: argparse.Namespace) -> None:
        from jobs.stages.run import run_loop

        run_loop(recipe, dry_run=given.dry_run)

    return cli.run(arguments, work, argv)


if __name__ == "__main__":
    sys.exit(main())
