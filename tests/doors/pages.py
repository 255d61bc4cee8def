"""The journeys as their pages tell them: the commands of a page, run in a clean clone.

A page of `docs/journeys` is a promise that its commands run as written. They are taken from its
blocks of `sh`, in order, and run by one shell in a clone of what is committed. The clone takes the
environment of this checkout, since an install is not what is tried; blocks that want what a
machine may lack (a token, a network) are not `sh` on those pages but `console`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HOUSE = Path(__file__).parents[2]


def commands(page: str) -> str:
    """All that a page says to type."""
    return "".join(_BLOCK.findall(page))


def walk(folder: Path, names: list[str] | None = None) -> dict[str, object]:
    """Run each page in a clone of its own.

    Args:
        folder: where clones are made.
        names: of pages; all where None.

    Returns:
        for each page its seconds, or the end of what it printed where a command failed.
    """
    found: dict[str, object] = {}
    for page in sorted((_HOUSE / "docs" / "journeys").glob("*.md")):
        if names is not None and page.stem not in names:
            continue
        clone = folder / page.stem
        subprocess.run(["git", "clone", "-q", str(_HOUSE), str(clone)], check=True)
        (clone / ".venv").symlink_to(Path(sys.prefix))
        began = time.monotonic()
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands(page.read_text(encoding="utf-8"))],
            cwd=clone,
            env={**os.environ, "PYTHONPATH": str(clone)},
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = round(time.monotonic() - began, 1)
        found[page.stem] = (
            seconds if not done.returncode else f"failed: {done.stdout[-500:]}{done.stderr[-1500:]}"
        )
    return found
