"""The limits of the server: time, threads, memory and connections that clients may take."""

import io
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cherrypy
import pytest

from harness import DEADLINE, wait_until
from pacifica.dispatcher.rest.http1 import Server

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
LARGE = 20 * 1024**2
QUICK = 0.3


class Application:
    """A WSGI application with responses of all kinds."""

    def __init__(self) -> None:
        """Count the responses that have ended."""
        self.closed = 0
        self.end = threading.Event()

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., object]
    ) -> Iterable[bytes]:
        """Respond with the body of the request, or with what the path asks for."""
        path = environ["PATH_INFO"]
        if path == "/wait":
            self.end.wait(DEADLINE)
        if path == "/fail":
            raise ValueError(path)
        if path == "/stream":
            start_response("200 OK", [])
            return _Closing(self, iter([b"x" * 64 * 1024] * (LARGE // 64 // 1024)))
        body = b"x" * LARGE if path == "/large" else environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]


class _Closing:
    def __init__(self, application: Application, chunks: Iterator[bytes]) -> None:
        self._application = application
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        self._application.closed += 1


class Client:
    """A connection that sends bytes and reads responses."""

    def __init__(self, server: Server) -> None:
        """Connect."""
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(server.bind_addr)

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()

    def status(self, request: bytes = GET) -> bytes:
        """Send a request, and return the status code and the rest of the first line."""
        self.socket.sendall(request)
        return self.read_line().partition(b" ")[2]

    def read_line(self) -> bytes:
        """Read a line byte by byte."""
        line = b""
        while not line.endswith(b"\n"):
            byte = self.socket.recv(1)
            assert byte, line
            line += byte
        return line.strip()

    def rest(self) -> bytes:
        """Read until the server closes the connection."""
        read = io.BytesIO()
        while data := self.socket.recv(65536):
            read.write(data)
        return read.getvalue()


Start = Callable[..., Server]
Connect = Callable[[Server], Client]


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def connect() -> Iterator[Connect]:
    with ExitStack() as ending:

        def connect(server: Server) -> Client:
            client = Client(server)
            ending.callback(client.close)
            return client

        yield connect


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nX: ", POST, POST + b"ab"])
def test_slow_clients_hold_no_thread(start: Start, connect: Connect, sent: bytes) -> None:
    server = start()
    for _ in range(20):
        connect(server).socket.sendall(sent)
    assert connect(server).status() == b"200 OK"


@pytest.mark.parametrize("sent", [b"G", b"GET / HTTP/1.1\r\nX: y\r\n", POST, POST + b"ab"])
def test_a_slow_request_times_out(start: Start, connect: Connect, sent: bytes) -> None:
    client = connect(start(head_timeout=QUICK))
    assert client.status(sent) == b"408 Request Timeout"
    assert b"Connection: close" in client.rest()


def test_a_body_that_comes_fast_enough_is_waited_for(start: Start, connect: Connect) -> None:
    client = connect(start(head_timeout=QUICK, min_rate=1))
    client.socket.sendall(POST.replace(b"5", b"500") + b"x" * 499)  # 499 seconds at this rate
    client.socket.settimeout(4 * QUICK)
    with pytest.raises(TimeoutError):
        client.socket.recv(1)
    client.socket.settimeout(DEADLINE)
    assert client.status(b"x") == b"200 OK"


def test_a_silent_connection_is_closed_without_a_word(start: Start, connect: Connect) -> None:
    assert connect(start(head_timeout=QUICK)).rest() == b""


def test_an_idle_connection_is_kept_for_a_while(start: Start, connect: Connect) -> None:
    client = connect(start(keep_alive=QUICK, head_timeout=DEADLINE))
    assert client.status() == b"200 OK"
    assert client.rest().endswith(b"\r\n\r\n")


@pytest.mark.parametrize("path", [b"/large", b"/stream"])
def test_slow_readers_hold_no_thread(start: Start, connect: Connect, path: bytes) -> None:
    server = start()
    slow = [connect(server) for _ in range(20)]
    for client in slow:
        assert client.status(GET.replace(b"/", path, 1)) == b"200 OK"
    assert connect(server).status() == b"200 OK"


def test_a_stream_is_continued_when_its_client_reads(
    start: Start, connect: Connect, application: Application
) -> None:
    client = connect(start())
    request = b"GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert client.status(request) == b"200 OK"
    assert application.closed == 0
    assert client.rest().count(b"x") == LARGE
    wait_until(lambda: application.closed == 1, "the end of the response")


def test_a_client_that_leaves_ends_its_stream(
    start: Start, connect: Connect, application: Application
) -> None:
    client = connect(start())
    assert client.status(GET.replace(b"/", b"/stream", 1)) == b"200 OK"
    client.socket.close()
    wait_until(lambda: application.closed == 1, "the end of the response")


def test_a_client_that_does_not_read_ends_its_stream(
    start: Start, connect: Connect, application: Application
) -> None:
    server = start(head_timeout=QUICK)
    client = connect(server)
    assert client.status(GET.replace(b"/", b"/stream", 1)) == b"200 OK"
    wait_until(lambda: application.closed == 1, "the end of the response")
    wait_until(lambda: not server.open_connections, "the end of the connection")


def test_unread_responses_have_a_limit(start: Start, connect: Connect) -> None:
    server = start(max_unsent=3 * LARGE)
    slow = [connect(server) for _ in range(5)]
    for client in slow:
        assert client.status(GET.replace(b"/", b"/large", 1)) == b"200 OK"
    wait_until(lambda: len(server.open_connections) == 3, "the end of two")
    assert connect(server).status() == b"200 OK"


def test_incomplete_requests_have_a_limit(start: Start, connect: Connect) -> None:
    server = start(max_received=400)
    waiting = connect(server)
    waiting.socket.sendall(POST.replace(b"5", b"500") + b"x" * 300)
    wait_until(lambda: server.open_connections, "the connection")
    other = connect(server)
    assert other.status(POST.replace(b"5", b"500") + b"x" * 300) == b"503 Service Unavailable"
    assert b"Retry-After: 5" in other.rest()
    assert waiting.status(b"x" * 200) == b"200 OK"
    assert connect(server).status(POST + b"12345") == b"200 OK"


def test_an_address_has_a_limit(start: Start, connect: Connect) -> None:
    server = start(per_address=3)
    used = connect(server)
    assert used.status() == b"200 OK"
    first, second, third = connect(server), connect(server), connect(server)
    assert first.rest() == b""
    assert [each.status() for each in (second, third)] == [b"200 OK"] * 2
    assert len(server.open_connections) == 3
    used.socket.close()
    wait_until(lambda: len(server.open_connections) == 2, "the end of a connection")
    assert connect(server).status() == b"200 OK"
    assert len(server.open_connections) == 3


def test_an_address_with_many_requests_is_told_so(
    start: Start, connect: Connect, application: Application
) -> None:
    server = start(per_address=1)
    waiting = connect(server)
    waiting.socket.sendall(GET.replace(b"/", b"/wait", 1))
    wait_until(lambda: server.requests.idle == 1, "the request")
    other = connect(server)
    assert other.status() == b"503 Service Unavailable"
    assert b"Too many connections" in other.rest()
    application.end.set()


@pytest.mark.parametrize(
    "request_", [b"GET / HTTP/1.1\r\n\r\n", POST.replace(b"5", b"5000"), b"GET / HTTP/1.1\n"]
)
def test_nothing_behind_a_refused_request_is_read(
    start: Start, connect: Connect, request_: bytes
) -> None:
    client = connect(start())
    client.socket.sendall(GET + request_ + GET)
    responses = client.rest()
    assert responses.count(b"HTTP/1.1 ") == 2
    assert responses.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close" in responses
    assert b"application/problem+json" in responses


def test_a_client_that_still_sends_sees_why_it_is_refused(start: Start, connect: Connect) -> None:
    client = connect(start())
    client.socket.sendall(POST.replace(b"5", b"50000000"))
    for _ in range(500):
        client.socket.sendall(b"x" * 10_000)
    assert client.rest().startswith(b"HTTP/1.1 413 ")


def test_pipelined_requests_are_answered_in_order(start: Start, connect: Connect) -> None:
    client = connect(start())
    posts = b"".join(POST + b"%05d" % number for number in range(100))
    client.socket.sendall(posts + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    found = [each[-5:] for each in client.rest().split(b"HTTP/1.1 200 OK")[1:-1]]
    assert found == [b"%05d" % number for number in range(100)]


def test_permission_to_send_a_body_is_given(start: Start, connect: Connect) -> None:
    client = connect(start())
    request = POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    assert client.status(request) == b"100 Continue"
    assert client.read_line() == b""
    assert client.status(b"12345") == b"200 OK"
    refused = connect(start())
    assert refused.status(request.replace(b"5", b"5000")).startswith(b"413 ")


def test_a_request_that_ends_early_is_refused(start: Start, connect: Connect) -> None:
    client = connect(start())
    client.socket.sendall(POST)
    client.socket.shutdown(socket.SHUT_WR)
    assert client.rest().startswith(b"HTTP/1.1 400 ")


def test_an_internal_error_closes_the_connection(start: Start, connect: Connect) -> None:
    client = connect(start())
    client.socket.sendall(GET.replace(b"/", b"/fail", 1) + GET)
    assert client.rest().startswith(b"HTTP/1.1 500 ")


@pytest.fixture
def tls(tmp_path: Path) -> object:
    """The settings of a server with a certificate of its own."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a"]
    subprocess.run(
        [*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    adapter = type(cherrypy.server)()
    adapter.ssl_certificate, adapter.ssl_private_key = str(certificate), str(key)
    return adapter


def test_handshakes_hold_nothing(start: Start, connect: Connect, tls: object) -> None:
    server = start(tls, head_timeout=3)
    waiting = [connect(server) for _ in range(20)]
    for client in waiting[:10]:
        client.socket.sendall(b"\x16\x03\x01\x02\x00\x01")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = connect(server)
    client.socket = context.wrap_socket(client.socket)
    assert client.status(GET.replace(b"/", b"/large", 1)) == b"200 OK"
    plain = connect(server)
    assert plain.status() == b"400 Bad Request"
    assert b"use https://" in plain.rest()
    assert waiting[-1].rest() == b""
