"""Data sets, media and what Ray makes of them, in folders of odd names."""

from pathlib import Path

import pytest

from actors.media_store import media_store
from jobs.datasets.files import num_rows, read_columns, write_table
from jobs.datasets.reading import read_files, read_groups, read_rows
from jobs.datasets.writing import write_parts
from schemas import columns
from schemas.arrow import groups_to_table
from schemas.recipe_file import load
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


@pytest.mark.slow
def test_ray_writes_and_reads_there(directory: Path, local_ray: None, tmp_path: Path) -> None:
    """It takes paths for URIs, looks for endings before a `?`, and for columns in folders' names;
    what it cannot read so it leaves out, with a line in a log or without.
    """
    import ray.data

    recipe = load("jobs/recipes/laptop.yaml", [f"root={directory.parents[1]}"])
    rows = read_files([directory / "part-1.parquet"], schema=columns.GROUPS)
    write_parts(rows, directory, columns.GROUPS, recipe)
    files = sorted(directory.glob("part-*.parquet"))
    assert num_rows(files) == 6
    table = ray.data.from_arrow_refs(read_rows(files, columns.GROUPS).to_arrow_refs())
    assert "_seed" not in table.schema().names
    assert table.count() == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["_seed=3"]
