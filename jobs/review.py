"""Look at what was made: the paths of the rounds' pages, and MLflow's pages.

The MLflow server reads the recipe's own store, listens on this machine only, and runs until it is
interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from actors.storage import place
from jobs import cli
from schemas.recipe import Recipe, without_credentials


class ReviewError(ValueError):
    """There is nothing to serve."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the reports' paths and serve MLflow's pages."""
    arguments = cli.parser("review", "Print the paths of the reports and serve MLflow's pages.")
    arguments.add_argument(
        "--port", type=int, default=5000, help="of MLflow's pages (default: 5000)"
    )

    def work(recipe: Recipe, given: argparse.Namespace) -> None:
        paths = (place(recipe.root) / "reports").glob("round-*.html")
        reports = sorted(paths, key=lambda path: (len(path.name), path.name))  # 2 before 10
        print("\n".join(map(str, reports)) or f"no reports under {recipe.root} yet", flush=True)
        if not given.dry_run:
            serve(recipe, given.port)

    return cli.run(arguments, work, argv)


def serve(recipe: Recipe, port: int) -> None:
    """Become MLflow's server on the recipe's store; where it runs elsewhere, say where.

    Raises:
        ReviewError: nothing was tracked yet.
    """
    from jobs.rounds.tracking import tracking_uri

    uri = tracking_uri(recipe)
    if uri.startswith(("http://", "https://")):
        print(f"MLflow: {without_credentials(uri)}")
        return
    store = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not store.is_file():
        raise ReviewError(f"{store}: nothing was tracked there yet; run a stage of the loop first")
    print(f"MLflow: http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)
    environment = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # The processes for jobs that only the server itself would start.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # Not on the command line, where other users could read a password in it.
        "MLFLOW_BACKEND_STORE_URI": uri,
    }
    command = [sys.executable, "-m", "mlflow", "server"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # In the place of this process, so that whoever ends this one ends the server.
    os.execve(sys.executable, command, environment)


if __name__ == "__main__":
    sys.exit(main())
