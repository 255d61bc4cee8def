"""A loop with every path on S3, with the server killed in the middle of it.

Its judge is one that is there already and is not trained: `tests/test_end_to_end.py` trains one, by
the same code as generators.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from actors.storage import ObjectPath, place
from factory.prompts import read_prompts
from jobs.datasets.reading import read_groups, read_table
from jobs.rounds.workspace import Round
from schemas.arrow import pairs_from_table
from schemas.columns import PAIRS
from schemas.recipe_file import load
from tests.s3.server import ACCESS_KEY, SECRET_KEY, S3Server
from tests.test_end_to_end import LAPTOP, TIMEOUT_S, finish, kill, shrink, start, wait_for

pytestmark = pytest.mark.slow

MADE = ("groups", "profile", "pairs", "generator", "evaluation")
#: The sandbox's own, as the demo uses it.
JUDGE = "factory/sandbox/weights/judge"
OF_LABELS = ("labels.", "train_judge.")


def to_s3(overrides: list[str], at: ObjectPath) -> list[str]:
    """The overrides with their prompts files, and the models, on S3."""
    moved = []
    for one in overrides:
        key, _, value = one.partition("=")
        if key.endswith(".prompts"):
            target = at / "prompts" / Path(value).name
            target.write_bytes(Path(value).read_bytes())
            one = f"{key}={target}"
        moved.append(one)
    return moved


def test_the_loop_survives_the_death_of_its_server(
    s3: ObjectPath, server: S3Server, tmp_path: Path
) -> None:
    recipe = load(LAPTOP)
    from actors.storage import working_directory

    for name, path in (("generator", recipe.generator.path), ("judge", JUDGE)):
        with working_directory(s3 / "given" / name) as local:
            subprocess.run(["cp", "-r", f"{path}/.", str(local)], check=True)
    overrides = [
        *to_s3([one for one in shrink(tmp_path) if not one.startswith(OF_LABELS)], s3),
        "labels=null",
        "train_judge=null",
        f"generator.path={s3 / 'given' / 'generator'}",
        f"judge.path={s3 / 'given' / 'judge'}",
        "storage.max_inline_bytes=1500",  # some pictures are larger, some smaller
        f"tracking_uri=sqlite:///{tmp_path / 'mlflow.db'}",
    ]
    root, log = s3 / "run", tmp_path / "log"
    log.touch()
    process = start(overrides, root, log)
    try:
        wait_for("groups@1: started", process, log)
        limit = time.monotonic() + TIMEOUT_S
        while not any((root / "data" / "groups@1").glob("part-*.parquet")):
            assert process.poll() is None, log.read_text()[-6000:]
            assert time.monotonic() < limit, log.read_text()[-6000:]
            time.sleep(0.2)
        server.kill()
        server.start()
        if process.wait(TIMEOUT_S) != 0:  # the outage was too long for it: the same command again
            process = start(overrides, root, log)
        text = finish(process, log)
    finally:
        kill(process)

    at = Round(load(LAPTOP, [*overrides, f"root={root}"]), 1)
    for kind in MADE:
        assert at.need(kind).address in text
    wanted = sorted(one.prompt_id for one in read_prompts(place(at.recipe.produce.prompts)))
    assert [one.prompt.prompt_id for one in read_groups(at.directory("groups"))] == wanted
    pairs = pairs_from_table(read_table(at.directory("pairs"), PAIRS))
    assert sorted(pair.prompt.prompt_id for pair in pairs) == sorted(2 * wanted)
    assert any((root / "media").rglob("*.tar"))
    assert "win rate" in at.report().read_text()
    # Nothing that was written or said holds a credential.
    said = [log.read_bytes(), *(p.read_bytes() for p in root.rglob("*.json*"))]
    logs = sorted((root / "logs").glob("*.jsonl"))
    assert logs
    assert "stage_complete" in logs[-1].read_text()
    said += [at.report().read_bytes(), *(p.read_bytes() for p in tmp_path.rglob("*.db"))]
    for one in said:
        assert SECRET_KEY.encode() not in one
        assert ACCESS_KEY.encode() not in one
    again = subprocess.run(
        [sys.executable, "-m", "jobs.produce", "--recipe", LAPTOP, *overrides, f"root={root}"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env=os.environ,
    )
    assert again.returncode == 0, again.stderr
    assert "groups@1: complete already" in again.stdout
