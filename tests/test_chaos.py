"""A few faults of the campaign in tests/benchmarks/chaos.py; `make chaos` has them all."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def test_nothing_is_lost_when_drivers_die_and_s3_breaks_connections() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.chaos", "--faults", "2", "--rows", "8"]
    done = subprocess.run(
        [*command, "--turns", "1", "--kinds", "driver killed", "S3 reset"],
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["faults"] >= 2
    wrong = ("rows_lost", "rows_doubled", "rows_altered", "rows_made_again", "unfinished")
    assert {name: found[name] for name in wrong} == dict.fromkeys(wrong, 0), done.stdout
