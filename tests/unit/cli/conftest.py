"""The fixture of the tests of the command line."""

import threading
from collections.abc import Iterator

import pytest

from tests.unit.cli.fake_server import Server


@pytest.fixture
def server() -> Iterator[Server]:
    """A server without replies."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.ended.set()
    server.shutdown()
    thread.join()
    server.server_close()
