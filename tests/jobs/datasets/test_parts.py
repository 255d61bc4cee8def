"""Row groups of the size that was asked for, however the rows arrive."""

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.ids import to_text
from jobs.datasets.files import write_file
from jobs.datasets.parts import (
    IncompleteError,
    Part,
    _Job,
    _plan,
    _settle,
    ids_of,
    read_parts,
    rows_left_out,
)
from jobs.rounds.lifecycle import clear
from schemas.arrow import groups_to_table
from schemas.columns import GROUPS, SchemaError
from schemas.digests import digest_rows, digest_text
from schemas.recipe import Storage
from schemas.rows import Candidate, Group, Media, Prompt

GROUP = 3 * 1024**2
NUM = 64


def rows() -> pa.Table:
    """16 MB in 64 rows."""
    rng = random.Random(0)
    return groups_to_table(
        Group(
            Prompt.of(f"prompt {n}"),
            (Candidate(f"{n}", "g@0", n, Media(rng.randbytes(256 * 1024), 8, 8)),),
        )
        for n in range(NUM)
    )


@pytest.mark.parametrize("at_once", [1, 4, 16, NUM])
@pytest.mark.parametrize("is_slice", [False, True], ids=["own memory", "slices of one table"])
def test_row_groups_are_as_large_as_asked_for(tmp_path: Path, at_once: int, is_slice: bool) -> None:
    table = rows()
    parts = [table.slice(start, at_once) for start in range(0, NUM, at_once)]
    if not is_slice:
        parts = [one.take(list(range(one.num_rows))) for one in parts]
    write_file(tmp_path / "t.parquet", iter(parts), GROUPS, GROUP)
    file = pq.ParquetFile(tmp_path / "t.parquet")
    assert file.read().equals(table)
    sizes = [file.metadata.row_group(n).total_byte_size for n in range(file.num_row_groups)]
    largest_part = max(one.nbytes for one in parts)
    # A group is closed by the part that fills it.
    assert all(GROUP <= size <= 1.05 * (GROUP + largest_part) for size in sizes[:-1])


def written(path: Path, table: pa.Table) -> None:
    write_file(path, iter([table]), GROUPS, GROUP)


def test_parts_are_read_by_name_and_torn_ones_passed_over(tmp_path: Path) -> None:
    table = rows().slice(0, 6)
    ids = table["prompt_id"].to_pylist()
    written(tmp_path / "run-b.parquet", table.slice(0, 2))
    written(tmp_path / "run-a.parquet", table.slice(2, 3))
    written(tmp_path / "other.parquet", table.slice(5))
    written(tmp_path / "_half.parquet", table.slice(5))
    (tmp_path / "run-c.parquet").write_bytes(b"PAR1 torn")
    found = read_parts(tmp_path, "prompt_id", "run-")
    assert [one.name for one in found] == ["run-a.parquet", "run-b.parquet"]
    assert [list(map(to_text, one.ids)) for one in found] == [ids[2:5], ids[:2]]
    assert [one.num_bytes for one in found] == [
        (tmp_path / one.name).stat().st_size for one in found
    ]
    every = read_parts(tmp_path, "prompt_id")
    assert [one.name for one in every] == ["other.parquet", "run-a.parquet", "run-b.parquet"]
    assert list(map(to_text, ids_of(every))) == sorted(ids)
    assert read_parts(tmp_path, "prompt_id", "none-") == []
    assert len(ids_of([])) == 0


@pytest.mark.parametrize(
    ("column", "said"), [("other", "column 'prompt_id' is missing"), ("prompt_id", "'a' is no id")]
)
def test_a_file_of_somebody_elses_is_named(tmp_path: Path, column: str, said: str) -> None:
    pq.write_table(pa.table({column: ["a"]}), tmp_path / "notes.parquet")
    with pytest.raises(SchemaError, match=rf"notes\.parquet: {said}"):
        read_parts(tmp_path, "prompt_id")


def test_small_parts_become_one_file_without_the_rows_left_out(tmp_path: Path) -> None:
    table = rows().slice(0, 6)
    written(tmp_path / "a.parquet", table.slice(0, 4))
    written(tmp_path / "b.parquet", table.slice(4))
    sources = (("a.parquet", (1, 3)), ("b.parquet", ()))
    layout = Storage(row_group_bytes=GROUP)
    total, counts = _settle(_Job(sources, "ab.parquet", tmp_path, GROUPS, layout, None))
    kept = pq.read_table(tmp_path / "ab.parquet")
    assert kept.equals(table.take([0, 2, 4, 5]))
    assert digest_text([total]) == digest_rows([kept])
    assert dict(counts) == {"rows": 4}
    # A part that stays is looked at and not written.
    sources = (("b.parquet", ()),)
    total, counts = _settle(
        _Job(sources, None, tmp_path, GROUPS, layout, lambda one: {"seen": 2 * one.num_rows})
    )
    assert digest_text([total]) == digest_rows([table.slice(4)])
    assert dict(counts) == {"seen": 4}
    clear(tmp_path, ["ab.parquet"])
    assert [path.name for path in tmp_path.iterdir()] == ["ab.parquet"]


def test_rows_are_left_out_wherever_they_stand_in_a_long_part(tmp_path: Path) -> None:
    table = groups_to_table(Group(Prompt.of(f"{n}"), ()) for n in range(150))
    written(tmp_path / "a.parquet", table)
    gone = (0, 63, 64, 100, 149)
    layout = Storage(row_group_bytes=GROUP)
    job = _Job((("a.parquet", gone),), "b.parquet", tmp_path, GROUPS, layout, None)
    _settle(job)
    kept = [at for at in range(150) if at not in gone]
    assert pq.read_table(tmp_path / "b.parquet").equals(table.take(kept))


def part(name: str, num_bytes: int, num_rows: int = 4) -> Part:
    return Part(name, num_bytes, np.arange(num_rows, dtype=np.uint64))


def plan(parts: list[Part], left_out: list[list[int]]) -> list[tuple[list[str], bool]]:
    """What files of 100 bytes are made of, and whether they are written anew."""
    rows = [np.array(one, dtype=np.int64) for one in left_out]
    layout = Storage(file_bytes=100)
    return [
        ([name for name, _ in sources], target is not None)
        for sources, target in _plan(parts, rows, layout)
    ]


def test_rows_are_left_out_that_are_copies_or_not_wanted() -> None:
    ids = [[1, 3, 5], [5, 3, 7], [9]]
    parts = [Part(str(at), 9, np.array(one, dtype=np.uint64)) for at, one in enumerate(ids)]
    assert [one.tolist() for one in rows_left_out(parts, None)] == [[], [0, 1], []]
    wanted = [to_text(number) for number in (1, 5, 7)]
    assert [one.tolist() for one in rows_left_out(parts, wanted)] == [[1], [0, 1], [0]]
    twice = [Part("twice", 9, np.array([4, 4, 2], dtype=np.uint64))]
    assert [one.tolist() for one in rows_left_out(twice, None)] == [[1]]
    with pytest.raises(IncompleteError, match=r"2 of 3 rows are missing, such as 0+2, 0+4;"):
        rows_left_out(parts, [to_text(number) for number in (2, 4, 5)])


def test_a_large_part_stays_as_it_is_unless_rows_of_it_are_left_out() -> None:
    assert plan([part("large", 25), part("small", 24)], [[], []]) == [
        (["large"], False),
        (["small"], False),  # alone: nothing to join it with
    ]
    assert plan([part("large", 25), part("small", 24)], [[0], []]) == [(["large", "small"], True)]
    assert plan([part("alone", 90)], [[1]]) == [(["alone"], True)]
    assert plan([part("empty", 90), part("small", 10)], [[0, 1, 2, 3], []]) == [(["small"], False)]


def test_small_parts_are_joined_up_to_the_size_of_a_file() -> None:
    small = [part(str(number), 20) for number in range(7)]
    assert plan(small, [[]] * 7) == [(["0", "1", "2", "3", "4"], True), (["5", "6"], True)]
    # Half of each is left out, so twice as many fit.
    assert plan(small, [[0, 1]] * 7) == [([str(number) for number in range(7)], True)]


def test_a_driver_that_is_too_late_leaves_the_files_of_the_first_alone(tmp_path: Path) -> None:
    """Both have looked at the same parts, and one has completed the data set and cleared them."""
    table = groups_to_table(Group(Prompt.of(f"prompt {n}"), ()) for n in range(6))
    for number in range(3):
        written(tmp_path / f"part-{number}.parquet", table.slice(2 * number, 2))
    found = read_parts(tmp_path, "prompt_id")
    first, second = (
        _Job(*one, tmp_path, GROUPS, Storage(), None)
        for _ in range(2)
        for one in _plan(found, rows_left_out(found), Storage())
    )
    _settle(first)
    assert first.target is not None
    clear(tmp_path, [first.target])
    with pytest.raises(FileNotFoundError):
        _settle(second)
    assert pq.read_table(tmp_path / first.target).num_rows == 6
