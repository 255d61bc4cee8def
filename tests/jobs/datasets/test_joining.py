"""Parts that are joined on the way make the data set that they would make at the end."""

from collections.abc import Sequence
from pathlib import Path
from threading import Event
from time import sleep
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.storage import StorageError
from factory.ids import to_text
from jobs.datasets import joining, writing
from jobs.datasets.files import write_table
from jobs.datasets.joining import Joining
from jobs.datasets.parts import Joined, Settled, file_names, named_parts, settle
from schemas.arrow import groups_to_table
from schemas.columns import GROUPS
from schemas.digests import digest_rows
from schemas.recipe import Storage
from schemas.rows import Candidate, Group, Media, Prompt

NUM = 24
ROWS = groups_to_table(
    Group(Prompt.of(f"prompt {n}"), (Candidate(f"{n}", "g@0", n, Media(bytes([n]) * 999, 8, 8)),))
    for n in range(NUM)
)
IDS = ROWS.column("prompt_id").to_pylist()


def part(directory: Path, name: str, first: int, num: int) -> str:
    write_table(directory / f"part-{name}.parquet", ROWS.slice(first, num))
    return f"part-{name}.parquet"


def count(table: pa.Table) -> dict[str, int]:
    return {"seen": table.num_rows}


def joined(directory: Path, names: Sequence[str], layout: Storage, **given: Any) -> list[Joined]:
    given = {"count": count, "num_rows": NUM, **given}
    with Joining(directory, "prompt_id", GROUPS, layout, **given) as parts:
        parts.add(names)
        parts.add(names)  # a block that comes twice
        return parts.end()


def settled(
    directory: Path, found: Sequence[Joined], layout: Storage, wanted: Sequence[str] = IDS
) -> Settled:
    known = {name for one in found for name in (one.part.name, *one.sources)}
    others = [name for name in file_names(directory) if name not in known]
    left = named_parts(directory, others, "prompt_id")
    return settle(left, directory, GROUPS, layout, joined=found, wanted=wanted, count=count)


def is_whole(directory: Path, made: Settled, rows: pa.Table = ROWS) -> bool:
    """Whether the files hold these rows, each once, and nothing else."""
    found = pa.concat_tables(pq.ParquetFile(directory / name).read() for name in made.files)
    assert made.digest == digest_rows([rows])
    assert made.counts == {"seen": rows.num_rows}
    return bool(found.sort_by("prompt_id").equals(rows.sort_by("prompt_id")))


def test_what_was_joined_is_not_read_again(tmp_path: Path) -> None:
    names = [part(tmp_path, f"{at}", at, 4) for at in range(0, NUM, 4)]
    (one,) = joined(tmp_path, names, Storage())
    assert one.sources == tuple(names)
    assert list(map(to_text, one.part.ids)) == IDS
    assert one.part.num_bytes == (tmp_path / one.part.name).stat().st_size
    for name in names:
        (tmp_path / name).unlink()
    made = settled(tmp_path, [one], Storage())
    assert made.files == (one.part.name,)
    assert is_whole(tmp_path, made)


def test_files_are_as_large_as_asked_for_and_large_parts_stay(tmp_path: Path) -> None:
    names = [part(tmp_path, f"{at}", at, 4) for at in range(0, NUM - 8, 4)]
    large = part(tmp_path, "large", NUM - 8, 8)
    layout = Storage(file_bytes=4 * (tmp_path / large).stat().st_size)
    found = joined(tmp_path, [*names, large], layout)
    assert [one.sources for one in found] == [(large,), tuple(names)]
    assert found[0].part.name == large
    made = settled(tmp_path, found, layout, IDS)
    assert is_whole(tmp_path, made)
    layout = Storage(file_bytes=int(4.5 * (tmp_path / names[0]).stat().st_size))
    more = part(tmp_path, "more", 0, 4)
    found = joined(tmp_path, [*names, more], layout)
    assert [one.sources for one in found] == [tuple(names), (more,)]
    assert found[1].part.name == more  # alone in its file, it is that file


def test_rows_that_come_last_have_a_file_of_their_own(tmp_path: Path) -> None:
    names = [part(tmp_path, f"{at}", at, 4) for at in range(0, NUM, 4)]
    found = joined(tmp_path, names, Storage(), num_last=8)
    assert [one.sources for one in found] == [tuple(names[:4]), tuple(names[4:])]
    assert is_whole(tmp_path, made := settled(tmp_path, found, Storage()))
    assert made.files == tuple(one.part.name for one in found)
    found = joined(tmp_path, names, Storage(), num_last=NUM)  # all of them
    assert [one.sources for one in found] == [tuple(names)]


def test_the_last_file_is_there_before_the_end_is_told(tmp_path: Path) -> None:
    names = [part(tmp_path, "a", 0, 8), part(tmp_path, "b", 8, NUM - 8)]
    with Joining(tmp_path, "prompt_id", GROUPS, Storage(), count, num_rows=NUM) as parts:
        parts.add(names)
        while not (files := set(file_names(tmp_path)) - set(names)):
            sleep(0.01)
        assert [one.part.name for one in parts.end()] == list(files)


def test_a_file_that_was_joined_is_not_joined_again(tmp_path: Path) -> None:
    names = [part(tmp_path, f"{at}", at, 4) for at in range(0, NUM, 4)]
    (one,) = joined(tmp_path, names[:2], Storage())
    made = settled(tmp_path, [one], Storage())
    assert made.files[0] == one.part.name
    assert len(made.files) == 2
    assert is_whole(tmp_path, made)


def test_rows_of_others_and_copies_count_once(tmp_path: Path) -> None:
    earlier = part(tmp_path, "0-of-an-earlier-run", 0, 6)
    names = [part(tmp_path, "a", 4, 8), part(tmp_path, "b", 12, NUM - 12)]
    part(tmp_path, "of-a-killed-worker", 4, 8)
    (one,) = joined(tmp_path, names, Storage())
    made = settled(tmp_path, [one], Storage())
    assert earlier not in made.files
    assert is_whole(tmp_path, made)
    # Of two parts that were both told of, and of rows that nobody asked for.
    (one,) = joined(tmp_path, ["part-of-a-killed-worker.parquet", *names], Storage())
    made = settled(tmp_path, [one], Storage(), IDS[5:])
    assert is_whole(tmp_path, made, ROWS.slice(5))


def test_what_cannot_be_joined_is_settled_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    names = [part(tmp_path, f"{at}", at, 4) for at in range(0, NUM, 4)]
    assert joined(tmp_path, [*names[:3], "part-gone.parquet", *names[3:]], Storage()) == []
    assert "joined at the end" in caplog.text
    assert is_whole(tmp_path, settled(tmp_path, [], Storage()))

    def full(path: Path, _: object) -> None:
        raise StorageError(f"{path}: no space left")

    monkeypatch.setattr(joining, "patiently", full)
    assert joined(tmp_path, names, Storage()) == []
    assert is_whole(tmp_path, settled(tmp_path, [], Storage()))


def test_a_storage_that_fails_for_a_while_gets_the_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, errors = joining.shutil.copyfileobj, [OSError("busy")]

    def failing(source: Any, sink: Any, length: int) -> None:
        if errors:
            sink.write(source.read(9))
            raise errors.pop()
        copy(source, sink, length)

    monkeypatch.setattr(joining.shutil, "copyfileobj", failing)
    monkeypatch.setattr(writing, "_WAITS_S", (0.0,))
    names = [part(tmp_path, "a", 0, 9), part(tmp_path, "b", 9, NUM - 9)]
    (one,) = joined(tmp_path, names, Storage())
    assert errors == []
    assert is_whole(tmp_path, settled(tmp_path, [one], Storage()))


def test_parts_that_come_too_fast_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [part(tmp_path, f"{at}", at, 4) for at in range(0, NUM, 4)]
    monkeypatch.setattr(joining, "_WAITING", 2)
    go_on = Event()

    def waiting(table: pa.Table) -> dict[str, int]:
        go_on.wait()
        return count(table)

    with Joining(tmp_path, "prompt_id", GROUPS, Storage(), waiting, num_rows=NUM) as parts:
        parts.add(names)
        go_on.set()
        (one,) = parts.end()
    assert one.sources == tuple(names[:2])
    assert is_whole(tmp_path, settled(tmp_path, [one], Storage()))


def test_a_run_that_fails_leaves_parts_alone(tmp_path: Path) -> None:
    name = part(tmp_path, "a", 0, NUM)
    with Joining(tmp_path, "prompt_id", GROUPS, Storage(), num_rows=NUM) as parts:
        parts.add([name])
    assert [path.name for path in tmp_path.iterdir()] == [name]
