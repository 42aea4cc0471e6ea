"""A running server for an application of the tests."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import cherrypy
import pytest

from harness import free_port
from pacifica.dispatcher.rest.http1 import Limits, Server


@pytest.fixture
def start(application: Callable[..., object]) -> Iterator[Callable[..., Server]]:
    """Start a server with two threads, for CherryPy's settings and limits."""
    with ExitStack() as ending:

        def start(adapter: object = cherrypy.server, **limits: Any) -> Server:  # noqa: ANN401 - of `Limits`
            server = Server(adapter, application, Limits(max_body=lambda _: 1000, **limits))
            server.bind_addr = ("127.0.0.1", free_port())
            server.request_queue_size = 128
            server.requests.min = 2
            server.prepare()
            thread = threading.Thread(target=server.serve)
            thread.start()
            ending.callback(thread.join)
            ending.callback(server.stop)
            return server

        yield start
