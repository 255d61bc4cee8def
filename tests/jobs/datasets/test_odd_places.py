"""Data sets, media and what Ray makes of them, in folders of odd names."""

from pathlib import Path

import pytest

from actors.media_store import media_store
from actors.storage import arrow_path
from jobs.datasets.files import num_rows, read_columns, write_table
from jobs.datasets.reading import read_groups
from schemas.arrow import groups_to_table
from schemas.rows import Candidate, Group, Media, Prompt

ODD = "-a b?c%20d#e;f=1 é+&'[x]{y}*~@:%"
MEDIA = Media(b"m" * 50, 8, 8)
GROUPS = [
    Group(Prompt.of(f"prompt {number}"), (Candidate(f"{number}", "g@0", number, MEDIA),))
    for number in range(3)
]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Of a data set; one of the folders above it looks like the column of a partition."""
    directory = tmp_path / "_seed=3" / ".x" / ODD / "data" / "groups@1"
    directory.mkdir(parents=True)
    table = media_store(directory, 10).put_out(groups_to_table(GROUPS))
    write_table(directory / "part-1.parquet", table)
    return directory


def test_a_data_set_lies_there_with_its_media(directory: Path) -> None:
    assert len(list((directory.parents[1] / "media").rglob("*.tar"))) == 1
    assert num_rows([directory / "part-1.parquet"]) == 3
    assert "_seed" not in read_columns(directory / "part-1.parquet").column_names
    assert read_groups(directory) == sorted(GROUPS, key=lambda one: one.prompt.prompt_id)


def test_ray_takes_the_paths_as_they_are(directory: Path) -> None:
    """It takes paths for URIs first, and leaves out, with a warning, what it cannot read so."""
    from ray.data.datasource.path_util import _resolve_paths_and_filesystem

    filesystem, path = arrow_path(directory / "part-1.parquet")
    assert _resolve_paths_and_filesystem([path], filesystem)[0] == [path]
