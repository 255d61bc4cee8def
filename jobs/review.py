"""Look at what was made: the pages of the rounds, and the tracking server's pages.

    python -m jobs.review --recipe jobs/recipes/laptop.yaml [key=value ...]

The MLflow server listens on this machine only and runs until it is interrupted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from schemas import recipe as recipes
from schemas.recipe import Recipe, RecipeError


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m jobs.review",
        description="Print the reports' paths and open MLflow's pages.",
    )
    parser.add_argument("--recipe", required=True, metavar="FILE", help="YAML file of the recipe")
    parser.add_argument("--port", type=int, default=5000, help="of the MLflow pages (default 5000)")
    parser.add_argument("--no-server", action="store_true", help="only print the reports' paths")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="single values, by path")
    options = parser.parse_args(arguments)
    try:
        recipe = recipes.load(options.recipe, options.overrides)
    except RecipeError as error:
        print(error, file=sys.stderr)
        return 2
    reports = sorted(
        (Path(recipe.root) / "reports").glob("round-*.html"),
        key=lambda path: (len(path.name), path),
    )
    print("\n".join(str(path) for path in reports) or f"no reports under {recipe.root} yet")
    return 0 if options.no_server else serve(recipe, options.port)


def serve(recipe: Recipe, port: int) -> int:
    """Run the tracking server on the recipe's store until it is interrupted."""
    from jobs.tracking import tracking_uri, without_credentials

    uri = tracking_uri(recipe)
    if uri.startswith(("http://", "https://")):
        print(f"tracked by the server at {without_credentials(uri)}")
        return 0
    store = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not store.is_file():
        print(f"{store}: nothing was tracked there yet; run a stage first", file=sys.stderr)
        return 2
    print(f"MLflow: http://127.0.0.1:{port}  (Ctrl-C ends it)", flush=True)
    # One worker, and none of the processes for jobs that only the server itself would start.
    environment = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_BACKEND_STORE_URI": uri,  # not on the command line, where others could read it
    }
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    try:
        return subprocess.run(command, env=environment, check=False).returncode
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
