"""Clearing a root: what killed runs left goes, and nothing that a row may still need."""

import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from actors.media_store import MediaStore
from jobs import clean as command
from jobs.datasets.files import write_table
from jobs.datasets.reading import read_groups
from jobs.rounds.lifecycle import complete
from jobs.tools import clean
from schemas.arrow import groups_to_table
from schemas.manifest import Manifest
from schemas.rows import Candidate, Group, Media, Prompt

DAY_S = 24 * 3600.0


def group(number: int) -> Group:
    media = Media(bytes([number]) * 5000, 8, 8)
    return Group(Prompt.of(f"prompt {number}"), (Candidate(f"{number}", "g@0", number, media),))


def written(root: Path, file: str, *numbers: int) -> pa.Table:
    """A file of groups whose media lie in a pack."""
    table = MediaStore(str(root), 1000).put_out(groups_to_table(map(group, numbers)))
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    write_table(root / file, table)
    return table


def made(*files: str) -> Manifest:
    return Manifest("groups@1", "groups", "f", "d", (), {}, files=files)


def age(root: Path, hours: float = 48.0) -> None:
    then = time.time() - hours * 3600
    for path in root.rglob("*"):
        os.utime(path, (then, then))


def paths(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A complete data set, one that is not, and all that killed runs leave."""
    root = tmp_path / "root"
    written(root, "data/groups@1/rows-a.parquet", 1, 2)
    complete(root / "data/groups@1", made("rows-a.parquet"))
    written(root, "data/groups@1/_probes.parquet", 3)
    written(root, "data/groups@2/part-b.parquet", 4)
    (root / "data/groups@2/part-torn.parquet").write_bytes(b"PAR1 and no more")
    (root / "data/groups@2/_prompts-c-0.parquet").write_bytes(b"PAR1")
    written(root, "data/groups@2/_drawn-b.parquet", 8)
    old = root / "objects" / "ab" / ("ab" + "0" * 62)
    old.parent.mkdir(parents=True)
    media = Media(None, 8, 8, path=str(old.relative_to(root)))
    row = replace(group(5), candidates=(Candidate("5", "g@0", 5, media),))
    write_table(root / "data/groups@2/part-old.parquet", groups_to_table([row]))
    old.write_bytes(b"object")
    return root


def add_leftovers(root: Path) -> set[str]:
    before = paths(root)
    written(root, "data/groups@1/part-again.parquet", 6)
    (root / "data/groups@1/part-torn.parquet").write_bytes(b"PAR1 and no more")
    (root / "data/groups@1/_prompts-d-0.parquet").write_bytes(b"PAR1")
    written(root, "data/groups@1/_drawn-d.parquet", 9)
    MediaStore(str(root), 1000).put_out(groups_to_table([group(7)]))
    (root / "objects" / "ab" / ("ab" + "1" * 62)).write_bytes(b"object of nobody")
    (root / "media" / "cd").mkdir(exist_ok=True)
    (root / "media" / "cd" / f".cd{'0' * 62}.tar.{'1' * 32}").write_bytes(b"half")
    return paths(root) - before


def test_what_is_left_over_goes_and_the_rest_stays(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = paths(root)
    extra = add_leftovers(root)
    assert len(extra) == 9
    age(root)
    assert command.main([f"--root={root}", "--dry-run"]) == 0
    assert paths(root) == needed | extra
    told = capsys.readouterr().out
    assert "4 packs and objects of media to which no row refers: 0.0 MB" in told
    assert "3 Parquet files that the manifest beside them does not name" in told
    assert "1 inputs of runs that are over" in told
    assert "1 files that were not written to their end" in told
    assert command.main([f"--root={root}"]) == 0
    assert paths(root) == needed
    assert "9 files cleared" in capsys.readouterr().out
    assert len(read_groups(root / "data/groups@1")) == 2
    assert command.main([f"--root={root}"]) == 0
    assert "0 files cleared" in capsys.readouterr().out


def test_what_is_young_stays_and_so_does_what_it_refers_to(root: Path) -> None:
    every = paths(root) | add_leftovers(root)
    clean.clean(str(root), 24.0)
    assert paths(root) == every
    age(root)
    now = time.time()
    os.utime(root / "data/groups@1/part-again.parquet", (now, now))
    clean.clean(str(root), 24.0)
    assert (root / "data/groups@1/part-again.parquet").exists()
    assert len(read_groups(root / "data/groups@1", ["part-again.parquet"])) == 1


def test_a_part_that_was_joined_while_rows_were_read_keeps_its_media(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run ends between the listing and the reading: its parts are gone, their rows not."""
    age(root)
    part, joined = root / "data/groups@2/part-b.parquet", root / "data/groups@2/rows-b.parquet"
    real = clean._referred

    def referred(path: Path) -> object:
        if part.exists():
            part.rename(joined)
        return real(path)

    monkeypatch.setattr(clean, "_referred", referred)
    assert clean.leftovers(root, datetime.now(UTC) - timedelta(hours=24)) == []
    assert joined.exists()


def test_what_is_used_again_since_it_was_listed_stays_with_its_media(root: Path) -> None:
    needed = paths(root)
    add_leftovers(root)
    age(root)
    before = datetime.now(UTC) - timedelta(hours=24)
    left = clean.leftovers(root, before)
    (root / "data/groups@1/manifest.json").unlink()
    complete(root / "data/groups@1", made("rows-a.parquet", "part-again.parquet"))
    clean._clear_all(root, left, before)
    part, pack = sorted(paths(root) - needed)
    assert part == "data/groups@1/part-again.parquet"
    assert pack.endswith(".tar")
    assert len(read_groups(root / "data/groups@1")) == 3


def test_nothing_of_an_old_root_is_left_over() -> None:
    old = Path(__file__).parents[2] / "fixtures" / "d5e4ef4" / "root"
    assert any((old / "objects").glob("*/*"))
    assert clean.leftovers(old, datetime.now(UTC) + timedelta(hours=1)) == []


def test_a_root_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--root=no/such/root"]) == 2
    assert "no/such/root: no such directory" in capsys.readouterr().err
