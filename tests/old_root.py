"""The root in tests/fixtures that an old commit made: a copy of it, and how its round 2 goes on."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

FIXTURE = Path(__file__).parent / "fixtures" / "d5e4ef4"
_HOUSE = Path(__file__).parents[1]
_TIMEOUT_S = 1800  # of a busy machine

#: What a user's `jobs.produce`, `jobs.audit` and `jobs.curate` do, with one Ray for the three.
_GO_ON = """
from jobs.session.ray_session import ray_session
from jobs.stages.run import run_stages
from schemas.recipe_file import load

recipe = load("recipe.yaml")
with ray_session(recipe):
    run_stages(recipe, 2, ("produce", "audit", "curate"))
"""


def copy_of(directory: Path) -> Path:
    """A copy to work in, since the fixture itself is never written to."""
    shutil.copytree(FIXTURE, directory, ignore=shutil.ignore_patterns("__pycache__"))
    return directory


def go_on(copy: Path) -> str:
    """Let round 2 of a copy go on from where it was killed, and return what was printed.

    Another process, since the workers of a Ray that was started elsewhere would look for the
    recipe's relative paths there; and candidates' ids depend on how the paths are written.

    Raises:
        RuntimeError: it failed; ends in what it printed.
    """
    done = subprocess.run(
        [sys.executable, "-c", _GO_ON],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(_HOUSE)},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr)[-6000:])
    return done.stdout
