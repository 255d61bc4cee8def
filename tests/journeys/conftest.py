"""What journeys share: a stub of a server that judges."""

from collections.abc import Iterator

import pytest

from tests.actors.test_endpoint import StubServer


@pytest.fixture
def server() -> Iterator[StubServer]:
    stub = StubServer()
    stub.start()
    yield stub
    stub.shutdown()
    stub.server_close()
