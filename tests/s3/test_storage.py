"""Storage on a real S3 server: what is written is there, whole, once, and for whom it is."""

import hashlib
import multiprocessing
import os
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors import storage
from actors.media_store import MediaReferenceError, MediaStore
from actors.storage import ObjectPath, StorageError
from actors.storage.s3 import filesystem
from jobs.datasets.files import write_table
from jobs.tools.clean import _clear_all, clean, leftovers
from schemas import manifest
from schemas.columns import IMAGE
from tests.s3.server import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server


def test_what_is_written_is_there_and_listed_at_once(s3: ObjectPath) -> None:
    for number in range(30):
        (s3 / f"d/{number:02d}.bin").write_bytes(bytes([number]))
        assert sum(1 for _ in (s3 / "d").glob("*.bin")) == number + 1
    assert (s3 / "d/07.bin").read_bytes() == b"\x07"
    assert (s3 / "d").is_dir()
    assert not (s3 / "d").is_file()
    assert not (s3 / "absent").exists()
    (s3 / "d/07.bin").unlink()
    assert not (s3 / "d/07.bin").exists()
    with pytest.raises(FileNotFoundError):
        (s3 / "d/07.bin").read_bytes()
    storage.remove(s3 / "d")
    assert list(s3.rglob("*.bin")) == []


def test_large_files_go_up_in_several_parts_and_come_back(
    s3: ObjectPath, server: S3Server, tmp_path: Path
) -> None:
    data = os.urandom(24 * 1024**2)
    (s3 / "large.bin").write_bytes(data)
    assert (s3 / "large.bin").read_bytes() == data
    # The ETag of an object of several parts ends in their number.
    found = server.client().head_object(Bucket=BUCKET, Key=(s3 / "large.bin").key)
    assert int(found["ETag"].strip('"').rpartition("-")[2]) > 1
    with (s3 / "large.bin").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").digest() == hashlib.sha256(data).digest()


def test_a_model_is_fetched_once_and_again_when_it_changes(s3: ObjectPath, tmp_path: Path) -> None:
    with storage.working_directory(s3 / "models/judge@1") as local:
        (local / "sub").mkdir()
        (local / "config.json").write_text("{}")
        (local / "sub" / "weights.bin").write_bytes(b"w" * 100)
    first = storage.local_copy(str(s3 / "models/judge@1"))
    assert (first / "sub" / "weights.bin").read_bytes() == b"w" * 100
    assert storage.local_copy(str(s3 / "models/judge@1")) == first
    assert manifest.digest_files(first) == manifest.digest_files(s3 / "models/judge@1")
    (s3 / "models/judge@1/config.json").write_text('{"a": 1}')
    second = storage.local_copy(str(s3 / "models/judge@1"))
    assert second != first
    assert (second / "config.json").read_text() == '{"a": 1}'
    with pytest.raises(FileNotFoundError):
        storage.local_copy(str(s3 / "models/absent@1"))


def _race(at: ObjectPath, number: int, gate: Any, won: Any) -> None:
    try:
        gate.wait(300)
        storage.write_new(at, f"driver {number}".encode())
        won.put(("won", number))
    except FileExistsError:
        won.put(("lost", number))
    except BaseException:
        won.put((traceback.format_exc(), number))


@pytest.mark.parametrize("is_on_s3", [True, False])
def test_of_sixteen_drivers_one_writes_the_manifest(
    s3: ObjectPath, tmp_path: Path, is_on_s3: bool
) -> None:
    at = (s3 if is_on_s3 else tmp_path) / manifest.FILE
    context = multiprocessing.get_context("fork")
    gate, won = context.Barrier(16), context.Queue()
    drivers = [context.Process(target=_race, args=(at, n, gate, won)) for n in range(16)]
    for one in drivers:
        one.start()
    said = [won.get(timeout=300) for _ in drivers]
    for one in drivers:
        one.join()
    winners = [number for word, number in said if word == "won"]
    assert sorted(word for word, _ in said) == ["lost"] * 15 + ["won"]
    assert at.read_bytes() == f"driver {winners[0]}".encode()


def test_a_put_that_was_sent_twice_finds_itself(s3: ObjectPath) -> None:
    storage.write_new(s3 / "x", b"mine")
    storage.write_new(s3 / "x", b"mine")  # as after an answer that was lost
    with pytest.raises(FileExistsError):
        storage.write_new(s3 / "x", b"another's")


@pytest.mark.parametrize("is_on_s3", [True, False])
def test_a_file_is_replaced_only_by_who_has_read_it(
    s3: ObjectPath, tmp_path: Path, is_on_s3: bool
) -> None:
    at = (s3 if is_on_s3 else tmp_path) / "manifest.json"
    storage.write_new(at, b"one")
    storage.replace(at, b"one", b"two")
    assert at.read_bytes() == b"two"
    with pytest.raises(FileExistsError):
        storage.replace(at, b"one", b"three")
    assert at.read_bytes() == b"two"


def test_a_wrong_key_is_refused_with_advice_and_without_the_key(
    s3: ObjectPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    (s3 / "x").write_bytes(b"x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    filesystem.cache_clear()
    for work in (
        lambda: (s3 / "x").read_bytes(),
        lambda: storage.check_writable(s3),
        lambda: storage.write_new(s3 / "y", b"y"),
    ):
        with pytest.raises(StorageError, match="refuses the credentials; set AWS_PROFILE") as found:
            work()
        assert "wrong-secret" not in str(found.value)
        assert ACCESS_KEY not in str(found.value)


def test_a_file_system_travels_without_credentials(s3: ObjectPath) -> None:
    import pickle

    pickled = pickle.dumps(filesystem())
    assert SECRET_KEY.encode() not in pickled
    assert ACCESS_KEY.encode() not in pickled
    assert all(SECRET_KEY not in one for one in storage.shared_environment().values())


def test_large_media_are_packed_read_by_range_and_copied_by_the_server(
    s3: ObjectPath, tmp_path: Path
) -> None:
    store = MediaStore(str(s3 / "a"), max_inline_bytes=10)
    rows = [{"bytes": one, "path": None} for one in (b"small", b"large" * 10, b"larger" * 10)]
    table = pa.table({"m": pa.array([*rows, None], IMAGE)})
    out = store.put_out(table)
    small, large, *_ = out["m"].to_pylist()
    assert small == rows[0]
    assert large["bytes"] is None
    file = large["path"].partition("#")[0]
    assert [path.key for path in (s3 / "a").rglob("*.tar")] == [(s3 / "a" / file).key]
    assert store.bring_in(out).equals(table)
    other = MediaStore(str(s3 / "b"), max_inline_bytes=10)
    for _ in range(2):
        other.take_over(out, store)
    assert other.bring_in(out).equals(table)
    local = MediaStore(str(tmp_path / "c"), max_inline_bytes=10)
    assert local.take_over(out, other).equals(out)
    assert local.bring_in(out).equals(table)
    (s3 / "a" / file).write_bytes(b"something else")
    with pytest.raises(MediaReferenceError, match="not those of"):
        store.bring_in(out)
    (s3 / "a" / file).unlink()
    with pytest.raises(MediaReferenceError, match="are missing"):
        store.bring_in(out)
    with pytest.raises(MediaReferenceError, match="are missing"):
        MediaStore(str(s3 / "d"), max_inline_bytes=10).take_over(out, store)


def test_media_without_a_row_are_cleared_once_they_are_old(s3: ObjectPath) -> None:
    store = MediaStore(str(s3), max_inline_bytes=10)
    image = [{"bytes": b"large" * 10, "path": None}]
    rows = store.put_out(pa.table({"image": pa.array(image, IMAGE)}))
    storage.write_whole(s3 / "data/a@1/part-a.parquet", b"")
    write_table(s3 / "data/a@1/part-b.parquet", rows)
    image = [{"bytes": b"larger" * 10, "path": None}]
    store.put_out(pa.table({"image": pa.array(image, IMAGE)}))
    assert len(list((s3 / "media").rglob("*.tar"))) == 2
    clean(str(s3), 24.0)
    assert len(list((s3 / "media").rglob("*.tar"))) == 2
    later = datetime.now(UTC) + timedelta(hours=1)
    [left] = leftovers(s3, later)
    assert _clear_all(s3, [left], later) == 1
    assert store.bring_in(rows)["image"].to_pylist() == [{"bytes": b"large" * 10, "path": None}]


def test_parquet_is_readable_by_plain_arrow(s3: ObjectPath) -> None:
    filesystem, path = storage.arrow_path(s3 / "t.parquet")
    pq.write_table(pa.table({"a": [1, 2]}), path, filesystem=filesystem)
    with (s3 / "t.parquet").open("rb") as file:
        assert pq.ParquetFile(file).read()["a"].to_pylist() == [1, 2]
    assert pq.read_table(path, filesystem=filesystem)["a"].to_pylist() == [1, 2]


def test_readers_by_fsspec_hear_the_same_environment(s3: ObjectPath) -> None:
    import fsspec

    filesystem, path = storage.arrow_path(s3 / "d/rows.parquet")
    pq.write_table(pa.table({"a": [1, 2]}), path, filesystem=filesystem)
    s3fs, _ = fsspec.url_to_fs(str(s3), skip_instance_cache=True)
    assert s3fs.ls(str(s3 / "d")) == [path]
    with s3fs.open(path, "rb") as file:
        assert pq.read_table(file)["a"].to_pylist() == [1, 2]
