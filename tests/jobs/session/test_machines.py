"""What workers of a cluster are told, and whether its machines see the same root."""

import json
from pathlib import Path

import pytest

from actors import storage
from jobs.session.machines import blind_nodes, told_to_workers
from jobs.session.ray_start import RayStartError

SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"
OURS = {"AWS_REGION": "eu-west-1", "AWS_PROFILE": "ours"}


@pytest.fixture(autouse=True)
def _shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SUBMITTED, raising=False)
    monkeypatch.setattr("jobs.session.machines.shared_environment", lambda: dict(OURS))


def submitted(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """As Ray's job server leaves it for the driver of a job."""
    config = {"runtime_env": {"working_dir": ".", "env_vars": variables}, "metadata": {}}
    monkeypatch.setenv(SUBMITTED, json.dumps(config))


def test_what_a_submitted_job_was_told_is_not_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_to_workers() == OURS
    submitted(monkeypatch, {"AWS_REGION": "eu-west-1", "AWS_SECRET_ACCESS_KEY": "s"})
    assert told_to_workers() == {"AWS_PROFILE": "ours"}
    submitted(monkeypatch, OURS)
    assert told_to_workers() == {}
    for config in ("{}", json.dumps({"runtime_env": None})):
        monkeypatch.setenv(SUBMITTED, config)
        assert told_to_workers() == OURS


def test_ray_takes_what_is_left_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.runtime_env.runtime_env import _merge_runtime_env

    given = {"env_vars": {**OURS, "AWS_SECRET_ACCESS_KEY": "s"}}
    assert _merge_runtime_env(given, {"env_vars": dict(OURS)}) is None  # as it was refused
    submitted(monkeypatch, {**OURS, "AWS_SECRET_ACCESS_KEY": "s"})
    assert _merge_runtime_env(given, {"env_vars": told_to_workers()}) == given


def test_two_who_say_different_things_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    submitted(monkeypatch, {"AWS_REGION": "us-east-1"})
    with pytest.raises(
        RayStartError, match="AWS_REGION: workers are told us-east-1 by the runtime"
    ):
        told_to_workers()
    monkeypatch.setenv("RAY_OVERRIDE_JOB_RUNTIME_ENV", "1")
    assert told_to_workers() == OURS


def test_credentials_are_never_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-one")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "secret-two")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://localhost:1")
    assert "secret" not in json.dumps(storage.shared_environment())
    assert told_to_workers()["AWS_ENDPOINT_URL_S3"] == "http://localhost:1"


def test_machines_that_do_not_see_the_root_are_named(tmp_path: Path) -> None:
    nodes = {"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.3"}
    asked = []

    def look(path: str, ids: list[str]) -> dict[str, bool]:
        asked.append(path)
        return {one: one == "a" and Path(path).exists() for one in ids}

    root = tmp_path / "new" / "root"
    assert blind_nodes(root, nodes, look) == ["10.0.0.2", "10.0.0.3"]
    assert len(asked) == 1
    assert list(root.iterdir()) == []
    assert blind_nodes(root, {"a": "10.0.0.1"}, look) == []
