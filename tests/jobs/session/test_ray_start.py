"""Ray on a machine that is too slow for it, and clusters that are not there: stubs of a start."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from jobs.cli import guarded
from jobs.session import ray_start
from jobs.session.ray_start import LONGER_S, RayStartError, join, patiently

TIMED_OUT = "The current node timed out during startup. This could happen because …"
NODE_S = "RAY_raylet_start_wait_time_s"
STORE_S = "RAY_gcs_server_port_wait_time_s"


class StubStart:
    """A start that leaves a process and fails, a number of times; then it succeeds."""

    def __init__(self, num_failures: int, error: Exception) -> None:
        self.num_failures, self.error = num_failures, error
        self.left: list[subprocess.Popen[bytes]] = []
        self.limits: list[str | None] = []

    def __call__(self) -> str:
        self.limits.append(os.environ.get(NODE_S))
        self.left.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
        if len(self.left) <= self.num_failures:
            raise self.error
        return "started"

    def running(self) -> list[bool]:
        return [psutil.pid_exists(one.pid) and one.poll() is None for one in self.left]


class StubCore:
    """Ray's core, which reads the environment once and is told of changes."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.Config = self

    def initialize(self, settings: str) -> None:
        self.told.append(settings)


@pytest.fixture(autouse=True)
def core(monkeypatch: pytest.MonkeyPatch) -> StubCore:
    """Ray's limits as they are without a user; what a test changes is undone."""
    for name in (NODE_S, STORE_S, "RAY_ADDRESS"):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    stub = StubCore()
    monkeypatch.setitem(sys.modules, "ray._raylet", stub)
    return stub


@pytest.fixture
def ended() -> Iterator[list[StubStart]]:
    """Stubs whose processes are ended with the test."""
    stubs: list[StubStart] = []
    yield stubs
    for stub in stubs:
        for one in stub.left:
            one.kill()
            one.wait()


def test_a_start_that_was_too_slow_is_tried_again_with_longer_limits(
    ended: list[StubStart], core: StubCore, capsys: pytest.CaptureFixture[str]
) -> None:
    start = StubStart(1, Exception(TIMED_OUT))
    ended.append(start)
    assert patiently(start) == "started"
    assert start.running() == [False, True]  # what was left is ended, what was started is not
    assert start.limits == [None, str(LONGER_S)]
    assert core.told == [f'{{"raylet_start_wait_time_s": {LONGER_S}}}']
    (said,) = capsys.readouterr().out.splitlines()
    assert said.startswith("Ray did not start within its own limits: The current node timed out")
    assert f"limits of {LONGER_S} s" in said


def test_a_longer_limit_of_the_users_stays(
    ended: list[StubStart], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NODE_S, "600")
    monkeypatch.setenv(STORE_S, "5")
    start = StubStart(
        1, RuntimeError("Timed out waiting for file /tmp/ray/session/gcs_server_port")
    )
    ended.append(start)
    assert patiently(start) == "started"
    assert start.limits == ["600", "600"]
    assert os.environ[STORE_S] == str(LONGER_S)


def test_the_second_failure_ends_the_job_with_one_message(
    ended: list[StubStart], capsys: pytest.CaptureFixture[str]
) -> None:
    start = StubStart(2, Exception(TIMED_OUT))
    ended.append(start)
    assert guarded(lambda: patiently(start) and None) == 2
    assert start.running() == [False, False]
    said = capsys.readouterr().err
    assert said.startswith(f"error: Ray did not start in 2 tries: {TIMED_OUT[:20]}")
    assert "end other processes" in said
    assert NODE_S in said


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("Failed to start GCS.  Last 1 lines of error files: port"), RayStartError),
        (OSError("AF_UNIX path length cannot exceed 107 bytes"), RayStartError),
        (TypeError("init() got an unexpected keyword"), TypeError),  # a fault of ours
    ],
)
def test_what_a_second_try_cannot_help_gets_none(
    ended: list[StubStart], error: Exception, expected: type[Exception]
) -> None:
    start = StubStart(1, error)
    ended.append(start)
    with pytest.raises(expected, match=re.escape(str(error)[:20])):
        patiently(start)
    assert start.running() == [False]
    assert NODE_S not in os.environ


def never() -> None:
    raise AssertionError("Ray was asked to join what is not there")


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_does_not_answer_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setattr(ray_start, "_KNOCK_S", 0.1)
    address = f"{scheme}127.0.0.1:{closed_port()}"
    with pytest.raises(RayStartError, match=rf"address: {address}: .*refused.*`ray start --head`"):
        join(address, never)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(RayStartError, match=f"address: {address}: "):
        join("auto", never)


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(RayStartError, match="neither 'local', 'auto' nor HOST:PORT"):
        join("my-cluster", never)
    with pytest.raises(RayStartError, match="address: head:port: "):
        join("head:port", never)


def test_what_answers_but_cannot_be_joined_is_explained() -> None:
    limits = []

    def refused() -> None:
        limits.append(os.environ.get(STORE_S))
        raise RuntimeError("Version mismatch: the cluster was started with Ray: 2.9.0")

    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(
            RayStartError, match=rf"{address}: .*Version mismatch: .* Ray: 2\.9\.0\."
        ):
            join(address, refused)
    assert limits == ["2"]  # Ray's 20 tries would take 13 minutes
    assert STORE_S not in os.environ
