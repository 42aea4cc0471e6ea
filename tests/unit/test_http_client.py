"""The HTTP client against peers that misbehave."""

import errno
import gc
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme

from harness import DEADLINE
from pacifica.dispatcher import http_client

Behaviour = Callable[[socket.socket], None]

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"


@contextmanager
def peer(behave: Behaviour, connections: int = 1) -> Iterator[str]:
    """Yield the host and port of a peer with this behaviour."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(connections):
                with listener.accept()[0] as accepted, suppress(OSError):
                    behave(accepted)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(DEADLINE)
        assert not thread.is_alive()


@pytest.fixture
def session() -> Iterator[http_client.Session]:
    """A session with timeouts that no test reaches by accident."""
    with http_client.Session(connect=5.0, read=5.0) as session:
        yield session


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server-side TLS context with a certificate trusted through $SSL_CERT_FILE."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def drip(connection: socket.socket, piece: bytes) -> None:
    """Send a piece repeatedly until the client closes the connection."""
    connection.settimeout(0.05)
    while True:
        connection.sendall(piece)
        with suppress(TimeoutError):
            if not connection.recv(65536):
                return


def respond(connection: socket.socket, response: bytes = _OK) -> None:
    """Receive a request and send a response."""
    connection.recv(65536)
    connection.sendall(response)


def over_tls(context: ssl.SSLContext, behave: Behaviour) -> Behaviour:
    """Return a behaviour inside TLS."""

    def wrapped(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as inner:
            behave(inner)

    return wrapped


def test_certificates_in_ssl_cert_file_are_trusted(
    session: http_client.Session, tls: ssl.SSLContext
) -> None:
    with peer(over_tls(tls, respond)) as host:
        assert session.get(f"https://{host}/").text == "OK"


def test_other_certificates_are_refused(
    session: http_client.Session, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nor are those of certifi trusted, as requests would by default.
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", os.environ["SSL_CERT_FILE"])
    monkeypatch.delenv("SSL_CERT_FILE")
    with (
        peer(over_tls(tls, respond)) as host,
        pytest.raises(requests.exceptions.SSLError) as caught,
    ):
        session.get(f"https://{host}/")
    assert "certificate verify failed" in http_client.reason(caught.value)


def test_a_certificate_for_another_host_is_refused(
    session: http_client.Session, tls: ssl.SSLContext
) -> None:
    with (
        peer(over_tls(tls, respond)) as host,
        pytest.raises(requests.exceptions.SSLError, match="localhost"),
    ):
        session.get(f"https://{host.replace('127.0.0.1', 'localhost')}/")


def test_a_reset_before_tls_leaves_no_socket_open(
    session: http_client.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An open socket causes a warning, which is an error in tests.
    connected, was_reset = threading.Event(), threading.Event()
    wrap = ssl.SSLContext.wrap_socket

    def wrap_late(*arguments: Any, **named: Any) -> ssl.SSLSocket:  # noqa: ANN401 - those of wrap_socket
        connected.set()
        assert was_reset.wait(DEADLINE)
        return wrap(*arguments, **named)

    def reset(connection: socket.socket) -> None:
        assert connected.wait(DEADLINE)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        was_reset.set()

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", wrap_late)
    with peer(reset) as host, pytest.raises(requests.ConnectionError) as caught:
        session.get(f"https://{host}/")
    assert http_client.reason(caught.value) == os.strerror(errno.ECONNRESET)
    del caught
    gc.collect()


def test_a_close_instead_of_a_response_is_an_error(session: http_client.Session) -> None:
    with peer(lambda _: None) as host, pytest.raises(requests.ConnectionError):
        session.get(f"http://{host}/")


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.6\r\n", b"\0\0\0\n"])
def test_a_peer_that_speaks_something_else_is_an_error(
    session: http_client.Session, scheme: str, greeting: bytes
) -> None:
    with (
        peer(lambda connection: respond(connection, greeting)) as host,
        pytest.raises(requests.ConnectionError),
    ):
        session.get(f"{scheme}://{host}/")


@pytest.mark.parametrize("host", ["a..b", f"{'a' * 64}.example.org"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_impossible_host_is_an_invalid_url(
    session: http_client.Session, scheme: str, host: str
) -> None:
    with pytest.raises(requests.exceptions.InvalidURL):
        session.get(f"{scheme}://{host}/")


def test_a_silent_peer_reaches_the_read_timeout() -> None:
    with (
        peer(lambda connection: drip(connection, b"")) as host,
        http_client.Session(connect=5.0, read=0.1) as session,
        pytest.raises(requests.Timeout) as caught,
    ):
        session.get(f"http://{host}/")
    assert "timed out" in http_client.reason(caught.value)


def respond_and_drip(response: bytes) -> Behaviour:
    """Return a behaviour that starts a response, then drips."""

    def behave(connection: socket.socket) -> None:
        respond(connection, response)
        drip(connection, b".")

    return behave


_DRIPS = {
    "handshake": ("https", respond_and_drip(b"\x16\x03\x03\x40\x00")),  # a record of 16 KiB
    "status": ("http", respond_and_drip(b"HTTP/1.1 200 O")),
    "headers": ("http", respond_and_drip(b"HTTP/1.1 200 OK\r\nX: ")),
    "body": ("http", respond_and_drip(b"HTTP/1.1 200 OK\r\n\r\n")),
}


@pytest.mark.parametrize("phase", _DRIPS)
def test_a_deadline_ends_a_peer_that_drips(session: http_client.Session, phase: str) -> None:
    scheme, behave = _DRIPS[phase]
    with (
        peer(behave) as host,
        pytest.raises(requests.Timeout, match=r"no complete response within 0\.3 s"),
        http_client.deadline(0.3),
    ):
        session.get(f"{scheme}://{host}/")


def test_a_deadline_ends_a_reused_connection(session: http_client.Session) -> None:
    def behave(connection: socket.socket) -> None:
        respond(connection)
        drip(connection, b"H")

    with peer(behave) as host:
        session.get(f"http://{host}/")
        with pytest.raises(requests.Timeout), http_client.deadline(0.3):
            session.get(f"http://{host}/")


def test_a_deadline_does_not_affect_faster_exchanges_and_their_errors(
    session: http_client.Session,
) -> None:
    with http_client.deadline(10), peer(respond) as host:
        assert session.get(f"http://{host}/").text == "OK"
    with (
        pytest.raises(requests.ConnectionError),
        http_client.deadline(10),
        peer(lambda _: None) as host,
    ):
        session.get(f"http://{host}/")


class _Site(BaseHTTPRequestHandler):
    """A site that redirects /old to /new, and returns the received headers and a cookie."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        old = self.path == "/old"
        body = b"" if old else str(self.headers).encode()
        self.send_response(302 if old else 200)
        self.send_header("Location", "/new")
        self.send_header("Set-Cookie", "taste=sweet")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    """The URL of a well-behaved site."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Site) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_redirects_are_followed_only_on_request(session: http_client.Session, site: str) -> None:
    assert session.get(f"{site}/old").status_code == 302
    session.max_redirects = 1
    assert session.get(f"{site}/old").url == f"{site}/new"


def test_proxies_passwords_and_cookies_are_ignored(
    session: http_client.Session, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    session.get(f"{site}/new")
    sent = session.get(f"{site}/new").text
    assert "User-Agent: pacifica-dispatcher\n" in sent
    assert "Cookie" not in sent
    assert "Authorization" not in sent


def test_connections_are_kept_alive_by_tcp(session: http_client.Session, site: str) -> None:
    with session.get(f"{site}/new", stream=True) as response:
        connection: Any = response.raw.connection
        assert connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
