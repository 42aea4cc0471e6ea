"""The web server: idle connections, shortage of descriptors, and an orderly stop."""

import http.client
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from harness import DEADLINE, wait_until
from pacifica.dispatcher.rest.http1 import Server, loop
from pacifica.dispatcher.telemetry import Record

Start = Callable[[], Server]
Connect = Callable[[Server], socket.socket]
NewClient = Callable[[Server], http.client.HTTPConnection]


def client_of(server: Server) -> http.client.HTTPConnection:
    """Return a client that is not connected yet."""
    host, port = server.bind_addr
    return http.client.HTTPConnection(host, port, timeout=10)


def respond(_: object, start_response: Callable[..., object]) -> list[bytes]:
    """Respond to any request."""
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


@pytest.fixture
def application() -> Callable[..., list[bytes]]:
    return respond


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connect without sending anything."""
    with ExitStack() as ending:
        yield lambda server: ending.enter_context(
            socket.create_connection(server.bind_addr, timeout=DEADLINE)
        )


@pytest.fixture
def client() -> Iterator[NewClient]:
    """Create a client with a persistent connection."""
    with ExitStack() as ending:

        def create(server: Server) -> http.client.HTTPConnection:
            client = client_of(server)
            ending.callback(client.close)
            return client

        yield create


def request(connection: http.client.HTTPConnection) -> str | None:
    """Make a request; return the header field Connection of the response."""
    connection.request("POST", "/", b"x")
    response = connection.getresponse()
    assert response.read() == b"ok"
    return response.getheader("Connection")


def names(emitted: list[Record]) -> list[str]:
    return [each.name for each in emitted]


def test_silent_connections_occupy_no_thread(
    start: Start, connect: Connect, client: NewClient
) -> None:
    server = start()
    silent = [connect(server) for _ in range(20)]
    assert request(client(server)) is None
    assert len(silent) == 20


def test_idle_connections_are_kept_as_long_as_there_are_descriptors(
    start: Start, client: NewClient
) -> None:
    server = start()
    clients = [client(server) for _ in range(20)]
    for _ in range(2):
        assert [request(each) for each in clients] == [None] * 20


def test_a_shortage_of_descriptors_pauses_accepting(
    start: Start,
    connect: Connect,
    client: NewClient,
    monkeypatch: pytest.MonkeyPatch,
    emitted: list[Record],
) -> None:
    with socket.socket() as probe:
        limit = probe.fileno() + 20
    monkeypatch.setattr(loop, "usable_descriptors", lambda: limit)
    server = start()
    kept = client(server)
    assert request(kept) is None
    # The connections have a descriptor at each end.
    silent = [connect(server) for _ in range(30)]
    wait_until(lambda: "connections.paused" in names(emitted), "the pause")
    assert len(server.open_connections) < 20
    assert request(kept) == "close"
    for each in silent:
        each.close()
    # Until the server has closed its ends, a response may close its connection.
    wait_until(lambda: request(client(server)) is None, "the end of the shortage")
    assert names(emitted).count("connections.paused") == 1


@pytest.mark.parametrize("error", [OSError(23, "Too many open files in system"), MemoryError()])
def test_a_failure_to_accept_pauses_accepting(
    start: Start,
    client: NewClient,
    monkeypatch: pytest.MonkeyPatch,
    emitted: list[Record],
    error: Exception,
) -> None:
    accept, failures = socket.socket.accept, [error, error]

    def fail_first(listener: socket.socket) -> tuple[socket.socket, Any]:
        if failures:
            raise failures.pop()
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", fail_first)
    assert request(client(start())) is None
    assert names(emitted) == ["connections.paused"]


def test_the_end_of_a_shortage_is_told(
    start: Start, client: NewClient, monkeypatch: pytest.MonkeyPatch, emitted: list[Record]
) -> None:
    monkeypatch.setattr(loop, "_CALM", 0.1)
    server = start()
    server._connections._pause(None)  # noqa: SLF001
    wait_until(lambda: names(emitted)[-1] == "connections.resumed", "the end")
    assert request(client(server)) is None


def keep_posting(server: Server, outcomes: Counter[str], number: threading.Semaphore) -> None:
    """Make requests, on a kept connection where possible, until the server refuses."""
    while True:
        with closing(client_of(server)) as client:
            try:
                client.connect()
            except OSError as exc:
                outcomes[type(exc).__name__] += 1
                return
            try:
                while request(client) != "close":
                    outcomes["responses"] += 1
                    number.release()
            except (OSError, http.client.HTTPException) as exc:
                outcomes[f"sent: {type(exc).__name__}"] += 1


def test_a_stop_resets_no_request(start: Start) -> None:
    server = start()
    outcomes, number = Counter[str](), threading.Semaphore(0)
    posting = [
        threading.Thread(target=keep_posting, args=(server, outcomes, number)) for _ in range(20)
    ]
    for each in posting:
        each.start()
    for _ in range(200):
        assert number.acquire(timeout=DEADLINE)
    server.stop()
    for each in posting:
        each.join()
    assert outcomes.keys() == {"responses", "ConnectionRefusedError"}
    assert outcomes["ConnectionRefusedError"] == 20


def test_an_idle_connection_gets_a_response_while_the_server_stops(
    start: Start, client: NewClient
) -> None:
    server = start()
    kept = client(server)
    assert request(kept) is None
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    wait_until(lambda: server.socket is None, "the end of the listening socket")
    assert request(kept) == "close"
    stopping.join()


def test_an_unused_connection_is_closed_without_a_reset(start: Start, connect: Connect) -> None:
    server = start()
    idle = connect(server)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    assert idle.recv(1) == b""
    idle.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")  # crosses
    assert idle.recv(1) == b""
    idle.close()
    stopping.join()


def test_a_stop_without_connections_is_quick(start: Start) -> None:
    server = start()
    thread = threading.Thread(target=server.stop)
    thread.start()
    thread.join(DEADLINE)
    assert not thread.is_alive()
