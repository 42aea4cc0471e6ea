"""The handshake of senders that ask before they deliver, with a real server to be called back."""

import gc
import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from pacifica.dispatcher import orm, rest
from pacifica.dispatcher.config import WebhookSettings
from tests.support import wait_until
from tests.unit.conftest import Postbox
from tests.unit.test_rest import Answer, Client, make_service

PATHS = ["/receive", "/events", "/"]
GRID = "eventgrid.azure.net"


@pytest.fixture
def service(database: orm.Database, postbox: Postbox) -> rest.Service:
    return make_service(database, postbox)


def ask(
    service: rest.Service, settings: WebhookSettings, path: str = "/receive", **headers: str
) -> Answer:
    """Ask whether events may be delivered; headers come without `WebHook-Request-`."""
    named = {f"webhook_request_{name}": text for name, text in headers.items()}
    client = Client(replace(service, webhook=rest.Webhook(settings, patience=1.0)))
    return client.request("OPTIONS", path, None, **named)


def permission(answer: Answer) -> tuple[str | None, str | None]:
    """The origin and the rate that are allowed."""
    headers = answer.headers
    return headers.get("webhook-allowed-origin"), headers.get("webhook-allowed-rate")


def origins(*names: str, rate: str = "*") -> WebhookSettings:
    """Settings that allow these senders."""
    return WebhookSettings(frozenset(names), rate)


@pytest.mark.parametrize("path", PATHS)
def test_a_sender_that_is_allowed_may_deliver(service: rest.Service, path: str) -> None:
    answer = ask(service, origins("a.org", GRID, rate="120"), path, origin=GRID, rate="1000")
    assert (answer.status, answer.body) == (200, b"")
    assert permission(answer) == (GRID, "120")
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize(
    ("allowed", "origin"),
    [
        ((), GRID),
        ((GRID,), "EventGrid.azure.net"),
        ((GRID,), "x.eventgrid.azure.net"),
        ((GRID,), f"{GRID}, {GRID}"),
        ((GRID,), "*"),
        ((GRID,), ""),
        (("*",), ""),
    ],
)
def test_a_sender_that_is_not_allowed_is_told_nothing(
    service: rest.Service, allowed: tuple[str, ...], origin: str
) -> None:
    answer = ask(service, origins(*allowed), origin=origin)
    assert (answer.status, permission(answer)) == (200, (None, None))


@pytest.mark.parametrize(("origin", "told"), [(GRID, GRID), ("b.org", "*"), ("é\r\nx: y", "*")])
def test_all_senders_may_be_allowed(service: rest.Service, origin: str, told: str) -> None:
    assert permission(ask(service, origins("*", GRID), origin=origin)) == (told, "*")


def test_who_does_not_ask_is_told_what_the_address_takes(service: rest.Service) -> None:
    answer = ask(service, origins("*"))
    assert (answer.status, permission(answer)) == (200, (None, None))
    assert set(answer.headers["allow"].split(", ")) == {"OPTIONS", "POST"}


@dataclass
class Sender:
    """A server that wants to be called back.

    Attributes:
        asked: the targets of the requests that came, with the rate that each allowed.
        status: what it answers.
        answers: it answers nothing until this is set.
        drips: until then, it sends some of an answer every now and then.
    """

    port: int = 0
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    status: int = 200
    answers: threading.Event = field(default_factory=threading.Event)
    drips: bool = False

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    def settings(self, *hosts: str) -> WebhookSettings:
        """Settings that allow it to be called, or these hosts."""
        return WebhookSettings(frozenset({GRID}), "120", frozenset(hosts or {self.host}))


@pytest.fixture
def sender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sender]:
    """A sender that listens with TLS, and whose certificate is trusted."""
    sender = Sender()
    sender.answers.set()

    class Handler(BaseHTTPRequestHandler):
        """Writes down what is asked."""

        def do_GET(self) -> None:
            sender.asked.append((self.path, self.headers["WebHook-Allowed-Rate"]))
            with suppress(OSError):
                while not sender.answers.wait(0.1 if sender.drips else None):
                    self.wfile.write(b"H")
                self.send_response(sender.status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server = ThreadingHTTPServer(("localhost", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    sender.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.05,)).start()
    yield sender
    sender.answers.set()
    server.shutdown()
    server.server_close()


def test_a_sender_is_called_back(service: rest.Service, sender: Sender) -> None:
    url = f"https://{sender.host}/confirm?id=1&key=a%2Fb#fragment"
    answer = ask(service, sender.settings(), origin=GRID, callback=url)
    assert (answer.status, permission(answer)) == (200, (None, None))
    wait_until(lambda: sender.asked == [("/confirm?id=1&key=a%2Fb", "120")])


def test_a_redirect_is_not_followed(
    service: rest.Service, sender: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    sender.status = 302
    ask(service, sender.settings(), origin=GRID, callback=f"https://{sender.host}")
    wait_until(lambda: "which answered 302" in caplog.text)
    assert sender.asked == [("/", "120")]


@pytest.mark.parametrize(
    "callback",
    [
        "http://{host}/",
        "HTTP://{host}/",
        "//{host}/",
        "https://{host}.evil.org/",
        "https://user@{host}/",
        "https://evil.org\\@{host}/",
        "https://evil.org/{host}",
        "https://127.0.0.1:{port}/",
        "https://localhost/",
        "https://{host} /",
        "https://{host}/\u00e9",
        "https://[::1",
        "ftp://{host}/",
        "https://{host}/" + "a" * 4096,
    ],
    ids=lambda text: re.sub(r"\W+", " ", text)[:40],
)
def test_a_callback_to_elsewhere_is_ignored(
    service: rest.Service, sender: Sender, callback: str
) -> None:
    callback = callback.format(host=sender.host, port=sender.port)
    answer = ask(service, sender.settings(), origin=GRID, callback=callback)
    assert permission(answer) == (GRID, "120")
    assert sender.asked == []


def test_a_sender_that_is_not_allowed_is_not_called_back(
    service: rest.Service, sender: Sender
) -> None:
    url = f"https://{sender.host}/"
    assert permission(ask(service, sender.settings(), origin="b.org", callback=url)) == (None, None)
    assert sender.asked == []


@pytest.mark.parametrize("drips", [False, True])
def test_a_sender_that_does_not_answer_in_time_is_given_up(
    service: rest.Service, sender: Sender, caplog: pytest.LogCaptureFixture, *, drips: bool
) -> None:
    sender.drips = drips
    sender.answers.clear()
    ask(service, sender.settings(), origin=GRID, callback=f"https://{sender.host}/")
    wait_until(lambda: f"cannot call back {sender.host}: " in caplog.text)


def test_a_certificate_that_is_not_trusted_is_not(
    service: rest.Service,
    sender: Sender,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    ask(service, sender.settings(), origin=GRID, callback=f"https://{sender.host}/")
    wait_until(lambda: "SSLCertVerificationError" in caplog.text)
    assert sender.asked == []


def test_a_sender_that_resets_at_once_leaves_no_socket_open(
    service: rest.Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that is left open is a warning, and a warning is an error here."""
    reset = threading.Event()
    wrap = ssl.SSLContext.wrap_socket

    def wrap_late(*arguments: Any, **named: Any) -> ssl.SSLSocket:  # noqa: ANN401 - whatever it takes
        reset.wait(0.5)
        return wrap(*arguments, **named)

    def take_and_reset(listener: socket.socket) -> None:
        with listener.accept()[0] as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        reset.set()

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", wrap_late)
    threads = threading.active_count()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        threading.Thread(target=take_and_reset, args=(listener,)).start()
        settings = WebhookSettings(frozenset({GRID}), "120", frozenset({host}))
        ask(service, settings, origin=GRID, callback=f"https://{host}/")
        wait_until(lambda: f"cannot call back {host}: ConnectionResetError" in caplog.text)
        wait_until(lambda: threading.active_count() == threads)
    gc.collect()


def test_a_host_that_can_be_none_is_not_called_back(
    service: rest.Service, caplog: pytest.LogCaptureFixture
) -> None:
    settings = WebhookSettings(frozenset({GRID}), "120", frozenset({"a..b"}))
    ask(service, settings, origin=GRID, callback="https://a..b/")
    wait_until(lambda: "cannot call back a..b: UnicodeError" in caplog.text)


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.6\r\n", b""])
def test_a_sender_without_tls_is_given_up(
    service: rest.Service, caplog: pytest.LogCaptureFixture, greeting: bytes
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        settings = WebhookSettings(frozenset({GRID}), "120", frozenset({host}))
        ask(service, settings, origin=GRID, callback=f"https://{host}/")
        with listener.accept()[0] as taken:
            taken.sendall(greeting)
            wait_until(lambda: f"cannot call back {host}: " in caplog.text)


def test_no_more_than_four_are_called_at_once(
    sender: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    sender.answers.clear()
    webhook = rest.Webhook(sender.settings())
    for _ in range(5):
        webhook.call(f"https://{sender.host}/")
    assert caplog.text.count("too many senders") == 1
    wait_until(lambda: len(sender.asked) == 4)
    sender.answers.set()

    def is_called_again() -> bool:
        webhook.call(f"https://{sender.host}/again")
        return ("/again", "120") in sender.asked

    wait_until(is_called_again)
