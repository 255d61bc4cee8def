"""What a step has made is written although storage fails for a while, and if not, it says so."""

from pathlib import Path

import pytest

from actors.media_store import MediaStore
from actors.storage import StorageError
from jobs.datasets import writing
from jobs.datasets.files import read_columns
from jobs.datasets.writing import PART, Part
from schemas.arrow import groups_to_table
from schemas.rows import Candidate, Group, Media, Prompt

TABLE = groups_to_table(
    [Group(Prompt.of("a"), (Candidate("c", "g@1", 1, Media(b"x" * 99, 8, 8)),))]
)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """Errors of the next writes of packs: what is left of them."""
    errors: list[Exception] = []
    keep = MediaStore.keep

    def failing_keep(store: MediaStore, table: object) -> object:
        if errors:
            raise errors.pop()
        return keep(store, table)  # type: ignore[arg-type]

    monkeypatch.setattr(MediaStore, "keep", failing_keep)
    monkeypatch.setattr(writing, "_WAITS_S", (0.0, 0.0))
    return errors


def test_a_write_is_tried_again_whatever_kind_of_storage_fails(
    tmp_path: Path, failing: list[Exception]
) -> None:
    failing += [OSError("busy"), StorageError("busy")]
    ids = Part(tmp_path, "part", MediaStore(str(tmp_path), 10), is_last=True)(TABLE)
    (path,) = tmp_path.glob("part-*.parquet")
    assert failing == []
    assert ids.drop_columns(PART).equals(read_columns(path, ["prompt_id"]))
    assert ids.column(PART).to_pylist() == [path.name]


def test_storage_that_goes_on_failing_is_named(tmp_path: Path, failing: list[Exception]) -> None:
    failing += [OSError(28, "No space left on device")] * 3
    with pytest.raises(StorageError, match=r"part-.*cannot be written, tried 3 times.*No space"):
        Part(tmp_path, "part", MediaStore(str(tmp_path), 10), is_last=True)(TABLE)
    assert not list(tmp_path.glob("*.parquet"))
