"""MLflow's pages on the recipe's own store."""

from __future__ import annotations

import os
import sys

from actors.storage import place
from jobs.rounds.tracking import database_file, tracking_uri
from schemas.places import REPORTS
from schemas.recipe import Recipe
from schemas.recipe_file import without_credentials


class ReviewError(ValueError):
    """There is nothing to serve."""


def review(recipe: Recipe, port: int, *, dry_run: bool) -> None:
    """Print the paths of the reports, and serve MLflow's pages.

    Raises:
        ReviewError: nothing was tracked yet.
    """
    paths = (place(recipe.root) / REPORTS).glob("round-*.html")
    reports = sorted(paths, key=lambda path: (len(path.name), path.name))  # 2 before 10
    print("\n".join(map(str, reports)) or f"no reports under {recipe.root} yet", flush=True)
    if not dry_run:
        serve(recipe, port)


def serve(recipe: Recipe, port: int) -> None:
    """Become MLflow's server on the recipe's store; where it runs elsewhere, say where.

    Raises:
        ReviewError: nothing was tracked yet.
    """
    uri = tracking_uri(recipe)
    if uri.startswith(("http://", "https://")):
        print(f"MLflow: {without_credentials(uri)}")
        return
    store = database_file(uri)
    if store is not None:
        if not store.is_file():
            raise ReviewError(
                f"{store}: nothing was tracked there yet; run a stage of the loop first"
            )
        if "%" in uri:  # MLflow's server would make a folder of that name
            os.chdir(store.parent)
            uri = f"sqlite:///{store.name}"
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
