"""Prompts of the fixture, whose ids must be what they were, and prompts of several parts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from schemas.arrow import prompts_from_table
from schemas.columns import PROMPTS, upgraded
from schemas.rows import Prompt

_FIXTURE = Path("tests/fixtures/d5e4ef4")
_TEST = "tests/actors/test_prompt_of_parts.py"


def parts() -> dict[str, float]:
    """Ids that are another today, of all rows of the fixture that have a prompt; and whether a
    question about two pictures in two turns is answered, judged, paired and trained on.
    """
    rows = changed = 0
    ids = set()
    for path in sorted(_FIXTURE.rglob("*.parquet")):
        names = pq.read_schema(path).names
        if not {"prompt_id", "prompt"} <= set(names):
            continue
        table = pq.read_table(path, columns=[name for name in PROMPTS.names if name in names])
        for prompt in prompts_from_table(upgraded(table, PROMPTS)):
            now = Prompt.of(prompt.text, prompt.task, prompt.tags, prompt.media)
            rows += 1
            changed += now.prompt_id != prompt.prompt_id
            ids.add(prompt.prompt_id)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", _TEST]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout[-2000:], flush=True)
    return {
        "fixture_rows": rows,
        "fixture_prompts": len(ids),
        "fixture_ids_changed": changed,
        "two_pictures_two_turns": int(done.returncode == 0),
    }
