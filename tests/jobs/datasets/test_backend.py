"""A kind of storage that the factory does not know: registered, and everything lies on it.

The kind is a fake, an object store in this process's memory, and knows what `backend.py` asks for.
"""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow.fs import FSSpecHandler, PyFileSystem

from actors import storage
from actors.media_store import media_store
from actors.storage import ObjectStore, StorageError, place
from jobs.datasets import parts
from jobs.datasets.files import num_rows, write_table
from jobs.datasets.labels import label_batches, label_files
from jobs.datasets.reading import (
    data_files,
    digest_dataset,
    find_rows,
    read_groups,
    read_table,
    stream,
)
from jobs.rounds.checks import check_model, check_writable
from jobs.rounds.lifecycle import LostRaceError, clear, complete
from jobs.rounds.tracking import tracking_uri
from jobs.rounds.workspace import InputError
from jobs.session.run_log import note, run_log
from jobs.stages.base import print_plan
from schemas import manifest
from schemas.arrow import groups_to_table, labels_to_table
from schemas.columns import GROUPS
from schemas.manifest import Manifest
from schemas.places import Place
from schemas.recipe import Recipe, Storage
from schemas.recipe_file import load
from schemas.rows import Candidate, Group, Label, Media, Prompt

_ONE_AT_A_TIME = threading.Lock()


class FakeStore(ObjectStore):
    """Objects of this process."""

    scheme = "memory"

    def filesystem(self) -> Any:
        return PyFileSystem(FSSpecHandler(DirFileSystem("/fake", MemoryFileSystem())))

    def write_new(self, path: str, data: bytes) -> None:
        with _ONE_AT_A_TIME:
            if self.place(path).exists():
                raise FileExistsError(path)
            self.write_whole(path, data)

    def replace(self, path: str, old: bytes, new: bytes) -> None:
        with _ONE_AT_A_TIME:
            if self.place(path).read_bytes() != old:
                raise FileExistsError(path)
            self.write_whole(path, new)


class Here:
    """Stands for a task of Ray, whose workers have another memory."""

    def __init__(self, work: Any) -> None:
        self.remote = work


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Place]:
    monkeypatch.setitem(storage.BACKENDS, "memory", FakeStore())
    monkeypatch.setenv(storage.CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr("ray.remote", lambda **_: Here)
    monkeypatch.setattr("ray.get", list)
    yield place("memory://bucket/run")
    MemoryFileSystem.store.clear()


def group(number: int) -> Group:
    media = Media(bytes([number]) * 5000, 8, 8)
    return Group(Prompt.of(f"prompt {number}"), (Candidate(f"{number}", "g@0", number, media),))


ALL = [group(number) for number in range(40)]


def made(files: tuple[str, ...] | None, digest: str = "d") -> Manifest:
    return Manifest("groups@1", "groups", "f", digest, (), {}, files=files)


def test_parts_become_a_data_set_that_is_read_again(root: Place) -> None:
    directory = root / "data" / "groups@1"
    store = media_store(directory, 1000)
    for name, groups in (("part-a", ALL[:25]), ("part-b", ALL[20:])):
        write_table(directory / f"{name}.parquet", store.put_out(groups_to_table(groups)))
    assert len(list((root / "media").rglob("*.tar"))) == 2  # a pack for each table
    assert read_groups(directory) == sorted(ALL, key=lambda one: one.prompt.prompt_id)

    found = parts.read_parts(directory, "prompt_id")
    assert [len(part.ids) for part in found] == [25, 20]
    settled = parts.settle(found, directory, GROUPS, Storage())
    assert settled.counts == {"rows": 40}
    complete(directory, made(settled.files, settled.digest))
    clear(directory, settled.files)
    assert [path.name for path in directory.glob("*.parquet")] == list(settled.files)

    assert num_rows(data_files(directory)) == 40
    assert read_table(directory, GROUPS).num_rows == 40
    assert sum(table.num_rows for table in stream(directory, ["prompt_id"], 7)) == 40
    wanted = ALL[3].prompt.prompt_id
    rows = find_rows(directory, "prompt_id", [wanted], GROUPS)
    assert rows["candidates"].to_pylist()[0][0]["media"]["image"]["bytes"] == bytes([3]) * 5000
    twin = root / "data" / "twin@1"
    write_table(twin / "groups.parquet", groups_to_table(ALL))
    assert digest_dataset(twin) == digest_dataset(directory)


def test_of_drivers_that_race_one_completes(root: Place) -> None:
    directory = root / "data" / "groups@1"
    complete(directory, made(()))
    with pytest.raises(LostRaceError, match="another driver"):
        complete(directory, made(None))
    path = directory / manifest.FILE
    before = path.read_bytes()
    storage.replace(path, before, manifest.to_bytes(made(None)))
    with pytest.raises(FileExistsError):
        storage.replace(path, before, b"late")
    assert manifest.read(directory) == made(None)
    storage.remove(root / "data")
    assert manifest.read(directory) is None


def test_labels_are_scanned_by_split(root: Place) -> None:
    prompt, media = Prompt.of("p"), Media(b"m", 8, 8)
    labels = [
        Label(f"{n:016x}", prompt, "ann", media, None, None, n % 5, None, split)
        for n, split in enumerate(["train", "heldout"] * 6)
    ]
    write_table(root / "labels.parquet", labels_to_table(labels))
    files = label_files(str(root / "labels.parquet"))
    assert sum(batch.num_rows for batch in label_batches(files, "heldout")) == 6
    with pytest.raises(InputError, match="memory://bucket/run/none: no such file"):
        label_files(str(root / "none"))


def test_models_are_fetched_and_a_database_lies_elsewhere(root: Place) -> None:
    check_writable(root)
    with storage.working_directory(root / "models" / "judge@1") as directory:
        (directory / "config.json").write_text("{}")
    path = str(root / "models" / "judge@1")
    check_model(path, "config.json", "judge.path")
    copied = Path(storage.local_model(path))
    assert (copied / "config.json").read_text() == "{}"
    assert storage.local_model("org/model") == "org/model"
    with pytest.raises(InputError, match="there is nothing under this address"):
        check_model(str(root / "models" / "none"), "config.json", "judge.path")
    recipe = Recipe.model_construct(name="laptop", root=str(root), tracking_uri=None)
    assert tracking_uri(recipe) == f"sqlite:///{Path('runs/laptop/mlflow.db').absolute()}"


def test_the_plan_says_where_the_database_lies_that_the_root_cannot_hold(
    root: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    print_plan(load("jobs/recipes/laptop.yaml", [f"root={root}"]), [])
    told = capsys.readouterr().out
    assert (
        f"warning: MLflow's database is a file of this machine, sqlite:///{Path().absolute()}"
        in told
    )
    print_plan(load("jobs/recipes/laptop.yaml", [f"root={root}", "tracking_uri=https://here"]), [])
    assert "warning" not in capsys.readouterr().out


def test_the_log_of_a_run_comes_to_its_place(root: Place) -> None:
    target = root / "logs" / "now-1.jsonl"
    with run_log(target):
        note("progress", rows=3)
    lines = target.read_text().splitlines()
    assert len(lines) == 3
    assert '"rows": 3' in lines[1]


def test_other_kinds_are_refused_by_name(root: Place) -> None:
    with pytest.raises(StorageError, match=r"gs://: only local paths and s3:// and memory://"):
        place("gs://bucket/key")
    with pytest.raises(StorageError, match=r"memory://\*\*\*@: credentials belong") as refusal:
        place("memory://user:secret@bucket/key")
    assert "secret" not in str(refusal.value)
    with pytest.raises(StorageError, match="mean nothing in an object store"):
        root / "../elsewhere"
