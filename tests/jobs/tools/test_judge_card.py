"""The judge card from the command line: asked once, the same page again, one more judge alone."""

import hashlib
import json
from pathlib import Path

import pytest

from factory.judge_card.verdict import LOOKS
from jobs import judge_card
from schemas import manifest

TABLES = "jobs/recipes/tables"
HONEST, LEFT = (f"factory.sandbox.planted_judges:{name}" for name in ("honest", "left_loving"))


def pages(out: Path) -> dict[str, str]:
    return {
        name: hashlib.sha256((out / name).read_bytes()).hexdigest()
        for name in ("card.html", "card.md", "card.json")
    }


@pytest.mark.slow
def test_a_judge_is_asked_once_and_another_joins(
    tmp_path: Path, local_ray: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cards"
    command = [f"--pictures={TABLES}", "--num=3", f"root={tmp_path}", f"--judge={HONEST}"]
    assert judge_card.main(command) == 0
    first = pages(out)
    (directory,) = [path for path in out.iterdir() if path.is_dir()]
    made = manifest.read(directory)
    assert made is not None
    assert made.counts["prompts"] == 3
    assert made.counts["unreadable"] == 0
    said = json.loads((directory / "said-00000.json").read_text())
    assert len(said["replies"]) >= said["num_scores"]
    written = {path: path.stat().st_mtime_ns for path in directory.iterdir()}

    assert judge_card.main(command) == 0
    assert pages(out) == first
    assert judge_card.main([*command, f"--judge={LEFT}"]) == 0
    assert {path: path.stat().st_mtime_ns for path in directory.iterdir()} == written
    found = json.loads((out / "card.json").read_text())
    assert [one["name"] for one in found["judges"]] == ["honest", "left_loving"]
    page = (out / "card.html").read_text()
    assert LOOKS in page
    assert "data:image/png" in page
    assert "<script" not in page
    capsys.readouterr()

    assert judge_card.main([*command, "--num=4"]) == 2
    error = capsys.readouterr().err
    assert "was made with another set, judge or recipe" in error
    assert "its inputs have changed" in error


def test_a_dry_run_tells_what_will_be_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--dry-run", f"--pictures={TABLES}", "--num=3", f"root={tmp_path}"]
    assert judge_card.main([*command, f"--judge={HONEST}"]) == 0
    told = capsys.readouterr().out
    assert "3 of image_generation; about" in told
    assert "most leanings will stay open" in told
    assert not list(tmp_path.rglob("card.*"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([f"--judge={HONEST}"], "is given twice"),
        (["--num=1"], "--num: at least 2 prompts"),
        (["--map=caption"], "is to be FIELD=COLUMN"),
        (["--labels=no/labels.parquet"], "no/labels.parquet: no such file"),
        (["--judge=no/such/judge"], "no/such/judge"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_asked(
    more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [f"--pictures={TABLES}", f"root={tmp_path}", f"--judge={HONEST}", *more]
    assert judge_card.main(command) == 2
    assert message in capsys.readouterr().err
