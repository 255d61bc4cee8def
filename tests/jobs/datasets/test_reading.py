"""What counts in a directory: what its manifest names, else every row once."""

from pathlib import Path

import pytest

from jobs.datasets.files import num_rows, write_table
from jobs.datasets.reading import data_files, digest_dataset, find_rows, read_groups, stream
from schemas import manifest
from schemas.arrow import groups_to_table
from schemas.columns import GROUPS
from schemas.manifest import Manifest
from schemas.rows import Candidate, Group, Prompt

ALL = [
    Group(Prompt.of(f"prompt {n}"), (Candidate(f"{n}", "g@0", n, answer=f"answer {n}"),))
    for n in range(150)  # more than are read at once
]


def write(directory: Path, **files: list[Group]) -> Path:
    directory.mkdir()
    for name, groups in files.items():
        path = directory / f"{name.replace('_', '-')}.parquet"
        write_table(path, groups_to_table(groups), row_group_size=40)
    return directory


def texts(directory: Path) -> list[str]:
    return sorted(
        text for table in stream(directory, ["prompt"], 7) for text in table["prompt"].to_pylist()
    )


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """What two killed runs leave: parts of both, some rows in both, and a file settled of them."""
    return write(
        tmp_path / "left",
        part_a=ALL[:90],
        part_b=[*ALL[60:120], ALL[119]],  # a row twice in one file, too
        part_c=ALL[100:],
        rows_0=ALL[:120],
    )


def test_a_row_of_several_parts_and_of_a_settled_file_is_read_once(
    left: Path, tmp_path: Path
) -> None:
    whole = write(tmp_path / "whole", groups=ALL)
    assert [path.name for path in data_files(left)] == [
        "part-a.parquet",
        "part-b.parquet",
        "part-c.parquet",
    ]
    assert texts(left) == sorted(one.prompt.text for one in ALL)
    assert read_groups(left) == read_groups(whole)
    assert digest_dataset(left) == digest_dataset(whole)
    wanted = [ALL[n].prompt.prompt_id for n in (0, 65, 95, 110, 119, 149)]
    rows = find_rows(left, "prompt_id", wanted, GROUPS)
    assert sorted(rows["prompt_id"].to_pylist()) == sorted(wanted)


def test_settled_rows_whose_parts_are_gone_are_read(tmp_path: Path) -> None:
    # As in a data set that was cleared and then lost its manifest.
    directory = write(tmp_path / "d", part_large=ALL[:20], rows_0=ALL[20:60])
    assert len(data_files(directory)) == 2
    assert texts(directory) == sorted(one.prompt.text for one in ALL[:60])


def test_of_files_that_no_run_wrote_every_row_counts(tmp_path: Path) -> None:
    directory = write(tmp_path / "d", mine=ALL[:4], yours=ALL[:3], _notes=ALL[:2])
    (directory / "-notes.parquet").rename(directory / "_notes.parquet")
    assert num_rows(data_files(directory)) == 7
    assert len(texts(directory)) == 7


def test_a_manifest_says_what_counts(left: Path) -> None:
    made = Manifest("groups@1", "groups", "f", "d", (), {}, files=("rows-0.parquet",))
    (left / manifest.FILE).write_bytes(manifest.to_bytes(made))
    assert texts(left) == sorted(one.prompt.text for one in ALL[:120])
    all_that_are_there = Manifest("groups@1", "groups", "f", "d", (), {})
    (left / manifest.FILE).write_bytes(manifest.to_bytes(all_that_are_there))
    assert len(texts(left)) == 90 + 61 + 50 + 120


def test_a_torn_part_is_not_passed_over_in_silence(left: Path) -> None:
    data = (left / "part-c.parquet").read_bytes()
    (left / "part-c.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"part-c\.parquet: .*Parquet magic bytes not found"):
        texts(left)
