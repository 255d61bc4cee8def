"""What journeys share: a stub of a server that judges."""

from collections.abc import Iterator

import pytest

from tests.actors.test_endpoint import StubServer, serving


@pytest.fixture
def server() -> Iterator[StubServer]:
    with serving() as stub:
        yield stub
