"""What `make demo` runs: first pairs from a judge as it is, then the whole loop, on the sandbox.

    published-judge.yaml   prompts -> candidates -> verdicts -> audit -> pairs, without a label
    demo.yaml              label -> train_judge -> … -> evaluate -> promote or keep

The loop is that of `jobs.loop --recipe jobs/recipes/demo.yaml`, small enough for minutes; what so
few prompts cannot show is not promoted. `make loop` runs it at its real size.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from jobs import cli
from schemas.recipe import Recipe
from schemas.recipe_file import load


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo."""
    arguments = cli.parser("demo", "Show first pairs, then run a small loop.", recipe="demo.yaml")

    def work(recipe: Recipe, given: argparse.Namespace) -> None:
        from jobs.rounds.workspace import Round
        from jobs.stages.run import run_loop

        began = time.monotonic()
        beside = f"{recipe.root.rstrip('/')}-first-pairs"
        first = load(cli.RECIPES / "published-judge.yaml", [f"root={beside}"])
        run_loop(first, dry_run=given.dry_run)
        if not given.dry_run:
            seconds = time.monotonic() - began
            page = Round(first, 1).report().absolute().as_uri()
            print(f"\nfirst pairs after {seconds:.0f} s, with pictures: {page}\n", flush=True)
        run_loop(recipe, dry_run=given.dry_run)

    return cli.run(arguments, work, argv)


if __name__ == "__main__":
    sys.exit(main())
