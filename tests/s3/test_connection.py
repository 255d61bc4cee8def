"""How S3 is reached: Arrow, botocore and s3fs hear the same, from wherever it is said; and a server
that keeps no condition is refused. On a stub of a server; `test_storage.py` has a real one.
"""

import json
import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors import storage
from actors.storage import StorageError
from actors.storage.s3 import _EXCLUSIVE, filesystem
from actors.storage.s3_connection import connection
from jobs.rounds.checks import check_writable
from jobs.rounds.workspace import InputError
from schemas.recipe import Storage
from tests.s3.stub import BUCKET, Stub, serving

ROOT = f"s3://{BUCKET}/root"
ODD = "a b?c#d%20é+&=;@1/~x*'(1)'[2]"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No word of AWS in the environment, nor left there by a test; no file of the user's."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    before = dict(os.environ)
    _EXCLUSIVE.clear()
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]


def hear(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stub.environment.items():
        monkeypatch.setenv(name, value)


def left(stub: Stub) -> list[str]:
    """What lies there, but for the empty objects by which Arrow keeps a folder that it emptied."""
    return [key for key in stub.objects if not key.endswith("/")]


def of_each(stub: Stub) -> list[list[dict[str, str]]]:
    """The headers of the requests that Arrow, botocore and s3fs send."""
    import fsspec

    sent = []
    for work in (
        lambda: storage.write_whole(storage.place(f"{ROOT}/data"), b"data"),
        lambda: storage.write_new(storage.place(f"{ROOT}/manifest"), b"manifest"),
        lambda: fsspec.url_to_fs(ROOT, skip_instance_cache=True)[0].cat(f"{ROOT}/data"),
    ):
        stub.requests.clear()
        work()
        sent.append([headers for _, _, headers in stub.requests])
    return sent


KEYS = "aws_access_key_id = AKKEYS\naws_secret_access_key = s\n"
SESSION = f"{KEYS}aws_session_token = token\n"
ROLE = "role_arn = arn:aws:iam::123456789012:role/ours\nsource_profile = base\n"
#: What a profile says beside its region, and the key with which requests are then signed.
PROFILES = {
    "endpoint": (f"{SESSION}endpoint_url = URL\n", "AKKEYS"),
    "services": (f"{SESSION}services = s\n[services s]\ns3 =\n  endpoint_url = URL\n", "AKKEYS"),
    "role": (f"{ROLE}endpoint_url = URL\n[profile base]\n{KEYS}", "AKROLE"),
}


@pytest.mark.parametrize("form", PROFILES)
def test_a_profile_reaches_all_three(
    form: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said, key = PROFILES[form]
    with serving() as stub:
        (tmp_path / "config").write_text(
            "[profile ours]\nregion = eu-south-2\n" + said.replace("URL", stub.url)
        )
        monkeypatch.setenv("AWS_PROFILE", "ours")
        for sent in of_each(stub):
            to_s3 = [headers for headers in sent if "/s3/" in headers["authorization"]]
            assert to_s3
            for headers in to_s3:
                assert f"{key}/" in headers["authorization"]
                assert "/eu-south-2/s3/" in headers["authorization"]
                assert headers["x-amz-security-token"] == "token"
        assert storage.shared_environment()["AWS_ENDPOINT_URL_S3"] == stub.url
        assert storage.shared_environment()["AWS_REGION"] == "eu-south-2"


def test_the_recipe_is_heard_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as stub, serving() as other:
        hear(other, monkeypatch)
        monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        storage.configure(Storage(endpoint=stub.url, region="garage"))
        for sent in of_each(stub):
            assert sent
            assert all("/garage/s3/" in headers["authorization"] for headers in sent)
        assert not other.requests


def test_a_proxy_of_the_environment_is_used_by_both(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as stub:
        hear(stub, monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://s3.example.invalid")
        monkeypatch.setenv("http_proxy", stub.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        storage.write_whole(storage.place(f"{ROOT}/data"), b"data")
        storage.write_new(storage.place(f"{ROOT}/manifest"), b"manifest")
        assert set(stub.objects) == {"root/data", "root/manifest"}
        asked = [headers["host"] for _, _, headers in stub.requests]
        assert set(asked) == {"s3.example.invalid"}


def test_credentials_that_run_out_come_anew_for_arrow_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A process that hands out another key each time, each good for a few seconds: less than
    botocore wants to have left."""
    script = tmp_path / "keys.py"
    script.write_text(
        "import datetime, json, pathlib\n"
        f"count = pathlib.Path({str(tmp_path / 'count')!r})\n"
        "number = int(count.read_text()) + 1 if count.exists() else 1\n"
        "count.write_text(str(number))\n"
        "end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=60)\n"
        "print(json.dumps({'Version': 1, 'AccessKeyId': f'AK{number}', 'SecretAccessKey': 's',"
        " 'SessionToken': 't', 'Expiration': end.isoformat()}))\n"
    )
    with serving() as stub:
        (tmp_path / "config").write_text(
            f"[default]\nendpoint_url = {stub.url}\n"
            f"credential_process = {sys.executable} {script}\n"
        )
        at = storage.place(f"{ROOT}/x")
        keys = []
        for _ in range(2):
            stub.requests.clear()
            at.write_bytes(b"x")
            keys.append({headers["authorization"].split("/")[0] for _, _, headers in stub.requests})
        assert keys[0].isdisjoint(keys[1])
        assert b"AK" not in pickle.dumps(filesystem())
        assert pickle.loads(pickle.dumps(filesystem())) == filesystem()
        assert not any("AK" in value for value in storage.shared_environment().values())


@pytest.mark.parametrize(
    ("config", "named", "is_virtual"),
    [
        ("", None, True),
        ("s3 =\n  addressing_style = path\n", None, False),
        ("endpoint_url = http://localhost:1\n", "http://localhost:1", False),
        (
            "endpoint_url = http://localhost:1\ns3 =\n  addressing_style = virtual\n",
            "http://localhost:1",
            True,
        ),
        ("region = eu-west-1\nendpoint_url = https://s3.eu-west-1.amazonaws.com\n", None, True),
    ],
)
def test_the_form_of_addresses_is_botocores(
    config: str, named: str | None, is_virtual: bool, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text(f"[default]\n{config}")
    assert (connection().endpoint, connection().is_virtual) == (named, is_virtual)


def test_what_cannot_be_connected_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no credentials for S3: set AWS_PROFILE"):
        storage.place(f"{ROOT}/x").exists()
    (tmp_path / "config").write_text("[profile ours]\ncredential_process = false\n")
    monkeypatch.setenv("AWS_PROFILE", "ours")
    with pytest.raises(StorageError, match=r"S3: .*credentials from custom-process"):
        storage.place(f"{ROOT}/x").exists()
    monkeypatch.setenv("AWS_PROFILE", "none")
    with pytest.raises(StorageError, match=r"profile \(none\) could not be found; see storage"):
        storage.place(f"{ROOT}/x").exists()
    assert storage.shared_environment() == {"AWS_PROFILE": "none"}


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ({"obeys": False}, "http://127.* ignores If-None-Match: two drivers could both complete"),
        ({"refuses": True}, r"http://127\S+ has no conditional puts .*NotImplemented"),
        ({"knows_its_tags": False}, "http://127.* does not know its own ETag in If-Match"),
    ],
)
def test_a_server_that_keeps_no_condition_is_refused_at_the_plan(
    faults: dict[str, bool], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(**faults) as stub:
        hear(stub, monkeypatch)
        with pytest.raises(InputError, match=f"root: .*{message}"):
            check_writable(storage.place(ROOT))
        assert left(stub) == []


def test_one_that_keeps_them_is_probed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(md5=False) as stub:
        hear(stub, monkeypatch)
        check_writable(storage.place(ROOT))
        num = len(stub.requests)
        assert num < 25
        check_writable(storage.place(f"{ROOT}/other"))
        assert len(stub.requests) - num < 8
        assert left(stub) == []


@pytest.mark.parametrize("md5", [True, False])
def test_a_file_is_replaced_by_its_tag_whatever_that_is_made_of(
    md5: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(md5=md5) as stub:
        hear(stub, monkeypatch)
        at = storage.place(f"{ROOT}/{ODD}/manifest.json")
        at.write_bytes(b"one")  # in parts, by Arrow
        storage.replace(at, b"one", b"two")
        storage.replace(at, b"one", b"two")  # as after an answer that was lost
        with pytest.raises(FileExistsError, match="has changed"):
            storage.replace(at, b"one", b"three")
        assert at.read_bytes() == b"two"
        at.unlink()
        with pytest.raises(FileNotFoundError):
            storage.replace(at, b"two", b"three")


@pytest.mark.parametrize("is_in_recipe", [True, False])
def test_checksums_are_left_out_where_a_server_refuses_them(
    is_in_recipe: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with serving(takes_checksums=False) as stub:
        hear(stub, monkeypatch)
        with pytest.raises(InputError, match=r"storage\.checksums: when_required"):
            check_writable(storage.place(ROOT))
        if is_in_recipe:
            storage.configure(Storage(checksums="when_required"))
        else:
            (tmp_path / "config").write_text(
                "[profile ours]\nrequest_checksum_calculation = when_required\n"
                "response_checksum_validation = when_required\n"
            )
            monkeypatch.setenv("AWS_PROFILE", "ours")
        check_writable(storage.place(ROOT))
        of_each(stub)
        assert storage.shared_environment()["AWS_REQUEST_CHECKSUM_CALCULATION"] == "when_required"


def test_keys_of_odd_characters_are_read_listed_copied_and_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with serving() as stub:
        hear(stub, monkeypatch)
        monkeypatch.setenv(storage.CACHE, str(tmp_path / "cache"))
        folder = storage.place(f"{ROOT}/{ODD}")
        storage.write_whole(folder / "a.bin", b"whole")
        storage.write_new(folder / "b.bin", b"new")
        storage.link_or_copy(folder / "a.bin", folder / "c.bin")
        assert {one.key for one in folder.rglob("*.bin")} == set(stub.objects)
        assert set(stub.objects) == {f"root/{ODD}/{name}.bin" for name in "abc"}
        assert (folder / "c.bin").read_bytes() == b"whole"
        with (folder / "b.bin").open("rb") as file:
            assert file.read() == b"new"
        assert (storage.local_copy(folder) / "c.bin").read_bytes() == b"whole"
        storage.remove(folder)
        assert left(stub) == []


def test_parquet_is_written_and_read_where_keys_are_odd(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    with serving() as stub:
        hear(stub, monkeypatch)
        files, path = storage.arrow_path(f"{ROOT}/{ODD}/part-1.parquet")
        pq.write_table(pa.table({"a": [1, 2]}), path, filesystem=files)
        assert list(stub.objects) == [f"root/{ODD}/part-1.parquet"]
        found: Any = ds.dataset(path, filesystem=files)
        again = pickle.loads(pickle.dumps(found))
        assert again.to_table()["a"].to_pylist() == [1, 2]
        assert b"not-a-secret" not in pickle.dumps(found)
        assert b"not-a-secret" not in pickle.dumps(next(found.get_fragments()))


def test_workers_are_told_nothing_where_nothing_is_said() -> None:
    assert storage.shared_environment() == {}
    assert connection().region == "us-east-1"


def test_nothing_of_the_connection_is_secret_or_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as stub:
        hear(stub, monkeypatch)
        told = json.dumps(storage.shared_environment())
        assert "not-a-secret" not in told
        assert "AKSTUB" not in told
        assert stub.url in told
